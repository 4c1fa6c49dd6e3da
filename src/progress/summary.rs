//! The summary at the end of a run. Its last line is the next command to run.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::causes::Causes;
use super::moment::DateTime;
use super::palette::Palette;
use super::quantity::{Count, HumanDuration, Plural, Rate};
use super::safe::{Safe, Truncated};
use super::wording::{MESSAGE_LENGTH, retried_requests};
use super::wrap::wrap;
use crate::domain::price::LIST_DATE;
use crate::domain::run_stats::{RowCounts, RunStats, StopReason, Usage};
use crate::domain::time::Timestamp;

/// Context of a summary: everything except the counts.
#[derive(Clone, Copy, Debug)]
pub struct SummaryContext<'a> {
    /// The batch's name.
    pub batch: &'a str,
    /// Path of the results; `None` if none were written.
    pub output: Option<&'a str>,
    /// How long the run took.
    pub elapsed: Duration,
    /// Current time, used to compute the remaining wait.
    pub now: Timestamp,
    /// Whether the responses were simulated.
    pub simulated: bool,
    /// The command to run next; `None` if there is nothing left to do.
    pub next_command: Option<&'a str>,
    /// Whether to use color.
    pub color: bool,
    /// Width of the terminal in columns; `None` disables wrapping.
    pub width: Option<usize>,
    /// Whether costs use the user's own prices instead of the built-in list.
    pub own_prices: bool,
}

/// Formats the summary of a run, ending with a newline. A run with nothing to do gets a single
/// line.
#[must_use]
pub fn summary(stats: &RunStats, context: &SummaryContext<'_>) -> String {
    let palette = Palette {
        color: context.color,
    };
    Summary {
        stats,
        context,
        palette,
    }
    .to_string()
}

/// Formats a one-line summary with the stop reason, ending with a newline.
#[must_use]
pub fn one_line(stats: &RunStats, batch: &str) -> String {
    let mut line = format!("{}: ", Safe(batch));
    match &stats.stopped_by {
        Some(reason) => {
            line.push_str("stopped: ");
            // Writing to a string cannot fail.
            let _ = write_stop_reason(reason, &mut line);
            if let StopReason::NoUsableKey(why) | StopReason::Misconfigured(why) = reason {
                let first = why.lines().next().unwrap_or_default();
                let _ = write!(line, " ({})", Truncated(first.trim(), MESSAGE_LENGTH));
            }
        }
        None => line.push_str("finished"),
    }
    let (remaining, rows) = (Count(stats.rows.remaining), Plural(stats.rows.total, "row"));
    let _ = writeln!(line, "; {remaining} of {rows} remaining");
    line
}

fn had_nothing_to_do(stats: &RunStats) -> bool {
    stats.usage.requests + stats.usage.finished == 0
        && stats.rows.remaining == 0
        && stats.stopped_by.is_none()
}

struct Summary<'a> {
    stats: &'a RunStats,
    context: &'a SummaryContext<'a>,
    palette: Palette,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if had_nothing_to_do(self.stats) {
            self.nothing_to_do(f)
        } else {
            self.full(f)
        }
    }
}

