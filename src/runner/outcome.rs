//! What follows from a request that has come back well, or whose end is unknown; and how jobs and
//! keys are written down. What follows from a failure is next door.

use std::time::Duration;

use crate::domain::completion::CompletionMetadata;
use crate::domain::failure::{Failure, NoResponse, TransportFault};
use crate::domain::job::Completion;
use crate::domain::key::Key;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::Cost;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;
use crate::progress::event::RunEvent;
use crate::provider::{Attempt, ParsedCompletion};
use crate::store::{AttemptRecord, ClaimedJob, KeyRow, SettledAs, Settlement, StoreError};

use super::dispatcher::{Dispatcher, Ending, Flight};
use super::rate_limit::Permit;

impl Dispatcher<'_> {
    /// Draws the conclusions from a request that has come back; `None` when its worker panicked.
    pub(super) fn conclude(&mut self, flight: Flight, attempt: Option<Attempt>) {
        let now = self.clock.now();
        if let Some(attempt) = &attempt {
            // A `date` has no parts of a second: less than two of them say nothing.
            let ahead = attempt.clock_ahead.filter(|ahead| ahead.abs() > 2000);
            self.rate_limiter
                .apply_headers(flight.key, &attempt.rate, ahead.unwrap_or(0), now);
        }
        let (latency, request_id, outcome) = match attempt {
            Some(attempt) => (attempt.latency, attempt.request_id, attempt.outcome),
            None => (Duration::ZERO, String::new(), Err(panicked())),
        };
        match outcome {
            Ok(success) => {
                let cost = self.served(&flight, &success.metadata, latency, now);
                match self.check_schema(&flight.job, &success, &request_id) {
                    None => self.answered(flight, success, request_id, latency, cost),
                    Some(failure) => self.failed(flight, &failure, latency, now),
                }
            }
            Err(failure) => self.failed(flight, &failure, latency, now),
        }
    }

    /// Notes that a request was served: what that shows of endpoint and key, and what it cost.
    fn served(
        &mut self,
        flight: &Flight,
        metadata: &CompletionMetadata,
        latency: Duration,
        now: Timestamp,
    ) -> Option<Cost> {
        let &Flight {
            ref job,
            key,
            tokens: let_out,
            sent,
            ..
        } = flight;
        self.reached();
        self.budget.answered();
        self.latencies.note(latency);
        let in_flight = self.in_flight() + 1;
        self.window.answered(sent, latency, in_flight, now);
        self.doubts.answered();
        self.ring.rested(key, now);
        if self.ring.answered(key) {
            self.keys_changed = true;
            let key = self.ring.key(key).label.clone();
            (self.on_event)(&RunEvent::KeyBack { key });
        }
        if matches!(self.ending, Ending::Tentative(_)) {
            self.ending = Ending::Open;
        }
        self.strike_doubted(job.id, now);
        let tokens =
            [metadata.prompt_tokens, metadata.completion_tokens].map(Option::unwrap_or_default);
        self.stats.prompt_tokens += tokens[0];
        self.stats.completion_tokens += tokens[1];
        let has_usage = metadata.prompt_tokens.is_some();
        if has_usage {
            let permit = Permit {
                key,
                tokens: let_out,
            };
            self.rate_limiter.settle(permit, tokens.iter().sum());
        }
        self.pay(&metadata.model, has_usage, tokens)
    }

    /// Holds an answer to the schema, if there is one. Where it does not fit, its row is asked again
    /// with the reason in the conversation.
    fn check_schema(
        &mut self,
        job: &ClaimedJob,
        success: &ParsedCompletion,
        request_id: &str,
    ) -> Option<Failure> {
        let schema = self.schema?;
        let violation = schema.check_body(&success.body).err()?;
        if let Some(again) = schema.follow_up(&job.request, &success.body, &violation) {
            self.follow_ups.insert(job.id, again);
        }
        Some(violation.failure(request_id))
    }

    fn answered(
        &mut self,
        flight: Flight,
        success: ParsedCompletion,
        request_id: String,
        latency: Duration,
        cost: Option<Cost>,
    ) {
        let Flight { job, key, .. } = flight;
        self.follow_ups.remove(&job.id);
        let metadata = success.metadata;
        let tokens =
            [metadata.prompt_tokens, metadata.completion_tokens].map(Option::unwrap_or_default);
        self.stats.ended += 1;
        self.stats.answers += 1;
        let completion = Completion {
            body: success.body,
            model: metadata.model,
            finish_reason: metadata.finish_reason,
            prompt_tokens: metadata.prompt_tokens,
            completion_tokens: metadata.completion_tokens,
            latency_ms: millis(latency),
            request_id,
        };
        let event = RunEvent::Answered {
            job: job.id,
            latency,
            prompt_tokens: tokens[0],
            completion_tokens: tokens[1],
            cost,
        };
        self.settle(
            &job,
            Some(key),
            SettledAs::Done(completion),
            None,
            Some(event),
        );
    }

    /// Notes that a request in flight was given up.
    pub(super) fn abandon(&mut self, flight: &Flight) {
        self.stats.unknown += 1;
        let record = AttemptRecord {
            unknown: true,
            scope: Scope::Transient,
            rule: "stopped-in-flight".to_owned(),
            status: None,
            message: "the run was stopped while this request was in flight".to_owned(),
            request_id: String::new(),
            wait_ms: None,
            latency_ms: None,
        };
        let settled_as = SettledAs::Requeued {
            not_before: Timestamp::default(),
            counted: false,
        };
        self.settle(
            &flight.job,
            Some(flight.key),
            settled_as,
            Some(record),
            None,
        );
    }

    /// Hands a job's standing to the recorder; `key` is the one its request was made with, if any.
    pub(super) fn settle(
        &mut self,
        job: &ClaimedJob,
        key: Option<KeyIndex>,
        settled_as: SettledAs,
        attempt: Option<AttemptRecord>,
        event: Option<RunEvent>,
    ) {
        let key_label = key.map_or_else(String::new, |key| self.ring.key(key).label.clone());
        self.recorder.take(
            Settlement {
                id: job.id,
                claim_no: job.claim_no,
                requests: u32::from(key.is_some()),
                settled_as,
                attempt,
                key_label,
            },
            event,
        );
    }

    /// Writes down where the keys stand, for the next run.
    pub(super) async fn save_keys(&mut self) -> Result<(), StoreError> {
        self.keys_changed = false;
        let base_url = self.client.endpoint().display();
        let model = &self.batch.template.model;
        let named = self
            .ring
            .keys()
            .iter()
            .filter(|key| !key.fingerprint.is_empty());
        let rows: Vec<_> = named.map(|key| key_row(key, base_url, model)).collect();
        self.store.save_keys(&rows, model, self.clock.now()).await
    }
}

fn key_row(key: &Key, base_url: &str, model: &str) -> KeyRow {
    KeyRow {
        fingerprint: key.fingerprint.clone(),
        base_url: base_url.to_owned(),
        model: if key.model_only {
            model.to_owned()
        } else {
            String::new()
        },
        label: key.label.clone(),
        state: key.state.name().to_owned(),
        until: key.state.until(),
        reason: key.reason.clone(),
    }
}

fn panicked() -> Failure {
    Failure::NoResponse(NoResponse {
        fault: TransportFault::Panic,
        detail: "the worker panicked; this is a bug in promptmill".to_owned(),
    })
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
