//! Handles failed requests. The results of other keys and jobs can override the verdict.

use std::time::Duration;

use crate::domain::attribution::Attribution;
use crate::domain::error_fingerprint;
use crate::domain::failure::{Failure, TransportErrorKind};
use crate::domain::job::{AttemptRecord, JobClaim};
use crate::domain::key::{StateReason, display_name};
use crate::domain::retry::{self, AttemptCounts, Transition};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{self, Action, Context, KeyPenalty, Scope, Verdict};
use crate::progress::event::RunEvent;

use super::admission::mark_rejected_by_every_key;
use super::event::Effect;
use super::lane::{DEFAULT_PENALTY, Lane};
use super::shared::{ENDPOINT, InFlight, Shared};
use super::stop::Ending;

/// Waits of at least this length are for a quota, not for a per-minute rate limit.
const QUOTA_WAIT: Duration = Duration::from_mins(10);

/// Waits of at least this length are saved immediately, so that they survive a crash.
const PERSISTED_WAIT: Duration = Duration::from_secs(5);

/// A failed request with its classification.
pub(super) struct FailedAttempt<'f> {
    claim: JobClaim,
    request: &'f InFlight,
    failure: &'f Failure,
    verdict: Verdict,
    message: String,
    latency: Duration,
    now: Timestamp,
}

