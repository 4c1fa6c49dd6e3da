//! The JSON object that `--json` prints at the end of a run.

use std::time::Duration;

use serde::Serialize;

use super::moment::Rfc3339;
use super::summary::SummaryContext;
use crate::domain::price::LIST_DATE;
use crate::domain::run_stats::{Cause, RunStats, StopReason};
use crate::domain::verdict::Scope;

/// Result of a run. Fields are only added, never renamed or removed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport<'a> {
    /// The batch's name.
    pub batch: &'a str,
    /// Rows of the batch.
    pub total: u64,
    /// Completed rows.
    pub done: u64,
    /// Rows that failed permanently.
    pub failed: u64,
    /// Rows neither completed nor failed.
    pub left: u64,
    /// Requests sent by this run.
    pub requests: u64,
    /// Requests of this run that hit a rate limit or quota.
    pub throttled: u64,
    /// Requests with an unknown result.
    pub unknown: u64,
    /// Why the run stopped early: `interrupted`, `terminated`, `no_usable_key`, `misconfigured`,
    /// `unavailable`, `quota` or `limit`; null if it did not.
    pub stopped_by: Option<&'static str>,
    /// Earliest useful time for the next run, in RFC 3339 and UTC; null if unknown.
    pub resume_at: Option<String>,
    /// Exit code of the process.
    pub exit_code: u8,
    /// Duration of the run in seconds.
    pub elapsed_seconds: f64,
    /// Responses received by this run.
    pub answers: u64,
    /// Prompt tokens of this run, as reported by the provider.
    pub prompt_tokens: u64,
    /// Completion tokens of this run, as reported by the provider.
    pub completion_tokens: u64,
    /// Cost of this run's responses with a known price, in US dollars; null if there are none.
    pub cost_usd: Option<f64>,
    /// Responses of this run without a known price.
    pub unpriced: u64,
    /// Date of the built-in price list; null if it was not used.
    pub prices_as_of: Option<&'static str>,
    /// Requests that were in flight when an earlier run crashed, and were sent again.
    pub repeated_after_crash: u64,
    /// Whether responses are simulated.
    pub simulated: bool,
    /// Path of the results file; null if none was written.
    pub results: Option<&'a str>,
    /// The command to run next; null if there is nothing left to do.
    pub next_command: Option<&'a str>,
    /// Why rows failed or are waiting, most frequent first.
    pub causes: Vec<CauseReport<'a>>,
}

/// One cause of failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseReport<'a> {
    /// The scope of the failure.
    pub scope: Scope,
    /// The rule that matched.
    pub rule: &'a str,
    /// The provider's most recent message.
    pub message: &'a str,
    /// How to fix it; empty if there is nothing to do.
    #[serde(rename = "cure")]
    pub hint: &'a str,
    /// Number of affected rows.
    pub jobs: u64,
}

impl<'a> RunReport<'a> {
    /// Builds the report of a run on a batch from the same data as the summary.
    #[must_use]
    pub fn new(stats: &'a RunStats, context: &SummaryContext<'a>, exit_code: u8) -> Self {
        let priced = stats.completions > stats.unpriced;
        Self {
            batch: context.batch,
            total: stats.total,
            done: stats.done,
            failed: stats.failed,
            left: stats.remaining,
            requests: stats.requests,
            throttled: stats.throttled,
            unknown: stats.unknown,
            stopped_by: stats.stopped_by.as_ref().map(stop_reason_name),
            resume_at: stats.resume_at.map(|at| Rfc3339(at).to_string()),
            exit_code,
            elapsed_seconds: seconds(context.elapsed),
            answers: stats.completions,
            prompt_tokens: stats.prompt_tokens,
            completion_tokens: stats.completion_tokens,
            cost_usd: priced.then(|| stats.cost.dollars()),
            unpriced: stats.unpriced,
            prices_as_of: (priced && !context.own_prices).then_some(LIST_DATE),
            repeated_after_crash: stats.recovered,
            simulated: context.simulated,
            results: context.output,
            next_command: context.next_command,
            causes: stats.causes.iter().map(CauseReport::from).collect(),
        }
    }

    /// Returns the object on one line, without a newline.
    ///
    /// # Panics
    ///
    /// Never: numbers and strings always serialize.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings serialize")
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

/// Returns a duration in seconds, rounded to milliseconds.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Returns the JSON name of a stop reason.
#[must_use]
pub fn stop_reason_name(reason: &StopReason) -> &'static str {
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
    fn an_unknown_cost_is_null() {
        let stats = RunStats {
            completions: 3,
            unpriced: 3,
            ..RunStats::default()
        };
        let report = RunReport::new(&stats, &context("jobs"), 0);
        assert_eq!((report.cost_usd, report.prices_as_of), (None, None));
    }

    #[test]
    fn keys_and_their_order_are_stable() {
        let stats = RunStats {
            total: 10,
            done: 6,
            failed: 1,
            remaining: 3,
            requests: 9,
            throttled: 2,
            unknown: 1,
            stopped_by: Some(StopReason::Quota),
            resume_at: Some(Timestamp::from_millis(1_795_466_459_001)),
            completions: 6,
            unpriced: 1,
            prompt_tokens: 600,
            completion_tokens: 90,
            cost: Cost::from_dollars(0.5).unwrap(),
            recovered: 1,
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
    fn missing_values_are_null() {
        let json = RunReport::new(&RunStats::default(), &context("a\"b\u{1b}"), 0).to_json();
        assert!(
            json.contains("\"stopped_by\":null,\"resume_at\":null,\"exit_code\":0"),
            "{json}"
        );
        assert!(json.contains("\"batch\":\"a\\\"b\\u001b\""), "{json}");
    }

    #[test]
    fn every_stop_reason_has_a_name() {
        for (reason, word) in [
            (StopReason::Interrupted, "interrupted"),
            (StopReason::Terminated, "terminated"),
            (StopReason::NoUsableKey(String::new()), "no_usable_key"),
            (StopReason::Misconfigured("x".to_owned()), "misconfigured"),
            (StopReason::Unavailable, "unavailable"),
            (StopReason::Quota, "quota"),
            (StopReason::Limit("--limit"), "limit"),
        ] {
            assert_eq!(stop_reason_name(&reason), word);
        }
    }
}
