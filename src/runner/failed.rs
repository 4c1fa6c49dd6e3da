//! Handles failed requests. The results of other keys and jobs can override the verdict.

use std::time::Duration;

use crate::domain::attribution::Attribution;
use crate::domain::error_fingerprint;
use crate::domain::failure::{Failure, TransportErrorKind};
use crate::domain::job::JobId;
use crate::domain::key::{StateReason, display_name};
use crate::domain::keyring::KeyIndex;
use crate::domain::retry::{self, AttemptCounts, Transition};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{
    self, Action, Context, KeyPenalty, REJECTED_BY_EVERY_KEY, Scope, Verdict,
};
use crate::progress::event::RunEvent;
use crate::store::{AttemptRecord, ClaimedJob, JobOutcome};

use super::backoff;
use super::dispatcher::{Dispatcher, Ending, InFlightRequest};
use super::outcome::millis;

/// How long a key is disabled before a single request tries it again.
const DEFAULT_PENALTY: Duration = Duration::from_hours(1);

/// Waits of at least this length are for a quota, not for a per-minute rate limit.
const QUOTA_WAIT: Duration = Duration::from_mins(10);

/// The name of the endpoint in `RunEvent::Waiting`.
const ENDPOINT: &str = "endpoint";

/// Waits of at least this length are saved immediately, so that they survive a crash.
const PERSISTED_WAIT: Duration = Duration::from_secs(5);

/// The minimum time between two replacements of the connections.
const RECONNECT_INTERVAL: Duration = Duration::from_mins(1);

/// A failed request with its classification.
struct FailedAttempt<'f> {
    job: ClaimedJob,
    key: KeyIndex,
    connection_generation: u32,
    sent: Timestamp,
    failure: &'f Failure,
    verdict: Verdict,
    message: String,
    latency: Duration,
    now: Timestamp,
}

