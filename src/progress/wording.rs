//! The words for run events: the only place that has them.
//!
//! An event is worth a line of its own where a person may have to act, or would wonder. All else
//! is told by the bar while it lasts, and by the summary.

use super::event::RunEvent;
use super::moment::DateTime;
use super::quantity::Things;
use super::safe::{Excerpt, Safe};
use crate::domain::key::titled;
use crate::domain::verdict::Scope;

/// Characters of a provider's message that are shown on one line.
pub(super) const MESSAGE_LENGTH: usize = 160;

/// Returns the line that an event deserves in a log; `None` for all that is no warning, so that a
/// run under cron that goes well prints nothing.
pub(super) fn warning(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::KeySetAside { key, reason, until } => {
            let reason = Excerpt(reason, MESSAGE_LENGTH);
            let key = titled(key);
            let key = Safe(&key);
            Some(match until {
                Some(until) => {
                    let until = DateTime(*until);
                    format!("warning: {key} is set aside until {until}: {reason}")
                }
                None => format!("warning: {key} is set aside until it is changed: {reason}"),
            })
        }
        RunEvent::Trouble { what } => {
            let what = Excerpt(what, MESSAGE_LENGTH);
            Some(format!("warning: {what}; trying again"))
        }
        RunEvent::Draining { in_flight } => Some(format!("stopping: {}", draining(*in_flight))),
        RunEvent::Started { .. }
        | RunEvent::Rescued { .. }
        | RunEvent::InFlight { .. }
        | RunEvent::Answered { .. }
        | RunEvent::Requeued { .. }
        | RunEvent::JobFailed { .. }
        | RunEvent::KeyBack { .. }
        | RunEvent::Waiting { .. }
        | RunEvent::GoesOn { .. } => None,
    }
}

/// Returns the line that is left above the bar; more than the warnings, since somebody looks on.
pub(super) fn remark(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::Rescued { unknown } => Some(unknown_ends(*unknown, "an earlier run died")),
        RunEvent::KeyBack { key } => Some(format!("{} is used again", Safe(&titled(key)))),
        RunEvent::Draining { .. } => None,
        _ => warning(event),
    }
}

/// Says that requests have no known end, and what becomes of their jobs.
pub(super) fn unknown_ends(count: u64, when: &str) -> String {
    let requests = Things(count, "request");
    if count == 1 {
        format!("{requests} was in flight when {when}; its job was asked again")
    } else {
        format!("{requests} were in flight when {when}; their jobs were asked again")
    }
}

/// Says whose fault a failure is.
#[must_use]
pub fn whose(scope: Scope) -> &'static str {
    match scope {
        Scope::Key => "the key was refused",
        Scope::Account => "the account behind the key was refused",
        Scope::KeyModel => "the key may not use the model",
        Scope::Model => "the model is not there",
        Scope::Endpoint => "the endpoint does not take such requests",
        Scope::Request => "the request was refused",
        Scope::Network => "the way to the provider is closed",
        Scope::Quota => "a limit was reached",
        Scope::Transient => "a fault that may pass",
    }
}

fn draining(in_flight: usize) -> String {
    match in_flight {
        0 => "no request is in flight".to_owned(),
        count => {
            let requests = Things(count as u64, "request");
            format!("waiting for {requests} in flight; once more stops at once")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    const AT: Timestamp = Timestamp::from_millis(1_795_466_460_000);

    fn set_aside(until: Option<Timestamp>) -> RunEvent {
        let reason = "Forbidden\u{1b}[2J".to_owned();
        RunEvent::KeySetAside {
            key: "free\u{202e}2".to_owned(),
            reason,
            until,
        }
    }

    #[track_caller]
    fn check(line: impl Into<Option<String>>, expected: &str) {
        assert_eq!(line.into().unwrap_or("(nothing)".to_owned()), expected);
    }

    #[test]
    fn a_key_set_aside_is_a_warning_and_its_words_are_harmless() {
        check(
            warning(&set_aside(Some(AT))),
            "warning: key free\\u{202e}2 is set aside until 2026-11-23 20:41:00 UTC: \
             Forbidden\\u{1b}[2J",
        );
        check(
            warning(&set_aside(None)),
            "warning: key free\\u{202e}2 is set aside until it is changed: Forbidden\\u{1b}[2J",
        );
    }

    #[test]
    fn a_long_message_is_cut() {
        let reason = "x".repeat(5_000);
        let event = RunEvent::KeySetAside {
            key: "k".to_owned(),
            reason,
            until: None,
        };
        assert!(warning(&event).unwrap().chars().count() < 250);
    }

    #[test]
    fn a_run_that_goes_well_gives_no_warning() {
        for event in [
            RunEvent::Started {
                batch: "b".to_owned(),
                total: 2,
                settled: 0,
            },
            RunEvent::KeyBack {
                key: "k".to_owned(),
            },
            RunEvent::Rescued { unknown: 3 },
            RunEvent::Waiting {
                who: "key k".to_owned(),
                until: AT,
                why: "rate limit".to_owned(),
            },
        ] {
            check(warning(&event), "(nothing)");
        }
    }

    #[test]
    fn somebody_who_looks_on_is_told_more() {
        check(
            remark(&RunEvent::Rescued { unknown: 1 }),
            "1 request was in flight when an earlier run died; its job was asked again",
        );
        check(
            remark(&RunEvent::KeyBack {
                key: "k".to_owned(),
            }),
            "key k is used again",
        );
        check(
            warning(&RunEvent::Draining { in_flight: 0 }),
            "stopping: no request is in flight",
        );
    }
}
