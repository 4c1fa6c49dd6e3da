//! What follows from a request that failed. The judge's word comes first; what other keys and other
//! jobs got may correct it.

use std::time::Duration;

use crate::domain::doubt::Ruling;
use crate::domain::failure::{Failure, TransportFault};
use crate::domain::fingerprint;
use crate::domain::job::JobId;
use crate::domain::key::{Cause, titled};
use crate::domain::keyring::KeyIndex;
use crate::domain::retry::{self, Spent, Transition};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{
    self, Action, Context, REFUSED_BY_EVERY_KEY, Scope, SetAside, Verdict,
};
use crate::progress::event::RunEvent;
use crate::store::{AttemptRecord, ClaimedJob, SettledAs};

use super::backoff;
use super::dispatcher::{Dispatcher, Ending, Flight};
use super::outcome::millis;

/// How long a key that was set aside is left alone before one request tries it again.
const ASIDE: Duration = Duration::from_hours(1);

/// A rest from here on is a quota's, of an hour or a day, and no longer a limit a minute's.
const QUOTA_REST: Duration = Duration::from_mins(10);

/// Who waits when no key is the cause.
const ENDPOINT: &str = "endpoint";

/// A rest from here on is worth remembering if the program dies.
const LONG_REST: Duration = Duration::from_secs(5);

/// New connections are made no more often than this.
const FRESH_EVERY: Duration = Duration::from_mins(1);

/// A failure with all that is known about it.
struct Case<'f> {
    job: ClaimedJob,
    key: KeyIndex,
    connections: u32,
    sent: Timestamp,
    failure: &'f Failure,
    verdict: Verdict,
    message: String,
    latency: Duration,
    now: Timestamp,
}

