//! Wording of run events and failure scopes.
//!
//! An event gets its own line only if the user may have to act on it. Everything else is visible in
//! the progress bar and the summary.

use super::event::RunEvent;
use super::moment::DateTime;
use super::quantity::Plural;
use super::safe::{Safe, Truncated};
use crate::domain::key::display_name;
use crate::domain::verdict::Scope;

/// Maximum length of a provider's message on one line, in characters.
pub(super) const MESSAGE_LENGTH: usize = 160;

/// Returns the warning for an event. Routine events have none, so that a successful run under cron
/// prints nothing.
pub(super) fn warning(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::KeyDisabled { key, reason, until } => {
            let (reason, key) = (Truncated(reason, MESSAGE_LENGTH), display_name(key));
            let key = Safe(&key);
            let until = until.map_or(String::new(), |at| format!(" until {}", DateTime(at)));
            Some(format!("warning: {key} is disabled{until}: {reason}"))
        }
        RunEvent::EndpointFailing { message } => {
            let message = Truncated(message, MESSAGE_LENGTH);
            Some(format!("warning: {message}; retrying"))
        }
        RunEvent::Draining { in_flight } => Some(format!("stopping: {}", draining(*in_flight))),
        RunEvent::Started { .. }
        | RunEvent::Recovered { .. }
        | RunEvent::InFlight { .. }
        | RunEvent::Completed { .. }
        | RunEvent::Requeued { .. }
        | RunEvent::JobFailed { .. }
        | RunEvent::KeyEnabled { .. }
        | RunEvent::Waiting { .. }
        | RunEvent::Resumed { .. } => None,
    }
}

/// Returns the line printed above the progress bar: warnings and events of interest at a terminal.
/// The bar itself shows `Draining`.
pub(super) fn notice(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::Recovered { unknown } => Some(retried_requests(*unknown)),
        RunEvent::KeyEnabled { key } => {
            Some(format!("{} is enabled again", Safe(&display_name(key))))
        }
        RunEvent::Draining { .. } => None,
        _ => warning(event),
    }
}

/// Describes requests with an unknown result whose rows this run retries.
pub(super) fn retried_requests(count: u64) -> String {
    let requests = Plural(count, "request");
    if count == 1 {
        format!("{requests} was in flight when an earlier run crashed; its row was retried")
    } else {
        format!("{requests} were in flight when an earlier run crashed; their rows were retried")
    }
}

/// Describes the scope of a failure.
#[must_use]
pub fn describe_scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Key => "API key rejected",
        Scope::Account => "account rejected",
        Scope::KeyModel => "this key has no access to the model",
        Scope::Model => "model not found",
        Scope::Endpoint => "the endpoint does not support this request",
        Scope::Request => "request rejected",
        Scope::Network => "network error",
        Scope::Quota => "rate limit or quota reached",
        Scope::Transient => "temporary error",
    }
}

fn draining(in_flight: usize) -> String {
    match in_flight {
        0 => "no requests in flight".to_owned(),
        count => {
            let requests = Plural(count as u64, "request");
            format!("waiting for {requests} in flight; press Ctrl-C again to abort")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    const AT: Timestamp = Timestamp::from_millis(1_795_466_460_000);

    fn disabled(until: Option<Timestamp>) -> RunEvent {
        RunEvent::disabled("free\u{202e}2", "Forbidden\u{1b}[2J", until)
    }

    #[track_caller]
    fn check(line: impl Into<Option<String>>, expected: &str) {
        assert_eq!(line.into().unwrap_or("(nothing)".to_owned()), expected);
    }

    #[test]
    fn a_disabled_key_is_a_warning_with_an_escaped_reason() {
        check(
            warning(&disabled(Some(AT))),
            "warning: key free\\u{202e}2 is disabled until 2026-11-23 20:41:00 UTC: \
             Forbidden\\u{1b}[2J",
        );
        check(
            warning(&disabled(None)),
            "warning: key free\\u{202e}2 is disabled: Forbidden\\u{1b}[2J",
        );
    }

    #[test]
    fn a_long_message_is_truncated() {
        let event = RunEvent::disabled("k", &"x".repeat(5_000), None);
        assert!(warning(&event).unwrap().chars().count() < 250);
    }

    #[test]
    fn routine_events_have_no_warning() {
        for event in [
            RunEvent::started("jobs", 2, 0),
            RunEvent::KeyEnabled {
                key: "k".to_owned(),
            },
            RunEvent::Recovered { unknown: 3 },
            RunEvent::waiting("key k", "rate limit", AT),
        ] {
            check(warning(&event), "(nothing)");
        }
    }

    #[test]
    fn a_terminal_shows_more_than_warnings() {
        check(
            notice(&RunEvent::Recovered { unknown: 1 }),
            "1 request was in flight when an earlier run crashed; its row was retried",
        );
        let key = "k".to_owned();
        let enabled = notice(&RunEvent::KeyEnabled { key });
        check(enabled, "key k is enabled again");
        let draining = warning(&RunEvent::Draining { in_flight: 0 });
        check(draining, "stopping: no requests in flight");
    }
}