impl Summary<'_> {
    fn nothing_to_do(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowCounts {
            total,
            done,
            failed,
            ..
        } = self.stats.rows;
        let batch = Safe(self.context.batch);
        write!(out, "{}: ", self.palette.success("nothing to do"))?;
        match (total, failed) {
            (0, _) => write!(out, "{batch} has no rows")?,
            (1, 0) => write!(out, "the only row of {batch} is completed")?,
            (_, 0) => write!(out, "all {} of {batch} are completed", Plural(total, "row"))?,
            _ => {
                let (done, failed) = (Count(done), Count(failed));
                let rows = Plural(total, "row");
                write!(
                    out,
                    "{done} of {rows} of {batch} are completed, {failed} failed"
                )?;
            }
        }
        if self.context.simulated {
            write!(out, " ({})", self.palette.warning("SIMULATED"))?;
        }
        if let Some(output) = self.context.output {
            write!(out, "; results: {}", Safe(output))?;
        }
        if let Some(next) = self.context.next_command {
            write!(out, "; next: {}", Safe(next))?;
        }
        out.write_char('\n')
    }

    fn full(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.simulated(out)?;
        self.headline(out)?;
        self.stop_details(out)?;
        out.write_char('\n')?;
        self.rows(out)?;
        self.requests(out)?;
        self.tokens(out)?;
        self.cost(out)?;
        self.unknown(out)?;
        write!(
            out,
            "{}",
            Causes {
                list: &self.stats.causes,
                palette: self.palette,
                width: self.context.width,
            }
        )?;
        self.next_steps(out)
    }

    fn simulated(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.context.simulated {
            return Ok(());
        }
        let word = self.palette.warning("SIMULATED");
        writeln!(
            out,
            "{word}: responses are simulated; no provider was called and nothing was charged"
        )
    }

    fn headline(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowCounts {
            total,
            failed,
            remaining,
            ..
        } = self.stats.rows;
        let stopped_by = &self.stats.stopped_by;
        let (batch, elapsed) = (
            Safe(self.context.batch),
            HumanDuration(self.context.elapsed),
        );
        let rows = Plural(total, "row");
        match stopped_by {
            Some(reason) => {
                let (stopped, remaining) = (self.palette.error("stopped"), Count(remaining));
                write!(out, "{stopped} after {elapsed}: ")?;
                write_stop_reason(reason, out)?;
                writeln!(out, "; {remaining} of {rows} of {batch} remaining")
            }
            None if remaining > 0 => {
                let (finished, remaining) = (self.palette.warning("finished"), Count(remaining));
                writeln!(
                    out,
                    "{finished}: {remaining} of {rows} of {batch} remaining after {elapsed}"
                )
            }
            None if failed > 0 => {
                let (finished, failed) = (self.palette.warning("finished"), Count(failed));
                writeln!(
                    out,
                    "{finished}: {failed} of {rows} of {batch} failed, in {elapsed}"
                )
            }
            None => {
                let done = self.palette.success("done");
                let all = if total == 1 { "the only" } else { "all" };
                let rows = if total == 1 {
                    "row".to_owned()
                } else {
                    rows.to_string()
                };
                writeln!(
                    out,
                    "{done}: {all} {rows} of {batch} completed in {elapsed}"
                )
            }
        }
    }

    /// Writes the details of an unusable key or a configuration error.
    fn stop_details(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(StopReason::NoUsableKey(why) | StopReason::Misconfigured(why)) =
            &self.stats.stopped_by
        else {
            return Ok(());
        };
        for line in why.lines() {
            let line = Truncated(line, 3 * MESSAGE_LENGTH).to_string();
            writeln!(out, "  {}", wrap(&line, 2, self.context.width))?;
        }
        Ok(())
    }

    fn rows(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowCounts {
            done,
            failed,
            remaining,
            ..
        } = self.stats.rows;
        self.label("rows", out)?;
        write!(out, "{} done, ", Count(done))?;
        match failed {
            0 => write!(out, "0 failed, ")?,
            _ => write!(
                out,
                "{}, ",
                self.palette.error(format_args!("{} failed", Count(failed)))
            )?,
        }
        writeln!(out, "{} remaining", Count(remaining))
    }

    fn requests(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage {
            requests,
            throttled,
            ..
        } = self.stats.usage;
        self.label("requests", out)?;
        write!(out, "{}", Count(requests))?;
        if let Some(rate) = Rate::over(requests, self.context.elapsed).filter(|_| requests > 0) {
            write!(out, " ({rate})")?;
        }
        if throttled > 0 {
            write!(out, ", {} throttled", Count(throttled))?;
        }
        out.write_char('\n')
    }

    fn tokens(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage {
            prompt_tokens,
            completion_tokens,
            ..
        } = self.stats.usage;
        if prompt_tokens == 0 && completion_tokens == 0 {
            return Ok(());
        }
        self.label("tokens", out)?;
        writeln!(
            out,
            "{} in, {} out",
            Count(prompt_tokens),
            Count(completion_tokens)
        )
    }

    fn unknown(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { unknown, .. } = self.stats.usage;
        let stopped_by = &self.stats.stopped_by;
        if unknown == 0 {
            return Ok(());
        }
        self.label("unknown", out)?;
        let text = match stopped_by {
            // Some of these requests may belong to this run; the next run retries them.
            Some(StopReason::Interrupted | StopReason::Terminated) => {
                let requests = Plural(unknown, "request");
                format!("{requests} in flight when a run crashed or was stopped; will be retried")
            }
            _ => retried_requests(unknown),
        };
        writeln!(out, "{}", wrap(&text, INDENT, self.context.width))
    }

    /// Writes the cost, its prices, and the number of responses without a known price.
    fn cost(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage {
            cost,
            unpriced,
            completions,
            ..
        } = self.stats.usage;
        if completions == 0 {
            return Ok(());
        }
        self.label("cost", out)?;
        if unpriced == completions {
            let text =
                "unknown: no price for this model; set one under [prices] in promptmill.toml";
            return writeln!(out, "{}", wrap(text, INDENT, self.context.width));
        }
        let prices = if self.context.own_prices {
            "your own prices".to_owned()
        } else {
            format!("list prices of {LIST_DATE}")
        };
        let mut text = format!("{cost} at {prices}");
        if self.context.simulated {
            text.push_str(" (not charged)");
        }
        if unpriced > 0 {
            let responses = Plural(unpriced, "response");
            let _ = write!(text, "; price unknown for {responses}");
        }
        writeln!(out, "{}", wrap(&text, INDENT, self.context.width))
    }

    fn next_steps(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SummaryContext {
            output,
            now,
            next_command,
            ..
        } = *self.context;
        if output.is_some() || next_command.is_some() || self.stats.resume_at.is_some() {
            out.write_char('\n')?;
        }
        if let Some(output) = output {
            self.label("results", out)?;
            writeln!(out, "{}", Safe(output))?;
        }
        if let Some(at) = self.stats.resume_at {
            self.label("not before", out)?;
            writeln!(
                out,
                "{} (in {})",
                DateTime(at),
                HumanDuration(at.since(now))
            )?;
        }
        if let Some(next) = next_command {
            self.label("next", out)?;
            writeln!(out, "{}", self.palette.bold(Safe(next)))?;
        }
        Ok(())
    }

    fn label(&self, name: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "  {} ", self.palette.dim(format_args!("{name:<10}")))
    }
}