impl Dispatcher<'_> {
    /// Draws the conclusions from a failure.
    pub(super) fn failed(
        &mut self,
        flight: Flight,
        failure: &Failure,
        latency: Duration,
        now: Timestamp,
    ) {
        let Flight {
            job,
            key,
            connections,
            sent,
            ..
        } = flight;
        let context = Context {
            host: self.client.endpoint().host(),
            model: &self.batch.template.model,
        };
        let mut verdict = verdict::judge(failure, context);
        if verdict.action == Action::StopRun && self.ring.any_served() {
            verdict.action = contradicted(failure);
        }
        tracing::debug!(
            job = job.id.0, key = self.ring.key(key).label, rule = verdict.rule,
            scope = ?verdict.scope, status = failure.status(), "attempt failed"
        );
        let message = failure.message();
        let case = Case {
            job,
            key,
            connections,
            sent,
            failure,
            verdict,
            message,
            latency,
            now,
        };
        self.tell_breaker(&case);
        if shows_congestion(failure, &case.verdict) {
            self.window.congested(case.sent, now);
        }
        let ruling = self.tell_keys(&case);
        if case.verdict.action == Action::StopRun || ruling == Ruling::Everybody {
            self.stop_tentatively(&case);
        }
        self.settle_failed(&case, ruling);
    }

    fn tell_breaker(&mut self, case: &Case<'_>) {
        let passes = matches!(case.verdict.action, Action::Retry { .. })
            && matches!(case.verdict.scope, Scope::Transient | Scope::Network);
        if !passes {
            self.reached();
            return;
        }
        let unreached = case.verdict.scope == Scope::Network && !self.ring.any_served();
        let opened = self.breaker.failed(case.now);
        if opened || (unreached && self.stats.requests == 1) {
            let what = case.message.clone();
            (self.on_event)(&RunEvent::Trouble { what });
        }
        if opened {
            self.use_fresh_connections(case.now);
        }
        if let Some(until) = self.breaker.probe_at() {
            (self.on_event)(&RunEvent::Waiting {
                who: ENDPOINT.to_owned(),
                until,
                why: format!("{}; next try", case.message),
            });
        }
    }

    /// Notes a response that shows that the endpoint is up.
    pub(super) fn reached(&mut self) {
        if self.breaker.reached() {
            let who = ENDPOINT.to_owned();
            (self.on_event)(&RunEvent::GoesOn { who });
        }
    }

    /// Lets the key ring know what its key has earned, and says what that shows.
    fn tell_keys(&mut self, case: &Case<'_>) -> Ruling {
        let &Case {
            key,
            ref verdict,
            now,
            ..
        } = case;
        let model_only = matches!(verdict.scope, Scope::KeyModel | Scope::Model);
        let why = Cause {
            reason: &case.message,
            model_only,
        };
        // Whatever follows: a key that got a 401 or 403 is not used for that job again.
        let refused = matches!(case.failure.status(), Some(401 | 403));
        if refused && !matches!(verdict.action, Action::NextKey(_)) {
            self.doubts.note_known(case.job.id, key);
        }
        match verdict.action {
            Action::Retry { .. } | Action::FailJob | Action::StopRun => Ruling::Open,
            Action::Wait => {
                self.stats.throttled += 1;
                let throttles = self.ring.key(key).throttles;
                let wait = verdict.wait;
                let wait = wait.map_or_else(|| backoff::throttled(throttles), backoff::after_hint);
                let paced = self.rate_limiter.throttled(key, wait, now);
                self.ring.throttled(key, now + wait, paced, why);
                self.keys_changed |= wait >= LONG_REST;
                let why = if wait >= QUOTA_REST {
                    "quota"
                } else {
                    "rate limit"
                };
                (self.on_event)(&RunEvent::Waiting {
                    who: titled(&self.ring.key(key).label),
                    until: self.ring.key(key).state.until().unwrap_or(now + wait),
                    why: why.to_owned(),
                });
                Ruling::Open
            }
            Action::NextKey(how) => {
                let until = now + verdict.wait.unwrap_or(ASIDE).max(Duration::from_secs(1));
                for out in self.ring.set_aside(key, how, until, why) {
                    self.tell_set_aside(out);
                }
                if how == SetAside::Doubted {
                    return self.doubt(case);
                }
                self.doubts.note_known(case.job.id, key);
                Ruling::Open
            }
        }
    }

    /// Notes a refusal without a known cause. A stale session is one: what is asked next goes over
    /// new connections.
    fn doubt(&mut self, case: &Case<'_>) -> Ruling {
        // Only a refusal leads here: what has no answer, or no response, is no word on the key.
        let Failure::Refused(refusal) = case.failure else {
            return Ruling::Open;
        };
        self.use_fresh_connections(case.now);
        if case.connections < self.connections {
            self.ring.excuse(case.key);
        }
        let print = fingerprint::of(refusal);
        let others_wait = self.next_due.is_some() || self.in_flight() > 0;
        let present = (case.now, others_wait);
        self.doubts
            .note_unknown(case.job.id, case.key, print, &self.ring, present)
    }

    fn use_fresh_connections(&mut self, now: Timestamp) {
        if self
            .fresh_since
            .is_some_and(|since| now.since(since) < FRESH_EVERY)
        {
            return;
        }
        match self.client.fresh() {
            Ok(client) => {
                (self.client, self.fresh_since) = (client, Some(now));
                self.connections += 1;
            }
            Err(error) => tracing::debug!(%error, "the old connections are kept"),
        }
    }

    fn stop_tentatively(&mut self, case: &Case<'_>) {
        if !matches!(self.ending, Ending::Open) {
            return;
        }
        let verdict = &case.verdict;
        let mut text = format!(
            "{}\nasked for model \"{}\" at {} with {} (rule {})",
            case.message,
            self.batch.template.model,
            self.client.endpoint().display(),
            self.ring.key(case.key).label,
            verdict.rule,
        );
        if !verdict.hint.is_empty() {
            text = format!("{text}\n{}", verdict.hint);
        }
        self.ending = Ending::Tentative(match (verdict.action, verdict.scope) {
            // A place or a firewall that lets nobody in is no mistake in the set-up.
            (Action::StopRun, Scope::Network) if verdict.rule != "certificate" => {
                StopReason::NoUsableKey(text)
            }
            (Action::StopRun, _) => StopReason::Misconfigured(text),
            _ => StopReason::NoUsableKey(format!("every key was refused in the same way: {text}")),
        });
    }

    fn settle_failed(&mut self, case: &Case<'_>, ruling: Ruling) {
        let Case {
            job, key, verdict, ..
        } = case;
        let mut record = record(case);
        match ruling {
            Ruling::Job => {
                at_fault(&mut record);
                self.fail(job, Some(*key), record);
                return;
            }
            // Its keys go on with other jobs, which shows whether it was theirs.
            Ruling::Held => {
                self.stuck.insert(job.id, Some(record.clone()));
                for key in self.doubts.refused_by(job.id) {
                    self.ring.trust(key);
                }
            }
            Ruling::Open | Ruling::Everybody => {}
        }
        let spent = Spent {
            attempts: job.spent,
            by_rule: count(&job.rules, verdict.rule),
            max_attempts: self.settings.max_attempts,
        };
        let mut wait = backoff::transient(job.spent);
        if verdict.scope == Scope::Request {
            // The endpoint has done its part: there is nothing to wait out.
            wait = Duration::ZERO;
        } else if matches!(verdict.action, Action::Retry { .. }) {
            wait = wait.max(self.budget.take(case.now));
        }
        match retry::decide(verdict, spent, wait, self.breaker.is_open(), case.now) {
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
                let settled_as = SettledAs::Requeued {
                    not_before,
                    counted,
                };
                self.settle(job, Some(*key), settled_as, Some(record), Some(event));
            }
        }
    }

    /// Fails a claimed job that is at fault, without a further request.
    pub(super) fn blame(&mut self, job: &ClaimedJob) {
        let held = self.stuck.remove(&job.id).flatten();
        let mut record = held.unwrap_or_else(|| AttemptRecord {
            unknown: false,
            scope: Scope::Request,
            rule: String::new(),
            status: None,
            message: "keys that answer other rows refuse this one".to_owned(),
            request_id: String::new(),
            wait_ms: None,
            latency_ms: None,
        });
        at_fault(&mut record);
        self.fail(job, None, record);
    }

    pub(super) fn fail(&mut self, job: &ClaimedJob, key: Option<KeyIndex>, record: AttemptRecord) {
        // The job was at fault: the keys that were doubted for it come back.
        for doubted in self.doubts.settle(job.id) {
            self.ring.trust(doubted);
        }
        self.follow_ups.remove(&job.id);
        self.stats.ended += 1;
        let (scope, rule) = (record.scope, record.rule.clone());
        let event = RunEvent::JobFailed {
            job: job.id,
            scope,
            rule,
        };
        self.settle(job, key, SettledAs::Failed, Some(record), Some(event));
    }

    /// Holds it against the keys that refused a job that another key has brought an answer for.
    pub(super) fn strike_doubted(&mut self, job: JobId, now: Timestamp) {
        for doubted in self.doubts.settle(job) {
            if self.ring.strike(doubted, job, now + ASIDE) {
                self.tell_set_aside(doubted);
            }
        }
    }

    fn tell_set_aside(&mut self, key: KeyIndex) {
        self.keys_changed = true;
        let key = self.ring.key(key);
        (self.on_event)(&RunEvent::KeySetAside {
            key: key.label.clone(),
            reason: key.reason.clone(),
            until: key.state.until(),
        });
    }
}