impl Dispatcher<'_> {
    /// Handles a failed request.
    pub(super) fn handle_failure(
        &mut self,
        request: InFlightRequest,
        failure: &Failure,
        latency: Duration,
        now: Timestamp,
    ) {
        let InFlightRequest {
            job,
            key,
            connection_generation,
            sent,
            ..
        } = request;
        let context = Context {
            host: self.client.endpoint().host(),
            model: &self.batch.template.model,
        };
        let mut verdict = verdict::classify(failure, context);
        if verdict.action == Action::StopRun && self.ring.any_served() {
            verdict.action = action_after_success(failure);
        }
        tracing::debug!(
            job = job.id.0, key = self.ring.key(key).label, rule = verdict.rule,
            scope = ?verdict.scope, status = failure.status(), "attempt failed"
        );
        let message = failure.message();
        let attempt = FailedAttempt {
            job,
            key,
            connection_generation,
            sent,
            failure,
            verdict,
            message,
            latency,
            now,
        };
        self.update_breaker(&attempt);
        if indicates_congestion(failure, &attempt.verdict) {
            self.window.record_congestion(attempt.sent, now);
        }
        let attribution = self.update_keys(&attempt);
        if attempt.verdict.action == Action::StopRun || attribution == Attribution::AllKeys {
            self.stop_tentatively(&attempt);
        }
        self.settle_failure(&attempt, attribution);
    }

    fn update_breaker(&mut self, attempt: &FailedAttempt<'_>) {
        let is_outage = matches!(attempt.verdict.action, Action::Retry { .. })
            && matches!(attempt.verdict.scope, Scope::Transient | Scope::Network);
        if !is_outage {
            self.record_reachable();
            return;
        }
        let unreached = attempt.verdict.scope == Scope::Network && !self.ring.any_served();
        let opened = self.breaker.record_failure(attempt.now);
        if opened || (unreached && self.stats.requests == 1) {
            let message = attempt.message.clone();
            (self.on_event)(&RunEvent::EndpointFailing { message });
        }
        if opened {
            self.reconnect(attempt.now);
        }
        if let Some(until) = self.breaker.probe_at() {
            (self.on_event)(&RunEvent::Waiting {
                subject: ENDPOINT.to_owned(),
                until,
                reason: format!("{}; next attempt", attempt.message),
            });
        }
    }

    /// Records that the endpoint is reachable.
    pub(super) fn record_reachable(&mut self) {
        if self.breaker.record_success() {
            let subject = ENDPOINT.to_owned();
            (self.on_event)(&RunEvent::Resumed { subject });
        }
    }

    /// Updates the state of the key, and returns what the failure is attributed to.
    fn update_keys(&mut self, attempt: &FailedAttempt<'_>) -> Attribution {
        let &FailedAttempt {
            key,
            ref verdict,
            now,
            ..
        } = attempt;
        let model_only = matches!(verdict.scope, Scope::KeyModel | Scope::Model);
        let reason = StateReason {
            message: &attempt.message,
            model_only,
        };
        // A key that was rejected with 401 or 403 is never used for the same job again.
        let is_rejection = matches!(attempt.failure.status(), Some(401 | 403));
        if is_rejection && !matches!(verdict.action, Action::NextKey(_)) {
            self.rejections.record_key_rejection(attempt.job.id, key);
        }
        match verdict.action {
            Action::Retry { .. } | Action::FailJob | Action::StopRun => Attribution::Undecided,
            Action::Wait => {
                self.stats.throttled += 1;
                let throttles = self.ring.key(key).throttles;
                let wait = verdict.wait;
                let wait = wait.map_or_else(|| backoff::throttled(throttles), backoff::retry_after);
                let rate_known = self.rate_limiter.record_throttle(key, wait, now);
                self.ring.throttle(key, now + wait, rate_known, reason);
                self.keys_changed |= wait >= PERSISTED_WAIT;
                let why = if wait >= QUOTA_WAIT {
                    "quota"
                } else {
                    "rate limit"
                };
                (self.on_event)(&RunEvent::Waiting {
                    subject: display_name(&self.ring.key(key).label),
                    until: self.ring.key(key).state.until().unwrap_or(now + wait),
                    reason: why.to_owned(),
                });
                Attribution::Undecided
            }
            Action::NextKey(penalty) => {
                let wait = verdict.wait.unwrap_or(DEFAULT_PENALTY);
                let until = now + wait.max(Duration::from_secs(1));
                for disabled in self.ring.penalize(key, penalty, until, reason) {
                    self.report_disabled(disabled);
                }
                if penalty == KeyPenalty::Probation {
                    return self.record_unexplained_rejection(attempt);
                }
                self.rejections.record_key_rejection(attempt.job.id, key);
                Attribution::Undecided
            }
        }
    }

    /// Records an error with an unknown cause. A stale session is a possible cause, so later
    /// requests use new connections.
    fn record_unexplained_rejection(&mut self, attempt: &FailedAttempt<'_>) -> Attribution {
        // Other failures are not related to the key.
        let Failure::ErrorResponse(response) = attempt.failure else {
            return Attribution::Undecided;
        };
        self.reconnect(attempt.now);
        if attempt.connection_generation < self.connection_generation {
            self.ring.excuse(attempt.key);
        }
        let fingerprint = error_fingerprint::of(response);
        let other_jobs_available = self.next_due.is_some() || self.in_flight() > 0;
        let (job, key, context) = (
            attempt.job.id,
            attempt.key,
            (attempt.now, other_jobs_available),
        );
        self.rejections
            .record_unexplained(job, key, fingerprint, &self.ring, context)
    }

    fn reconnect(&mut self, now: Timestamp) {
        if self
            .reconnected_at
            .is_some_and(|last| now.since(last) < RECONNECT_INTERVAL)
        {
            return;
        }
        match self.client.reconnect() {
            Ok(client) => {
                (self.client, self.reconnected_at) = (client, Some(now));
                self.connection_generation += 1;
            }
            Err(error) => tracing::debug!(%error, "cannot replace the connections"),
        }
    }

    fn stop_tentatively(&mut self, attempt: &FailedAttempt<'_>) {
        if !matches!(self.ending, Ending::Open) {
            return;
        }
        let verdict = &attempt.verdict;
        let mut text = format!(
            "{}\nrequested model \"{}\" at {} with {} (rule {})",
            attempt.message,
            self.batch.template.model,
            self.client.endpoint().display(),
            self.ring.key(attempt.key).label,
            verdict.rule,
        );
        if !verdict.hint.is_empty() {
            text = format!("{text}\n{}", verdict.hint);
        }
        self.ending = Ending::Tentative(match (verdict.action, verdict.scope) {
            // A blocked region or a firewall is not a configuration error.
            (Action::StopRun, Scope::Network) if verdict.rule != "certificate" => {
                StopReason::NoUsableKey(text)
            }
            (Action::StopRun, _) => StopReason::Misconfigured(text),
            _ => StopReason::NoUsableKey(format!("every API key got the same error: {text}")),
        });
    }

    fn settle_failure(&mut self, attempt: &FailedAttempt<'_>, attribution: Attribution) {
        let FailedAttempt {
            job, key, verdict, ..
        } = attempt;
        let mut record = record(attempt);
        match attribution {
            Attribution::Job => {
                mark_rejected_by_every_key(&mut record);
                self.fail(job, Some(*key), record);
                return;
            }
            // The keys continue with other jobs, which shows whether they caused the error.
            Attribution::HoldJob => {
                self.stuck.insert(job.id, Some(record.clone()));
                for key in self.rejections.keys_rejected_for(job.id) {
                    self.ring.end_probation(key);
                }
            }
            Attribution::Undecided | Attribution::AllKeys => {}
        }
        let counts = AttemptCounts {
            attempts: job.spent,
            by_rule: count_of(&job.rules, verdict.rule),
            max_attempts: self.settings.max_attempts,
        };
        let mut wait = backoff::transient(job.spent);
        if verdict.scope == Scope::Request {
            // The endpoint works, so there is nothing to wait for.
            wait = Duration::ZERO;
        } else if matches!(verdict.action, Action::Retry { .. }) {
            wait = wait.max(self.budget.take(attempt.now));
        }
        match retry::decide(verdict, counts, wait, self.breaker.is_open(), attempt.now) {
            Transition::Fail => self.fail(job, Some(*key), record),
            Transition::Requeue {
                not_before,
                counted,
            } => {
                let (scope, rule) = (verdict.scope, verdict.rule);
                let event = RunEvent::Requeued {
                    job: job.id,
                    scope,
                    rule,
                };
                let outcome = JobOutcome::Requeued {
                    not_before,
                    counted,
                };
                self.settle(job, Some(*key), outcome, Some(record), Some(event));
            }
        }
    }

    /// Fails a claimed job that caused its errors, without sending another request.
    pub(super) fn fail_rejected(&mut self, job: &ClaimedJob) {
        let held = self.stuck.remove(&job.id).flatten();
        let mut record = held.unwrap_or_else(|| AttemptRecord {
            unknown: false,
            scope: Scope::Request,
            rule: String::new(),
            status: None,
            message: "rejected with API keys that work for other rows".to_owned(),
            request_id: String::new(),
            wait_ms: None,
            latency_ms: None,
        });
        mark_rejected_by_every_key(&mut record);
        self.fail(job, None, record);
    }

    pub(super) fn fail(&mut self, job: &ClaimedJob, key: Option<KeyIndex>, record: AttemptRecord) {
        // The job caused the errors, so the probation of its keys ends.
        for rejected_key in self.rejections.settle(job.id) {
            self.ring.end_probation(rejected_key);
        }
        self.follow_ups.remove(&job.id);
        self.stats.finished += 1;
        let (scope, rule) = (record.scope, record.rule.clone());
        let event = RunEvent::JobFailed {
            job: job.id,
            scope,
            rule,
        };
        self.settle(job, key, JobOutcome::Failed, Some(record), Some(event));
    }

    /// Records a strike against the keys that were rejected for a job that another key completed.
    pub(super) fn strike_rejected_keys(&mut self, job: JobId, now: Timestamp) {
        for rejected_key in self.rejections.settle(job) {
            if self.ring.strike(rejected_key, job, now + DEFAULT_PENALTY) {
                self.report_disabled(rejected_key);
            }
        }
    }

    fn report_disabled(&mut self, key: KeyIndex) {
        self.keys_changed = true;
        let key = self.ring.key(key);
        (self.on_event)(&RunEvent::KeyDisabled {
            key: key.label.clone(),
            reason: key.reason.clone(),
            until: key.state.until(),
        });
    }
}