/// Width of a label with its margins, in columns.
const INDENT: usize = 13;

fn write_stop_reason(reason: &StopReason, out: &mut impl fmt::Write) -> fmt::Result {
    match reason {
        StopReason::Interrupted => out.write_str("interrupted"),
        StopReason::Terminated => out.write_str("terminated by a signal"),
        StopReason::NoUsableKey(_) => out.write_str("no usable API key left"),
        StopReason::Misconfigured(_) => out.write_str("configuration error"),
        StopReason::Unavailable => out.write_str("the endpoint was unavailable for too long"),
        StopReason::Quota => out.write_str("rate limited: remaining rows are waiting"),
        StopReason::Limit(flag) => write!(out, "{flag} reached"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::Cost;
    use crate::domain::run_stats::Cause;
    use crate::domain::verdict::Scope;

    const NOW: Timestamp = Timestamp::from_millis(1_795_466_460_000);

    fn context() -> SummaryContext<'static> {
        SummaryContext {
            batch: "jobs",
            output: Some("results.csv"),
            elapsed: Duration::from_secs(83),
            now: NOW,
            simulated: false,
            next_command: None,
            color: false,
            width: None,
            own_prices: false,
        }
    }

    fn requests(requests: u64) -> Usage {
        Usage {
            requests,
            ..Usage::default()
        }
    }

    fn stats(done: u64, failed: u64, remaining: u64) -> RunStats {
        let total = done + failed + remaining;
        RunStats {
            rows: RowCounts {
                total,
                done,
                failed,
                remaining,
            },
            usage: requests(done + failed),
            ..RunStats::default()
        }
    }

    #[track_caller]
    fn check(stats: &RunStats, context: &SummaryContext<'_>, expected: &str) {
        assert_eq!(summary(stats, context), expected);
    }

    #[test]
    fn a_complete_run_has_a_short_summary() {
        let mut stats = stats(12_345, 0, 0);
        (stats.usage.prompt_tokens, stats.usage.completion_tokens) = (1_234_567, 7_654);
        check(
            &stats,
            &context(),
            "done: all 12,345 rows of jobs completed in 1m 23s\n\
             \n\
             \x20 rows       12,345 done, 0 failed, 0 remaining\n\
             \x20 requests   12,345 (149/s)\n\
             \x20 tokens     1,234,567 in, 7,654 out\n\
             \n\
             \x20 results    results.csv\n",
        );
    }

    #[test]
    fn a_run_with_failures_shows_causes_and_the_next_command() {
        let mut stats = stats(20, 4, 0);
        (stats.usage.throttled, stats.usage.unknown) = (7, 3);
        stats.causes.push(Cause {
            scope: Scope::Request,
            rule: "context-length".to_owned(),
            message: "maximum context length is 4096 tokens".to_owned(),
            hint: "shorten the prompt".to_owned(),
            jobs: 4,
        });
        let next_command = Some("promptmill retry jobs");
        check(
            &stats,
            &SummaryContext {
                next_command,
                ..context()
            },
            "finished: 4 of 24 rows of jobs failed, in 1m 23s\n\
             \n\
             \x20 rows       20 done, 4 failed, 0 remaining\n\
             \x20 requests   24 (17/min), 7 throttled\n\
             \x20 unknown    3 requests were in flight when an earlier run crashed; \
             their rows were retried\n\
             \n\
             \x20 why rows failed or are waiting\n\
             \x20   4 × request rejected (context-length)\n\
             \x20       message: maximum context length is 4096 tokens\n\
             \x20       hint: shorten the prompt\n\
             \n\
             \x20 results    results.csv\n\
             \x20 next       promptmill retry jobs\n",
        );
    }

    #[test]
    fn the_cost_states_its_prices_and_unknown_prices_are_not_zero() {
        #[track_caller]
        fn check(unpriced: u64, change: fn(&mut SummaryContext<'_>), expected: &str) {
            let mut context = context();
            change(&mut context);
            let mut stats = stats(9, 0, 0);
            (stats.usage.completions, stats.usage.unpriced) = (9, unpriced);
            stats.usage.cost = Cost::from_dollars(0.25).unwrap();
            let shown = summary(&stats, &context);
            let line = shown.lines().find(|line| line.contains("  cost "));
            assert_eq!(line.map(str::trim), Some(expected), "{shown}");
        }
        check(0, |_| {}, "cost       $0.25 at list prices of 2026-11-23");
        check(
            1,
            |context| context.own_prices = true,
            "cost       $0.25 at your own prices; price unknown for 1 response",
        );
        check(
            0,
            |context| context.simulated = true,
            "cost       $0.25 at list prices of 2026-11-23 (not charged)",
        );
        check(
            9,
            |context| context.width = Some(60),
            "cost       unknown: no price for this model; set one under",
        );
        let none = summary(&stats(0, 9, 0), &context());
        assert!(!none.contains("cost"), "{none}");
    }

    #[test]
    fn a_stopped_run_shows_the_reason_and_when_to_run_again() {
        let mut stats = stats(200, 0, 300);
        stats.stopped_by = Some(StopReason::Quota);
        stats.resume_at = Some(NOW + Duration::from_mins(200));
        check(
            &stats,
            &SummaryContext {
                output: None,
                next_command: Some("again"),
                ..context()
            },
            "stopped after 1m 23s: rate limited: remaining rows are waiting; \
             300 of 500 rows of jobs remaining\n\
             \n\
             \x20 rows       200 done, 0 failed, 300 remaining\n\
             \x20 requests   200 (2.4/s)\n\
             \n\
             \x20 not before 2026-11-24 00:01:00 UTC (in 3h 20m)\n\
             \x20 next       again\n",
        );
    }

    #[test]
    fn nothing_to_do_is_one_line() {
        let idle = |done, failed| RunStats {
            usage: requests(0),
            ..stats(done, failed, 0)
        };
        check(
            &idle(24, 0),
            &context(),
            "nothing to do: all 24 rows of jobs are completed; results: results.csv\n",
        );
        let simulated = SummaryContext {
            simulated: true,
            output: None,
            ..context()
        };
        check(
            &idle(1, 0),
            &simulated,
            "nothing to do: the only row of jobs is completed (SIMULATED)\n",
        );
        let retry = SummaryContext {
            next_command: Some("promptmill retry jobs"),
            ..context()
        };
        check(
            &idle(20, 4),
            &retry,
            "nothing to do: 20 of 24 rows of jobs are completed, 4 failed; \
             results: results.csv; next: promptmill retry jobs\n",
        );
        let none = SummaryContext {
            output: None,
            ..context()
        };
        check(&idle(0, 0), &none, "nothing to do: jobs has no rows\n");
    }

    #[test]
    fn a_stop_before_the_first_request_is_reported_as_a_stop() {
        let mut stopped = RunStats {
            usage: requests(0),
            ..stats(0, 0, 5)
        };
        stopped.stopped_by = Some(StopReason::NoUsableKey(
            "free-1 (a1b2) is disabled: no such key".to_owned(),
        ));
        let shown = summary(&stopped, &context());
        assert!(shown.starts_with("stopped after 1m 23s: no usable API key left; 5 of 5"));
    }

    #[test]
    fn a_simulated_run_is_marked_first() {
        let shown = summary(
            &stats(1, 0, 0),
            &SummaryContext {
                simulated: true,
                ..context()
            },
        );
        let (first, rest) = shown.split_once('\n').unwrap();
        assert!(
            first.starts_with("SIMULATED: responses are simulated"),
            "{first}"
        );
        assert!(
            rest.starts_with("done: the only row of jobs completed"),
            "{rest}"
        );
    }

    #[test]
    fn requests_with_an_unknown_result_will_be_retried() {
        let mut stopped = stats(5, 0, 5);
        (stopped.usage.unknown, stopped.stopped_by) = (1, Some(StopReason::Interrupted));
        let shown = summary(&stopped, &context());
        assert!(
            shown
                .contains("1 request in flight when a run crashed or was stopped; will be retried"),
            "{shown}"
        );
    }

    #[test]
    fn external_text_is_escaped() {
        let mut stopped = stats(1, 1, 1);
        stopped.stopped_by = Some(StopReason::Misconfigured("no\u{1b}[2J model".to_owned()));
        let context = SummaryContext {
            batch: "a\u{202e}b",
            output: Some("r\u{7}.csv"),
            next_command: Some("promptmill run 'x\u{1b}c'"),
            ..context()
        };
        for stats in [
            stopped,
            RunStats {
                usage: requests(0),
                ..stats(1, 1, 0)
            },
        ] {
            let shown = summary(&stats, &context);
            assert!(
                !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
                "{shown:?}"
            );
            assert!(shown.contains("a\\u{202e}b"), "{shown}");
        }
    }

    #[test]
    fn color_only_adds_escape_sequences() {
        let mut stopped = stats(20, 4, 10);
        stopped.stopped_by = Some(StopReason::Interrupted);
        stopped.causes.push(Cause {
            scope: Scope::Quota,
            rule: "r".to_owned(),
            message: String::new(),
            hint: String::new(),
            jobs: 1,
        });
        let simulated = SummaryContext {
            simulated: true,
            next_command: Some("n"),
            ..context()
        };
        let colored = summary(
            &stopped,
            &SummaryContext {
                color: true,
                ..simulated
            },
        );
        let mut plain = colored.clone();
        for code in ["0", "1", "2", "1;31", "1;32", "1;33"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_ne!(plain, colored);
        assert_eq!(plain, summary(&stopped, &simulated));
    }
}