impl<'f> FailedAttempt<'f> {
    /// Classifies a failed request.
    pub(super) fn new(
        (claim, request): (JobClaim, &'f InFlight),
        (failure, latency): (&'f Failure, Duration),
        (lane, shared): (&Lane, &Shared),
        now: Timestamp,
    ) -> Self {
        let context = Context {
            host: &shared.endpoint.host,
            model: &lane.model,
        };
        let keys = lane.keys(shared);
        let mut verdict = verdict::classify(failure, context);
        if verdict.action == Action::StopRun && keys.any_served() {
            verdict.action = action_after_success(failure);
        }
        tracing::debug!(
            job = claim.job.0, key = keys.key(request.permit.key).label, rule = verdict.rule,
            scope = ?verdict.scope, status = failure.status(), "attempt failed"
        );
        Self {
            claim,
            request,
            failure,
            verdict,
            message: failure.message(),
            latency,
            now,
        }
    }

    /// Updates the state of the endpoint and the keys, and settles the job.
    pub(super) fn handle(&self, lane: &mut Lane, shared: &mut Shared) {
        self.update_breaker(lane, shared);
        if indicates_congestion(self.failure, &self.verdict) {
            let window = &mut shared.health.window;
            window.record_congestion(self.request.sent, self.now);
        }
        let attribution = self.update_keys(lane, shared);
        if self.verdict.action == Action::StopRun || attribution == Attribution::AllKeys {
            self.stop_tentatively(lane, shared);
        }
        self.settle(lane, shared, attribution);
    }

    fn update_breaker(&self, lane: &Lane, shared: &mut Shared) {
        let is_outage = matches!(self.verdict.action, Action::Retry { .. })
            && matches!(self.verdict.scope, Scope::Transient | Scope::Network);
        if !is_outage {
            shared.record_reachable();
            return;
        }
        let unreached = self.verdict.scope == Scope::Network && !lane.keys(shared).any_served();
        let opened = shared.health.breaker.record_failure(self.now);
        if opened || (unreached && shared.usage.requests == 1) {
            let message = self.message.clone();
            shared.report(RunEvent::EndpointFailing { message });
        }
        if opened {
            self.reconnect(shared);
        }
        if let Some(until) = shared.health.breaker.probe_at() {
            shared.report(RunEvent::Waiting {
                subject: ENDPOINT.to_owned(),
                until,
                reason: format!("{}; next attempt", self.message),
            });
        }
    }

    /// Updates the state of the key, and returns what the failure is attributed to.
    fn update_keys(&self, lane: &mut Lane, shared: &mut Shared) -> Attribution {
        let (key, verdict) = (self.request.permit.key, &self.verdict);
        // A key that was rejected with 401 or 403 is never used for the same job again.
        let is_rejection = matches!(self.failure.status(), Some(401 | 403));
        if is_rejection && !matches!(verdict.action, Action::NextKey(_)) {
            lane.rejections.record_key_rejection(self.claim.job, key);
        }
        match verdict.action {
            Action::Retry { .. } | Action::FailJob | Action::StopRun => Attribution::Undecided,
            Action::Wait => {
                self.throttle(lane, shared);
                Attribution::Undecided
            }
            Action::NextKey(penalty) => {
                let wait = verdict.wait.unwrap_or(DEFAULT_PENALTY);
                let until = self.now + wait.max(Duration::from_secs(1));
                let penalty_until = (penalty, until);
                let keys = &mut shared.keys;
                for disabled in keys.penalize(lane.ring, key, penalty_until, self.reason()) {
                    lane.report_disabled(shared, disabled);
                }
                if penalty == KeyPenalty::Probation {
                    return self.record_unexplained_rejection(lane, shared);
                }
                lane.rejections.record_key_rejection(self.claim.job, key);
                Attribution::Undecided
            }
        }
    }

    fn reason(&self) -> StateReason<'_> {
        StateReason {
            message: &self.message,
            model_only: matches!(self.verdict.scope, Scope::KeyModel | Scope::Model),
        }
    }

    fn throttle(&self, lane: &mut Lane, shared: &mut Shared) {
        let key = self.request.permit.key;
        lane.count(shared, |usage| usage.throttled += 1);
        let throttles = lane.keys(shared).key(key).throttles;
        let backoff = &mut shared.backoff;
        let wait = match self.verdict.wait {
            Some(wait) => backoff.requested(wait),
            None => backoff.throttled(throttles),
        };
        let rate_known = shared.keys.limiter.record_throttle(key, wait, self.now);
        let until = (self.now + wait, rate_known);
        shared.keys.throttle(lane.ring, key, until, self.reason());
        if wait >= PERSISTED_WAIT {
            shared.keys.mark_changed(lane.ring);
        }
        let is_quota = wait >= QUOTA_WAIT;
        let reason = if is_quota { "quota" } else { "rate limit" };
        let key = lane.keys(shared).key(key);
        let event = RunEvent::Waiting {
            subject: display_name(&key.label),
            until: key.state.until().unwrap_or(self.now + wait),
            reason: reason.to_owned(),
        };
        shared.report(event);
    }

    /// Records an error with an unknown cause. A stale session is a possible cause, so later
    /// requests use new connections.
    fn record_unexplained_rejection(&self, lane: &mut Lane, shared: &mut Shared) -> Attribution {
        // Other failures are not related to the key.
        let Failure::ErrorResponse(response) = self.failure else {
            return Attribution::Undecided;
        };
        self.reconnect(shared);
        let key = self.request.permit.key;
        if self.request.connection_generation < shared.health.connection_generation {
            shared.keys.ring_mut(lane.ring).excuse(key);
        }
        let fingerprint = error_fingerprint::of(response);
        let other_jobs_available = lane.queue.next_due.is_some() || lane.queue.in_flight > 0;
        let context = (self.now, other_jobs_available);
        let keys = shared.keys.ring(lane.ring);
        lane.rejections
            .record_unexplained(self.claim.job, key, fingerprint, keys, context)
    }

    fn reconnect(&self, shared: &mut Shared) {
        if shared.health.renew_connections(self.now) {
            shared.push(Effect::Reconnect);
        }
    }

    fn stop_tentatively(&self, lane: &mut Lane, shared: &Shared) {
        if !lane.is_open() {
            return;
        }
        let verdict = &self.verdict;
        let mut text = format!(
            "{}\nrequested model \"{}\" at {} with {} (rule {})",
            self.message,
            lane.model,
            shared.endpoint.base_url,
            lane.keys(shared).key(self.request.permit.key).label,
            verdict.rule,
        );
        if !verdict.hint.is_empty() {
            text = format!("{text}\n{}", verdict.hint);
        }
        lane.ending = Ending::Tentative(match (verdict.action, verdict.scope) {
            // A blocked region or a firewall is not a configuration error.
            (Action::StopRun, Scope::Network) if verdict.rule != "certificate" => {
                StopReason::NoUsableKey(text)
            }
            (Action::StopRun, _) => StopReason::Misconfigured(text),
            _ => StopReason::NoUsableKey(format!("every API key got the same error: {text}")),
        });
    }

    fn settle(&self, lane: &mut Lane, shared: &mut Shared, attribution: Attribution) {
        let (claim, job, key) = (self.claim, self.claim.job, Some(self.request.permit.key));
        let mut record = self.record();
        match attribution {
            Attribution::Job => {
                mark_rejected_by_every_key(&mut record);
                lane.fail(shared, (claim, key), record);
                return;
            }
            // The keys continue with other jobs, which shows whether they caused the error.
            Attribution::HoldJob => {
                lane.stuck.insert(job, Some(record.clone()));
                for key in lane.rejections.keys_rejected_for(job) {
                    shared.keys.ring_mut(lane.ring).end_probation(key);
                }
            }
            Attribution::Undecided | Attribution::AllKeys => {}
        }
        let transition = self.transition(shared);
        if transition == Transition::Fail {
            lane.fail(shared, (claim, key), record);
            return;
        }
        let event = RunEvent::Requeued {
            job,
            scope: self.verdict.scope,
            rule: self.verdict.rule,
        };
        let attempt = (Some(record), Some(event));
        lane.settle(shared, (claim, key), transition, attempt);
    }

    fn transition(&self, shared: &mut Shared) -> Transition {
        let (verdict, spent) = (&self.verdict, self.request.spent);
        let counts = AttemptCounts {
            attempts: spent,
            by_rule: count_of(&self.request.rules, verdict.rule),
            max_attempts: shared.settings.max_attempts,
        };
        let mut wait = shared.backoff.transient(spent);
        if verdict.scope == Scope::Request {
            // The endpoint works, so there is nothing to wait for.
            wait = Duration::ZERO;
        } else if matches!(verdict.action, Action::Retry { .. }) {
            wait = wait.max(shared.health.budget.take(self.now));
        }
        let is_down = shared.health.breaker.is_open();
        retry::decide(verdict, counts, wait, is_down, self.now)
    }

    fn record(&self) -> AttemptRecord {
        AttemptRecord {
            unknown: false,
            scope: self.verdict.scope,
            rule: self.verdict.rule.to_owned(),
            status: self.failure.status(),
            message: self.message.clone(),
            request_id: self.failure.request_id().to_owned(),
            wait_ms: self.verdict.wait.map(millis),
            latency_ms: Some(millis(self.latency)),
        }
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

fn count_of(rules: &[String], rule: &str) -> u32 {
    u32::try_from(rules.iter().filter(|known| *known == rule).count()).unwrap_or(u32::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