/// Returns whether a failure suggests too many requests in flight. An exhausted quota does not.
fn indicates_congestion(failure: &Failure, verdict: &Verdict) -> bool {
    let throttled =
        verdict.action == Action::Wait && verdict.wait.is_none_or(|wait| wait < QUOTA_WAIT);
    let timed_out =
        matches!(failure, Failure::Transport(error) if error.kind == TransportErrorKind::Timeout);
    throttled || timed_out || matches!(failure.status(), Some(408 | 503 | 504 | 529))
}

/// Returns the action for a failure that implies that no request can succeed, although some have
/// succeeded.
fn action_after_success(failure: &Failure) -> Action {
    match failure {
        Failure::ErrorResponse(_) => Action::NextKey(KeyPenalty::Probation),
        Failure::InvalidResponse(_) | Failure::Transport(_) => Action::Retry { at_most: None },
    }
}

/// Attributes a recorded error to the job.
fn mark_rejected_by_every_key(record: &mut AttemptRecord) {
    record.scope = Scope::Request;
    REJECTED_BY_EVERY_KEY.0.clone_into(&mut record.rule);
}

fn record(attempt: &FailedAttempt<'_>) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope: attempt.verdict.scope,
        rule: attempt.verdict.rule.to_owned(),
        status: attempt.failure.status(),
        message: attempt.message.clone(),
        request_id: attempt.failure.request_id().to_owned(),
        wait_ms: attempt.verdict.wait.map(millis),
        latency_ms: Some(millis(attempt.latency)),
    }
}

fn count_of(rules: &[String], rule: &str) -> u32 {
    u32::try_from(rules.iter().filter(|known| *known == rule).count()).unwrap_or(u32::MAX)
}
