//! The one object of `--json`: what a run did and what it leaves, for programs.

use serde::Serialize;

use super::moment::Rfc3339;
use crate::domain::tally::{StopReason, Tally};

/// What a run did and what it leaves. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunReport<'a> {
    /// The batch's name.
    pub batch: &'a str,
    /// Rows of the batch.
    pub total: u64,
    /// Rows with an answer.
    pub done: u64,
    /// Rows that failed for good.
    pub failed: u64,
    /// Rows still to be answered.
    pub left: u64,
    /// Requests sent by this run.
    pub requests: u64,
    /// Requests of this run that met a limit.
    pub throttled: u64,
    /// Requests whose end nobody knows.
    pub unknown: u64,
    /// Why the run ended before the work did: `interrupted`, `terminated`, `no_usable_key`,
    /// `misconfigured`, `unavailable`, `quota` or `limit`; null when the work is done.
    pub stopped_by: Option<&'static str>,
    /// When it makes sense to run again, by RFC 3339 in UTC; null where that is not known.
    pub resume_at: Option<String>,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl<'a> RunReport<'a> {
    /// Makes the report of a run on a batch.
    #[must_use]
    pub fn new(batch: &'a str, tally: &Tally, exit_code: u8) -> Self {
        Self {
            batch,
            total: tally.total,
            done: tally.done,
            failed: tally.failed,
            left: tally.left,
            requests: tally.requests,
            throttled: tally.throttled,
            unknown: tally.unknown,
            stopped_by: tally.stopped_by.as_ref().map(stop_word),
            resume_at: tally.resume_at.map(|at| Rfc3339(at).to_string()),
            exit_code,
        }
    }

    /// Returns the object on one line, without a line end.
    ///
    /// # Panics
    ///
    /// Never: numbers and text always make JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text make JSON")
    }
}

/// Names a stop reason for programs.
#[must_use]
pub fn stop_word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::Interrupted => "interrupted",
        StopReason::Terminated => "terminated",
        StopReason::NoUsableKey(_) => "no_usable_key",
        StopReason::Misconfigured(_) => "misconfigured",
        StopReason::Unavailable => "unavailable",
        StopReason::Quota => "quota",
        StopReason::Limit(_) => "limit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn the_object_is_pinned() {
        let tally = Tally {
            total: 10,
            done: 6,
            failed: 1,
            left: 3,
            requests: 9,
            throttled: 2,
            unknown: 1,
            stopped_by: Some(StopReason::Quota),
            resume_at: Some(Timestamp::from_millis(1_795_466_459_001)),
            ..Tally::default()
        };
        assert_eq!(
            RunReport::new("jobs", &tally, 4).to_json(),
            "{\"batch\":\"jobs\",\"total\":10,\"done\":6,\"failed\":1,\"left\":3,\"requests\":9,\
             \"throttled\":2,\"unknown\":1,\"stopped_by\":\"quota\",\
             \"resume_at\":\"2026-11-23T20:41:00Z\",\"exit_code\":4}"
        );
    }

    #[test]
    fn what_is_not_there_is_null() {
        let json = RunReport::new("a\"b\u{1b}", &Tally::default(), 0).to_json();
        assert!(
            json.contains("\"stopped_by\":null,\"resume_at\":null,\"exit_code\":0"),
            "{json}"
        );
        assert!(json.contains("\"batch\":\"a\\\"b\\u001b\""), "{json}");
    }

    #[test]
    fn every_stop_reason_has_its_word() {
        for (reason, word) in [
            (StopReason::Interrupted, "interrupted"),
            (StopReason::Terminated, "terminated"),
            (StopReason::NoUsableKey(String::new()), "no_usable_key"),
            (StopReason::Misconfigured("x".to_owned()), "misconfigured"),
            (StopReason::Unavailable, "unavailable"),
            (StopReason::Quota, "quota"),
            (StopReason::Limit("--limit"), "limit"),
        ] {
            assert_eq!(stop_word(&reason), word);
        }
    }
}
