//! Handles successful and abandoned requests, and saves the states of jobs and keys. Failures are
//! handled in `failed`.

use std::time::Duration;

use crate::api::CompletionMetadata;
use crate::domain::failure::{Failure, TransportError, TransportErrorKind};
use crate::domain::job::Completion;
use crate::domain::key::Key;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::Cost;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;
use crate::progress::event::RunEvent;
use crate::provider::{Exchange, ParsedCompletion};
use crate::store::{AttemptRecord, ClaimedJob, JobOutcome, KeyRow, Settlement, StoreError};

use super::dispatcher::{Dispatcher, Ending, InFlightRequest};
use super::rate_limit::Permit;

impl Dispatcher<'_> {
    /// Handles a finished request. `exchange` is `None` if its worker panicked.
    pub(super) fn handle_result(&mut self, request: InFlightRequest, exchange: Option<Exchange>) {
        let now = self.clock.now();
        if let Some(exchange) = &exchange {
            // `Date` has a resolution of one second, so small differences are ignored.
            let ahead = exchange.clock_ahead.filter(|ahead| ahead.abs() > 2000);
            self.rate_limiter
                .apply_headers(request.key, &exchange.rate, ahead.unwrap_or(0), now);
        }
        let (latency, request_id, outcome) = match exchange {
            Some(exchange) => (exchange.latency, exchange.request_id, exchange.outcome),
            None => (Duration::ZERO, String::new(), Err(panicked())),
        };
        match outcome {
            Ok(success) => {
                let cost = self.record_success(&request, &success.metadata, latency, now);
                match self.check_schema(&request.job, &success, &request_id) {
                    None => self.complete_job(request, success, request_id, latency, cost),
                    Some(failure) => self.handle_failure(request, &failure, latency, now),
                }
            }
            Err(failure) => self.handle_failure(request, &failure, latency, now),
        }
    }

    /// Updates the state of the endpoint, the key and the limits after a success, and returns the
    /// cost.
    fn record_success(
        &mut self,
        request: &InFlightRequest,
        metadata: &CompletionMetadata,
        latency: Duration,
        now: Timestamp,
    ) -> Option<Cost> {
        let &InFlightRequest {
            ref job,
            key,
            tokens: reserved,
            sent,
            ..
        } = request;
        self.record_reachable();
        self.budget.record_success();
        self.latencies.record(latency);
        let in_flight = self.in_flight() + 1;
        self.window.record_completion(sent, latency, in_flight, now);
        self.rejections.record_success();
        self.ring.end_cooldown(key, now);
        if self.ring.record_success(key) {
            self.keys_changed = true;
            let key = self.ring.key(key).label.clone();
            (self.on_event)(&RunEvent::KeyEnabled { key });
        }
        if matches!(self.ending, Ending::Tentative(_)) {
            self.ending = Ending::Open;
        }
        self.strike_rejected_keys(job.id, now);
        let tokens =
            [metadata.prompt_tokens, metadata.completion_tokens].map(Option::unwrap_or_default);
        self.stats.prompt_tokens += tokens[0];
        self.stats.completion_tokens += tokens[1];
        let has_usage = metadata.prompt_tokens.is_some();
        if has_usage {
            let permit = Permit {
                key,
                tokens: reserved,
            };
            self.rate_limiter.settle_tokens(permit, tokens.iter().sum());
        }
        self.record_cost(&metadata.model, has_usage, tokens)
    }

    /// Validates a response against the schema, if there is one. After a violation, the next
    /// request of the job includes the response and the reason for its rejection.
    fn check_schema(
        &mut self,
        job: &ClaimedJob,
        success: &ParsedCompletion,
        request_id: &str,
    ) -> Option<Failure> {
        let schema = self.schema?;
        let violation = schema.check_body(&success.body).err()?;
        if let Some(follow_up) = schema.follow_up(&job.request, &success.body, &violation) {
            self.follow_ups.insert(job.id, follow_up);
        }
        Some(violation.failure(request_id))
    }

    fn complete_job(
        &mut self,
        request: InFlightRequest,
        success: ParsedCompletion,
        request_id: String,
        latency: Duration,
        cost: Option<Cost>,
    ) {
        let InFlightRequest { job, key, .. } = request;
        self.follow_ups.remove(&job.id);
        let metadata = success.metadata;
        let tokens =
            [metadata.prompt_tokens, metadata.completion_tokens].map(Option::unwrap_or_default);
        self.stats.finished += 1;
        self.stats.completions += 1;
        let completion = Completion {
            body: success.body,
            model: metadata.model,
            finish_reason: metadata.finish_reason,
            prompt_tokens: metadata.prompt_tokens,
            completion_tokens: metadata.completion_tokens,
            latency_ms: millis(latency),
            request_id,
        };
        let event = RunEvent::Completed {
            job: job.id,
            latency,
            prompt_tokens: tokens[0],
            completion_tokens: tokens[1],
            cost,
        };
        self.settle(
            &job,
            Some(key),
            JobOutcome::Done(completion),
            None,
            Some(event),
        );
    }

    /// Records a request that was abandoned in flight.
    pub(super) fn record_abandoned(&mut self, request: &InFlightRequest) {
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
        let outcome = JobOutcome::Requeued {
            not_before: Timestamp::default(),
            counted: false,
        };
        self.settle(&request.job, Some(request.key), outcome, Some(record), None);
    }

    /// Passes the outcome of a job to the recorder. `key` is the key of its request, if one was
    /// sent.
    pub(super) fn settle(
        &mut self,
        job: &ClaimedJob,
        key: Option<KeyIndex>,
        outcome: JobOutcome,
        attempt: Option<AttemptRecord>,
        event: Option<RunEvent>,
    ) {
        let key_label = key.map_or_else(String::new, |key| self.ring.key(key).label.clone());
        self.recorder.push(
            Settlement {
                id: job.id,
                claim_no: job.claim_no,
                requests: u32::from(key.is_some()),
                outcome,
                attempt,
                key_label,
            },
            event,
        );
    }

    /// Saves the states of the keys for later runs.
    pub(super) async fn save_key_states(&mut self) -> Result<(), StoreError> {
        self.keys_changed = false;
        let base_url = self.client.endpoint().display();
        let model = &self.batch.template.model;
        let identified_keys = self
            .ring
            .keys()
            .iter()
            .filter(|key| !key.fingerprint.is_empty());
        let rows: Vec<_> = identified_keys
            .map(|key| key_row(key, base_url, model))
            .collect();
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
    Failure::Transport(TransportError {
        kind: TransportErrorKind::Panic,
        detail: "the worker panicked; this is a bug in promptmill".to_owned(),
    })
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