/// Tells whether fewer requests in flight would have been better. A quota is not about how many are
/// in flight.
fn shows_congestion(failure: &Failure, verdict: &Verdict) -> bool {
    let throttled =
        verdict.action == Action::Wait && verdict.wait.is_none_or(|wait| wait < QUOTA_REST);
    let timed_out =
        matches!(failure, Failure::NoResponse(none) if none.fault == TransportFault::Timeout);
    throttled || timed_out || matches!(failure.status(), Some(408 | 503 | 504 | 529))
}

/// What to do when a failure says that nothing can succeed, although something has.
fn contradicted(failure: &Failure) -> Action {
    match failure {
        Failure::Refused(_) => Action::NextKey(SetAside::Doubted),
        Failure::NoAnswer(_) | Failure::NoResponse(_) => Action::Retry { at_most: None },
    }
}

/// Makes the record of a refusal that of a job at fault.
fn at_fault(record: &mut AttemptRecord) {
    record.scope = Scope::Request;
    REFUSED_BY_EVERY_KEY.0.clone_into(&mut record.rule);
}

fn record(case: &Case<'_>) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope: case.verdict.scope,
        rule: case.verdict.rule.to_owned(),
        status: case.failure.status(),
        message: case.message.clone(),
        request_id: case.failure.request_id().to_owned(),
        wait_ms: case.verdict.wait.map(millis),
        latency_ms: Some(millis(case.latency)),
    }
}

fn count(rules: &[String], rule: &str) -> u32 {
    u32::try_from(rules.iter().filter(|known| *known == rule).count()).unwrap_or(u32::MAX)
}
