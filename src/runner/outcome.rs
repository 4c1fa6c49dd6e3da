//! What follows from a request that has come back: for its job, its key, the endpoint and the run.

use std::time::Duration;

use crate::domain::doubt::Ruling;
use crate::domain::failure::{Failure, NoResponse, TransportFault};
use crate::domain::fingerprint;
use crate::domain::job::Answer;
use crate::domain::keyring::KeyIndex;
use crate::domain::retry::{self, Spent, Transition};
use crate::domain::tally::StopReason;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{self, Action, Context, Scope, SetAside, Verdict};
use crate::progress::event::RunEvent;
use crate::provider::{Attempt, Success};
use crate::store::{AttemptRecord, ClaimedJob, KeyRow, SettledAs, Settlement, StoreError};

use super::backoff;
use super::dispatcher::{Dispatcher, Ending, Flight};

/// How long a key that was set aside is left alone before one request tries it again.
const ASIDE: Duration = Duration::from_hours(1);

/// The rule by which a job fails that several keys have refused.
const REFUSED_BY_KEYS: Verdict = Verdict {
    scope: Scope::Request,
    rule: "refused-by-every-key",
    action: Action::FailJob,
    wait: None,
    cure: "Look at this row's prompt: keys that answer other rows refuse it.",
};

impl Dispatcher<'_> {
    /// Draws the conclusions from a request that has come back; `None` when its worker panicked.
    pub(super) fn conclude(&mut self, flight: Flight, attempt: Option<Attempt>) {
        let now = self.clock.now();
        let (latency, outcome) = match attempt {
            Some(attempt) => (attempt.latency, attempt.outcome),
            None => (Duration::ZERO, Err(panicked())),
        };
        match outcome {
            Ok(success) => self.answered(flight, success, latency, now),
            Err(failure) => self.failed(flight, &failure, latency, now),
        }
    }

    fn answered(&mut self, flight: Flight, success: Success, latency: Duration, now: Timestamp) {
        let Flight { job, key } = flight;
        self.breaker.reached();
        if self.ring.answered(key) {
            let key = self.ring.key(key).label.clone();
            (self.on_event)(&RunEvent::KeyBack { key });
        }
        if matches!(self.ending, Ending::Tentative(_)) {
            self.ending = Ending::Open;
        }
        for doubted in self.doubts.settle(job.id) {
            if self.ring.strike(doubted, job.id, now + ASIDE) {
                self.tell_set_aside(doubted);
            }
        }
        let reply = success.reply;
        let tokens = [reply.prompt_tokens, reply.completion_tokens].map(Option::unwrap_or_default);
        self.tally.prompt_tokens += tokens[0];
        self.tally.completion_tokens += tokens[1];
        let answer = Answer {
            body: success.body,
            model: reply.model,
            finish_reason: reply.finish_reason,
            prompt_tokens: reply.prompt_tokens,
            completion_tokens: reply.completion_tokens,
            latency_ms: millis(latency),
        };
        let event = RunEvent::Answered {
            latency,
            tokens: tokens.iter().sum(),
        };
        self.settle(&job, Some(key), SettledAs::Done(answer), None, Some(event));
    }

    fn failed(&mut self, flight: Flight, failure: &Failure, latency: Duration, now: Timestamp) {
        let Flight { job, key } = flight;
        let context = Context {
            host: self.client.endpoint().host(),
            model: &self.batch.recipe.model,
        };
        let mut verdict = verdict::judge(failure, context);
        let message = failure.message();
        tracing::debug!(
            job = job.id.0, key = self.ring.key(key).label, rule = verdict.rule,
            scope = ?verdict.scope, status = failure.status(), "attempt failed"
        );
        if verdict.action == Action::StopRun && self.ring.any_served() {
            verdict.action = contradicted(failure);
        }
        let passes = matches!(verdict.action, Action::Retry { .. })
            && matches!(verdict.scope, Scope::Transient | Scope::Network);
        if passes {
            if self.breaker.failed(now) {
                let why = format!("the endpoint does not answer well: {message}");
                let until = self.breaker.probe_at().unwrap_or(now);
                (self.on_event)(&RunEvent::Waiting { until, why });
            }
        } else {
            self.breaker.reached();
        }
        let ruling = self.tell_keys(&job, key, failure, &verdict, &message, now);
        if verdict.action == Action::StopRun || ruling == Ruling::Everybody {
            self.stop_tentatively(&verdict, &message, key);
        }
        let record = record(failure, &verdict, &message, latency);
        if ruling == Ruling::Job {
            let record = AttemptRecord {
                rule: REFUSED_BY_KEYS.rule.to_owned(),
                ..record
            };
            let record = AttemptRecord {
                scope: REFUSED_BY_KEYS.scope,
                ..record
            };
            self.fail(&job, Some(key), record);
            return;
        }
        let spent = Spent {
            attempts: job.spent,
            by_rule: count(&job.rules, verdict.rule),
            max_attempts: self.settings.max_attempts,
        };
        let wait = backoff::transient(job.spent);
        match retry::decide(&verdict, spent, wait, self.breaker.is_open(), now) {
            Transition::Fail => self.fail(&job, Some(key), record),
            Transition::Requeue {
                not_before,
                counted,
            } => {
                let event = RunEvent::Requeued {
                    scope: verdict.scope,
                    rule: verdict.rule,
                };
                let settled_as = SettledAs::Requeued {
                    not_before,
                    counted,
                };
                self.settle(&job, Some(key), settled_as, Some(record), Some(event));
            }
        }
    }

    /// Lets the key ring know what its key has earned, and says what that shows.
    fn tell_keys(
        &mut self,
        job: &ClaimedJob,
        key: KeyIndex,
        failure: &Failure,
        verdict: &Verdict,
        message: &str,
        now: Timestamp,
    ) -> Ruling {
        match verdict.action {
            Action::Retry { .. } | Action::FailJob | Action::StopRun => Ruling::Open,
            Action::Wait => {
                self.tally.throttled += 1;
                let before = self.ring.key(key).throttles;
                let wait = verdict
                    .wait
                    .map_or_else(|| backoff::throttled(before), backoff::after_hint);
                self.ring.throttled(key, now + wait, message);
                if wait > Duration::from_secs(2) {
                    let why = format!("limit of {}", self.ring.key(key).label);
                    (self.on_event)(&RunEvent::Waiting {
                        until: now + wait,
                        why,
                    });
                }
                Ruling::Open
            }
            Action::NextKey(how) => {
                let until = now + verdict.wait.unwrap_or(ASIDE).max(Duration::from_secs(1));
                if self.ring.set_aside(key, how, until, message) {
                    self.tell_set_aside(key);
                }
                if how == SetAside::Doubted {
                    self.doubt(job, key, failure, now)
                } else {
                    self.doubts.note_known(job.id, key);
                    Ruling::Open
                }
            }
        }
    }

    fn doubt(
        &mut self,
        job: &ClaimedJob,
        key: KeyIndex,
        failure: &Failure,
        now: Timestamp,
    ) -> Ruling {
        // Only a refusal leads here: what has no answer, or no response, is no word on the key.
        let Failure::Refused(refusal) = failure else {
            return Ruling::Open;
        };
        let print = fingerprint::of(refusal);
        let others_wait = self.next_due.is_some() || self.in_flight() > 0;
        self.doubts
            .note_unknown(job.id, key, print, &self.ring, (now, others_wait))
    }

    fn stop_tentatively(&mut self, verdict: &Verdict, message: &str, key: KeyIndex) {
        if !matches!(self.ending, Ending::Open) {
            return;
        }
        let label = &self.ring.key(key).label;
        let text = format!(
            "{message}\nasked for model \"{}\" at {} with {label} (rule {})",
            self.batch.recipe.model,
            self.client.endpoint().display(),
            verdict.rule,
        );
        let text = if verdict.cure.is_empty() {
            text
        } else {
            format!("{text}\n{}", verdict.cure)
        };
        self.ending = Ending::Tentative(match (verdict.action, verdict.scope) {
            // A place or a firewall that lets nobody in is no mistake in the set-up.
            (Action::StopRun, Scope::Network) if verdict.rule != "certificate" => {
                StopReason::NoUsableKey(text)
            }
            (Action::StopRun, _) => StopReason::Misconfigured(text),
            _ => StopReason::NoUsableKey(format!("every key was refused in the same way: {text}")),
        });
    }

    /// Fails a claimed job that every key has refused, without a further request.
    pub(super) fn blame(&mut self, job: &ClaimedJob) {
        let record = AttemptRecord {
            unknown: false,
            scope: REFUSED_BY_KEYS.scope,
            rule: REFUSED_BY_KEYS.rule.to_owned(),
            status: None,
            message: "keys that answer other rows refuse this one".to_owned(),
            request_id: String::new(),
            wait_ms: None,
            latency_ms: None,
        };
        self.fail(job, None, record);
    }

    fn fail(&mut self, job: &ClaimedJob, key: Option<KeyIndex>, record: AttemptRecord) {
        // The job was at fault: the keys that were doubted for it come back.
        for doubted in self.doubts.settle(job.id) {
            self.ring.trust(doubted);
        }
        let event = RunEvent::JobFailed {
            scope: record.scope,
            rule: record.rule.clone(),
        };
        self.settle(job, key, SettledAs::Failed, Some(record), Some(event));
    }

    /// Notes that a request in flight was given up.
    pub(super) fn abandon(&mut self, flight: Flight) {
        self.tally.unknown += 1;
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

    fn settle(
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

    fn tell_set_aside(&mut self, key: KeyIndex) {
        let key = self.ring.key(key);
        (self.on_event)(&RunEvent::KeySetAside {
            key: key.label.clone(),
            reason: key.reason.clone(),
            until: key.state.until(),
        });
    }

    /// Writes down where the keys stand, for the next run.
    pub(super) async fn save_keys(&self) -> Result<(), StoreError> {
        let base_url = self.client.endpoint().display();
        let named = self
            .ring
            .keys()
            .iter()
            .filter(|key| !key.fingerprint.is_empty());
        let rows: Vec<_> = named
            .map(|key| KeyRow {
                fingerprint: key.fingerprint.clone(),
                base_url: base_url.to_owned(),
                label: key.label.clone(),
                state: key.state.name().to_owned(),
                until: key.state.until(),
                reason: key.reason.clone(),
            })
            .collect();
        self.store.save_keys(&rows, self.clock.now()).await
    }
}

/// What to do when a failure says that nothing can succeed, although something has.
fn contradicted(failure: &Failure) -> Action {
    match failure {
        Failure::Refused(_) => Action::NextKey(SetAside::Doubted),
        Failure::NoAnswer(_) | Failure::NoResponse(_) => Action::Retry { at_most: None },
    }
}

fn panicked() -> Failure {
    Failure::NoResponse(NoResponse {
        fault: TransportFault::Panic,
        detail: "the worker panicked; this is a bug in promptmill".to_owned(),
    })
}

fn record(failure: &Failure, verdict: &Verdict, message: &str, latency: Duration) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope: verdict.scope,
        rule: verdict.rule.to_owned(),
        status: failure.status(),
        message: message.to_owned(),
        request_id: failure.request_id().to_owned(),
        wait_ms: verdict.wait.map(millis),
        latency_ms: Some(millis(latency)),
    }
}

fn count(rules: &[String], rule: &str) -> u32 {
    u32::try_from(rules.iter().filter(|known| *known == rule).count()).unwrap_or(u32::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
