//! Retry decision: whether a failed job is requeued or fails.

use std::time::Duration;

use super::time::Timestamp;
use super::verdict::{Action, Scope, Verdict};

/// What happens to a job after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Returns to the queue.
    Requeue {
        /// When it can be claimed again.
        not_before: Timestamp,
        /// Whether the attempt counts against `max_attempts`.
        counted: bool,
    },
    /// Fails permanently.
    Fail,
}

/// The attempts of a job so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptCounts {
    /// Counted attempts, excluding this one.
    pub attempts: u32,
    /// Failures by the rule of the verdict, excluding this one.
    pub by_rule: u32,
    /// Maximum number of attempts of a job.
    pub max_attempts: u32,
}

/// Decides what happens to a job. `backoff` is the wait after a temporary failure, including
/// jitter; `endpoint_down` means that the failure is part of an outage, which does not count
/// against jobs.
#[must_use]
pub fn decide(
    verdict: &Verdict,
    counts: AttemptCounts,
    backoff: Duration,
    endpoint_down: bool,
    now: Timestamp,
) -> Transition {
    let wait = verdict
        .wait
        .map_or(backoff, |requested| requested.max(backoff));
    let network = verdict.scope == Scope::Network;
    let requeue = |not_before, counted| Transition::Requeue {
        not_before,
        counted,
    };
    match verdict.action {
        Action::FailJob => Transition::Fail,
        // Only the key has to wait: another key can take the job at once.
        Action::Wait | Action::NextKey(_) | Action::StopRun => requeue(now, false),
        // Nothing was sent, or the endpoint is down: the failure says nothing about this job.
        Action::Retry { at_most } if endpoint_down || (network && at_most.is_none()) => {
            requeue(now + wait, false)
        }
        Action::Retry { at_most } => {
            let rule_limit_reached = at_most.is_some_and(|max| counts.by_rule + 1 >= max);
            if rule_limit_reached || counts.attempts + 1 >= counts.max_attempts {
                Transition::Fail
            } else {
                requeue(now + wait, true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1000);

    fn requeue(millis: i64, counted: bool) -> Transition {
        let not_before = Timestamp::from_millis(millis);
        Transition::Requeue {
            not_before,
            counted,
        }
    }

    #[track_caller]
    fn check(action: Action, scope: Scope, (attempts, by_rule): (u32, u32), expected: Transition) {
        let wait = Some(Duration::from_secs(2));
        let verdict = Verdict {
            scope,
            rule: "r",
            action,
            wait,
            hint: "",
        };
        let counts = AttemptCounts {
            attempts,
            by_rule,
            max_attempts: 5,
        };
        let backoff = Duration::from_secs(1);
        assert_eq!(decide(&verdict, counts, backoff, false, NOW), expected);
    }

    #[test]
    fn a_temporary_failure_is_retried_until_the_attempts_are_used_up() {
        let retry = Action::Retry { at_most: None };
        check(retry, Scope::Transient, (0, 0), requeue(3000, true));
        check(retry, Scope::Transient, (3, 3), requeue(3000, true));
        check(retry, Scope::Transient, (4, 0), Transition::Fail);
    }

    #[test]
    fn a_rule_with_its_own_limit_fails_the_job_earlier() {
        let twice = Action::Retry { at_most: Some(2) };
        check(twice, Scope::Transient, (3, 1), Transition::Fail);
        check(twice, Scope::Transient, (3, 0), requeue(3000, true));
    }

    #[test]
    fn a_failure_not_caused_by_the_job_does_not_count() {
        let immediate = requeue(1000, false);
        check(Action::Wait, Scope::Quota, (4, 9), immediate);
        check(Action::StopRun, Scope::Endpoint, (4, 9), immediate);
        let retry = Action::Retry { at_most: None };
        check(retry, Scope::Network, (4, 9), requeue(3000, false));
    }
}
