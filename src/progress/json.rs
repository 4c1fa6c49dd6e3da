//! The JSON object that `--json` prints at the end of a run.

use std::time::Duration;

use serde_json::{Value, json};

use super::moment::Rfc3339;
use super::summary::SummaryContext;
use crate::domain::price::LIST_DATE;
use crate::domain::run_stats::{Cause, RunStats, StopReason};

/// Returns the result of a run on a batch as an object on one line, without a newline. Fields are
/// only added, never renamed or removed; docs/OUTPUT.md describes them.
#[must_use]
pub fn run_report(stats: &RunStats, context: &SummaryContext<'_>, exit_code: u8) -> String {
    let (rows, usage) = (&stats.rows, &stats.usage);
    let priced = usage.completions > usage.unpriced;
    let report = json!({
        "batch": context.batch,
        "total": rows.total,
        "done": rows.done,
        "failed": rows.failed,
        "left": rows.remaining,
        "requests": usage.requests,
        "throttled": usage.throttled,
        "unknown": usage.unknown,
        "stopped_by": stats.stopped_by.as_ref().map(stop_reason_name),
        "resume_at": stats.resume_at.map(|at| Rfc3339(at).to_string()),
        "exit_code": exit_code,
        "elapsed_seconds": seconds(context.elapsed),
        "answers": usage.completions,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": priced.then(|| usage.cost.dollars()),
        "unpriced": usage.unpriced,
        "prices_as_of": (priced && !context.own_prices).then_some(LIST_DATE),
        "repeated_after_crash": stats.recovered,
        "simulated": context.simulated,
        "results": context.output,
        "next_command": context.next_command,
        "causes": stats.causes.iter().map(cause_report).collect::<Vec<_>>(),
    });
    report.to_string()
}

fn cause_report(cause: &Cause) -> Value {
    json!({
        "scope": cause.scope,
        "rule": cause.rule,
        "message": cause.message,
        "cure": cause.hint,
        "jobs": cause.jobs,
    })
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
    use crate::domain::run_stats::{RowCounts, Usage};
    use crate::domain::time::Timestamp;
    use crate::domain::verdict::Scope;

    fn context(batch: &str) -> SummaryContext<'_> {
        SummaryContext {
            batch,
            output: Some("out.csv"),
            elapsed: Duration::from_millis(83_250),
            ..SummaryContext::default()
        }
    }

    #[test]
    fn an_unknown_cost_is_null() {
        let mut stats = RunStats::default();
        (stats.usage.completions, stats.usage.unpriced) = (3, 3);
        let report = run_report(&stats, &context("jobs"), 0);
        assert!(report.contains("\"cost_usd\":null"), "{report}");
        assert!(report.contains("\"prices_as_of\":null"), "{report}");
    }

    #[test]
    fn keys_and_their_order_are_stable() {
        let stats = RunStats {
            rows: RowCounts {
                total: 10,
                done: 6,
                failed: 1,
                remaining: 3,
            },
            usage: Usage {
                requests: 9,
                throttled: 2,
                unknown: 1,
                completions: 6,
                unpriced: 1,
                prompt_tokens: 600,
                completion_tokens: 90,
                cost: Cost::from_dollars(0.5).unwrap(),
                finished: 7,
            },
            stopped_by: Some(StopReason::Quota),
            resume_at: Some(Timestamp::from_millis(1_795_466_459_001)),
            recovered: 1,
            causes: vec![Cause {
                scope: Scope::Quota,
                rule: "daily-quota".to_owned(),
                message: "no more".to_owned(),
                hint: "wait".to_owned(),
                jobs: 3,
            }],
        };
        assert_eq!(
            run_report(&stats, &context("jobs"), 4),
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
        let json = run_report(&RunStats::default(), &context("a\"b\u{1b}"), 0);
        let nulls = "\"stopped_by\":null,\"resume_at\":null,\"exit_code\":0";
        assert!(json.contains(nulls), "{json}");
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
