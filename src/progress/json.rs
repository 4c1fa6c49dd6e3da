//! The one object of `--json`: what a run did and what it leaves, for programs.

use std::time::Duration;

use serde::Serialize;

use super::moment::Rfc3339;
use super::summary::SummaryContext;
use crate::domain::price::LIST_DATE;
use crate::domain::run_stats::{Cause, RunStats, StopReason};
use crate::domain::verdict::Scope;

/// What a run did and what it leaves. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// How long the run took, in seconds.
    pub elapsed_seconds: f64,
    /// Answers that this run got.
    pub answers: u64,
    /// Tokens of this run's requests, as far as the provider told.
    pub prompt_tokens: u64,
    /// Tokens of this run's answers, as far as the provider told.
    pub completion_tokens: u64,
    /// What this run's answers cost, in US dollars, as far as prices are known; null when none is.
    pub cost_usd: Option<f64>,
    /// Answers of this run whose price is not known.
    pub unpriced: u64,
    /// The day of the built-in prices; null where the prices are the user's own or not known.
    pub prices_as_of: Option<&'static str>,
    /// Requests that were in flight when an earlier run died, and were made again.
    pub repeated_after_crash: u64,
    /// Whether the answers are made up by the simulated provider.
    pub simulated: bool,
    /// Where the results are; null when none were written to a file.
    pub results: Option<&'a str>,
    /// The command to run next; null when there is nothing more to do.
    pub next_command: Option<&'a str>,
    /// Why rows failed or wait, the most frequent first.
    pub causes: Vec<CauseReport<'a>>,
}

/// One cause of failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseReport<'a> {
    /// Whose fault it is.
    pub scope: Scope,
    /// The rule that said so.
    pub rule: &'a str,
    /// What the provider said, the last time.
    pub message: &'a str,
    /// What to do about it; empty where there is nothing to do.
    #[serde(rename = "cure")]
    pub hint: &'a str,
    /// Rows it hit.
    pub jobs: u64,
}

impl<'a> RunReport<'a> {
    /// Makes the report of a run on a batch, with the same facts as the summary.
    #[must_use]
    pub fn new(stats: &'a RunStats, context: &SummaryContext<'a>, exit_code: u8) -> Self {
        let priced = stats.answers > stats.unpriced;
        Self {
            batch: context.batch,
            total: stats.total,
            done: stats.done,
            failed: stats.failed,
            left: stats.left,
            requests: stats.requests,
            throttled: stats.throttled,
            unknown: stats.unknown,
            stopped_by: stats.stopped_by.as_ref().map(stop_word),
            resume_at: stats.resume_at.map(|at| Rfc3339(at).to_string()),
            exit_code,
            elapsed_seconds: seconds(context.elapsed),
            answers: stats.answers,
            prompt_tokens: stats.prompt_tokens,
            completion_tokens: stats.completion_tokens,
            cost_usd: priced.then(|| stats.cost.dollars()),
            unpriced: stats.unpriced,
            prices_as_of: (priced && !context.own_prices).then_some(LIST_DATE),
            repeated_after_crash: stats.rescued,
            simulated: context.simulated,
            results: context.output,
            next_command: context.next_command,
            causes: stats.causes.iter().map(CauseReport::from).collect(),
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

impl<'a> From<&'a Cause> for CauseReport<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            scope: cause.scope,
            rule: &cause.rule,
            message: &cause.message,
            hint: &cause.hint,
            jobs: cause.jobs,
        }
    }
}

/// Returns a time in seconds, to the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
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
    use crate::domain::price::Cost;
    use crate::domain::time::Timestamp;

    fn context(batch: &str) -> SummaryContext<'_> {
        SummaryContext {
            batch,
            output: Some("out.csv"),
            elapsed: Duration::from_millis(83_250),
            now: Timestamp::default(),
            simulated: false,
            next_command: None,
            color: false,
            width: None,
            own_prices: false,
        }
    }

    #[test]
    fn a_cost_that_is_not_known_is_null() {
        let stats = RunStats {
            answers: 3,
            unpriced: 3,
            ..RunStats::default()
        };
        let report = RunReport::new(&stats, &context("jobs"), 0);
        assert_eq!((report.cost_usd, report.prices_as_of), (None, None));
    }

    #[test]
    fn the_object_is_pinned() {
        let stats = RunStats {
            total: 10,
            done: 6,
            failed: 1,
            left: 3,
            requests: 9,
            throttled: 2,
            unknown: 1,
            stopped_by: Some(StopReason::Quota),
            resume_at: Some(Timestamp::from_millis(1_795_466_459_001)),
            answers: 6,
            unpriced: 1,
            prompt_tokens: 600,
            completion_tokens: 90,
            cost: Cost::from_dollars(0.5).unwrap(),
            rescued: 1,
            causes: vec![Cause {
                scope: Scope::Quota,
                rule: "daily-quota".to_owned(),
                message: "no more".to_owned(),
                hint: "wait".to_owned(),
                jobs: 3,
            }],
            ..RunStats::default()
        };
        assert_eq!(
            RunReport::new(&stats, &context("jobs"), 4).to_json(),
            "{\"batch\":\"jobs\",\"total\":10,\"done\":6,\"failed\":1,\"left\":3,\"requests\":9,\
             \"throttled\":2,\"unknown\":1,\"stopped_by\":\"quota\",\
             \"resume_at\":\"2026-11-23T20:41:00Z\",\"exit_code\":4,\
             \"elapsed_seconds\":83.25,\"answers\":6,\"prompt_tokens\":600,\
             \"completion_tokens\":90,\"cost_usd\":0.5,\"unpriced\":1,\
             \"prices_as_of\":\"2026-11-23\",\"repeated_after_crash\":1,\"simulated\":false,\
             \"results\":\"out.csv\",\"next_command\":null,\"causes\":[{\"scope\":\"quota\",\
             \"rule\":\"daily-quota\",\"message\":\"no more\",\"cure\":\"wait\",\"jobs\":3}]}"
        );
    }

    #[test]
    fn what_is_not_there_is_null() {
        let json = RunReport::new(&RunStats::default(), &context("a\"b\u{1b}"), 0).to_json();
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
