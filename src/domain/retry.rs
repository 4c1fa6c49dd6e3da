//! From a verdict to what becomes of the job.

use std::time::Duration;

use super::time::Timestamp;
use super::verdict::{Action, Scope, Verdict};

/// What becomes of a job after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Back to the queue.
    Requeue {
        /// Not to be claimed before.
        not_before: Timestamp,
        /// Whether the attempt counts against the job's limit.
        counted: bool,
    },
    /// Failed for good.
    Fail,
}

/// How much a job has used up of its chances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Attempts that count, without this one.
    pub attempts: u32,
    /// Attempts that failed by the verdict's rule, without this one.
    pub by_rule: u32,
    /// The most attempts a job may have.
    pub max_attempts: u32,
}

/// Decides what becomes of a job. `backoff` is the wait for a failure that passes, jitter included;
/// `endpoint_down` says that the failure is part of an outage, which is no job's fault.
#[must_use]
pub fn decide(
    verdict: &Verdict,
    spent: Spent,
    backoff: Duration,
    endpoint_down: bool,
    now: Timestamp,
) -> Transition {
    let wait = verdict.wait.map_or(backoff, |hint| hint.max(backoff));
    let network = verdict.scope == Scope::Network;
    match verdict.action {
        Action::FailJob => Transition::Fail,
        // The key rests, not the job: another key may take it at once.
        Action::Wait | Action::NextKey(_) | Action::StopRun => Transition::Requeue {
            not_before: now,
            counted: false,
        },
        // Nothing was sent, or the endpoint is down: that is no word on this job.
        Action::Retry { at_most } if endpoint_down || (network && at_most.is_none()) => {
            Transition::Requeue {
                not_before: now + wait,
                counted: false,
            }
        }
        Action::Retry { at_most } => {
            let rule_is_spent = at_most.is_some_and(|most| spent.by_rule + 1 >= most);
            if rule_is_spent || spent.attempts + 1 >= spent.max_attempts {
                Transition::Fail
            } else {
                Transition::Requeue {
                    not_before: now + wait,
                    counted: true,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1000);

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
        let spent = Spent {
            attempts,
            by_rule,
            max_attempts: 5,
        };
        let backoff = Duration::from_secs(1);
        assert_eq!(decide(&verdict, spent, backoff, false, NOW), expected);
    }

    #[test]
    fn a_fault_that_passes_is_retried_until_the_attempts_are_spent() {
        let retry = Action::Retry { at_most: None };
        let again = Transition::Requeue {
            not_before: Timestamp::from_millis(3000),
            counted: true,
        };
        check(retry, Scope::Transient, (0, 0), again);
        check(retry, Scope::Transient, (3, 3), again);
        check(retry, Scope::Transient, (4, 0), Transition::Fail);
    }

    #[test]
    fn a_rule_with_a_limit_of_its_own_fails_the_job_earlier() {
        let twice = Action::Retry { at_most: Some(2) };
        check(twice, Scope::Transient, (3, 1), Transition::Fail);
        let again = Transition::Requeue {
            not_before: Timestamp::from_millis(3000),
            counted: true,
        };
        check(twice, Scope::Transient, (3, 0), again);
    }

    #[test]
    fn what_is_not_the_jobs_fault_uses_up_nothing() {
        let now = Transition::Requeue {
            not_before: NOW,
            counted: false,
        };
        check(Action::Wait, Scope::Quota, (4, 9), now);
        check(Action::StopRun, Scope::Endpoint, (4, 9), now);
        let later = Transition::Requeue {
            not_before: Timestamp::from_millis(3000),
            counted: false,
        };
        check(
            Action::Retry { at_most: None },
            Scope::Network,
            (4, 9),
            later,
        );
    }
}
