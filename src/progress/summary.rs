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
use crate::domain::run_stats::{RunStats, StopReason};
use crate::domain::time::Timestamp;

/// Context of a summary: everything except the counts.
#[derive(Clone, Copy, Debug, Default)]
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
    let color = context.color;
    let summary = Summary {
        stats,
        context,
        palette: Palette { color },
    };
    summary.to_string()
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
        let rows = self.stats.rows;
        let (total, done, failed) = (rows.total, rows.done, rows.failed);
        let batch = Safe(self.context.batch);
        write!(out, "{}: ", self.palette.success("nothing to do"))?;
        match (total, failed) {
            (0, _) => write!(out, "{batch} has no rows")?,
            (1, 0) => write!(out, "the only row of {batch} is completed")?,
            (_, 0) => write!(out, "all {} of {batch} are completed", Plural(total, "row"))?,
            _ => {
                let (done, rows) = (Count(done), Plural(total, "row"));
                write!(out, "{done} of {rows} of {batch} are completed, ")?;
                write!(out, "{} failed", Count(failed))?;
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
        let causes = Causes {
            list: &self.stats.causes,
            palette: self.palette,
            width: self.context.width,
        };
        write!(out, "{causes}")?;
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
        let counts = self.stats.rows;
        let [failed, remaining] = [counts.failed, counts.remaining].map(Count);
        let elapsed = HumanDuration(self.context.elapsed);
        let (batch, rows) = (Safe(self.context.batch), Plural(counts.total, "row"));
        let finished = self.palette.warning("finished");
        match &self.stats.stopped_by {
            Some(reason) => {
                write!(out, "{} after {elapsed}: ", self.palette.error("stopped"))?;
                write_stop_reason(reason, out)?;
                write!(out, "; {remaining} of {rows} of {batch} remaining")?;
            }
            None if counts.remaining > 0 => {
                write!(out, "{finished}: {remaining} of {rows} of {batch} ")?;
                write!(out, "remaining after {elapsed}")?;
            }
            None if counts.failed > 0 => {
                write!(out, "{finished}: {failed} of {rows} of {batch} ")?;
                write!(out, "failed, in {elapsed}")?;
            }
            None => {
                let all = match counts.total {
                    1 => "the only row".to_owned(),
                    _ => format!("all {rows}"),
                };
                write!(out, "{}: {all} of {batch} ", self.palette.success("done"))?;
                write!(out, "completed in {elapsed}")?;
            }
        }
        out.write_char('\n')
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
        let rows = self.stats.rows;
        let [done, failed, remaining] = [rows.done, rows.failed, rows.remaining].map(Count);
        self.label("rows", out)?;
        write!(out, "{done} done, ")?;
        let text = format!("{failed} failed");
        if rows.failed == 0 {
            write!(out, "{text}")?;
        } else {
            write!(out, "{}", self.palette.error(text))?;
        }
        writeln!(out, ", {remaining} remaining")
    }

    fn requests(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = &self.stats.usage;
        let (requests, throttled) = (usage.requests, usage.throttled);
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
        let usage = &self.stats.usage;
        let (prompt, completion) = (usage.prompt_tokens, usage.completion_tokens);
        if prompt == 0 && completion == 0 {
            return Ok(());
        }
        self.label("tokens", out)?;
        writeln!(out, "{} in, {} out", Count(prompt), Count(completion))
    }

    fn unknown(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = self.stats.usage.unknown;
        if unknown == 0 {
            return Ok(());
        }
        let text = match self.stats.stopped_by {
            // Some of these requests may belong to this run; the next run retries them.
            Some(StopReason::Interrupted | StopReason::Terminated) => {
                let requests = Plural(unknown, "request");
                format!("{requests} in flight when a run crashed or was stopped; will be retried")
            }
            _ => retried_requests(unknown),
        };
        self.wrapped("unknown", &text, out)
    }

    /// Writes the cost, its prices, and the number of responses without a known price.
    fn cost(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = &self.stats.usage;
        let (cost, unpriced) = (usage.cost, usage.unpriced);
        if usage.completions == 0 {
            return Ok(());
        }
        if unpriced == usage.completions {
            let text =
                "unknown: no price for this model; set one under [prices] in promptmill.toml";
            return self.wrapped("cost", text, out);
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
        self.wrapped("cost", &text, out)
    }

    fn next_steps(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (output, next) = (self.context.output, self.context.next_command);
        if output.is_some() || next.is_some() || self.stats.resume_at.is_some() {
            out.write_char('\n')?;
        }
        if let Some(output) = output {
            self.label("results", out)?;
            writeln!(out, "{}", Safe(output))?;
        }
        if let Some(at) = self.stats.resume_at {
            self.label("not before", out)?;
            let wait = HumanDuration(at.since(self.context.now));
            writeln!(out, "{} (in {wait})", DateTime(at))?;
        }
        if let Some(next) = next {
            self.label("next", out)?;
            writeln!(out, "{}", self.palette.bold(Safe(next)))?;
        }
        Ok(())
    }

    fn wrapped(&self, name: &str, text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.label(name, out)?;
        writeln!(out, "{}", wrap(text, INDENT, self.context.width))
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
    use crate::domain::run_stats::{Cause, RowCounts, Usage};
    use crate::domain::verdict::Scope;

    const NOW: Timestamp = Timestamp::from_millis(1_795_466_460_000);

    const CONTEXT: SummaryContext<'_> = SummaryContext {
        batch: "jobs",
        output: Some("results.csv"),
        elapsed: Duration::from_secs(83),
        now: NOW,
        simulated: false,
        next_command: None,
        color: false,
        width: None,
        own_prices: false,
    };

    const SIMULATED: SummaryContext<'_> = SummaryContext {
        simulated: true,
        ..CONTEXT
    };

    fn with_next(next_command: &str) -> SummaryContext<'_> {
        SummaryContext {
            next_command: Some(next_command),
            ..CONTEXT
        }
    }

    /// Counts without requests in this run.
    fn idle(done: u64, failed: u64, remaining: u64) -> RunStats {
        RunStats {
            usage: Usage::default(),
            ..stats(done, failed, remaining)
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
            usage: Usage {
                requests: done + failed,
                ..Usage::default()
            },
            ..RunStats::default()
        }
    }

    fn cause(message: &str, hint: &str) -> Cause {
        Cause {
            scope: Scope::Request,
            rule: "context-length".to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
            jobs: 4,
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
            &CONTEXT,
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
        let message = "maximum context length is 4096 tokens";
        stats.causes = vec![cause(message, "shorten the prompt")];
        check(
            &stats,
            &with_next("promptmill retry jobs"),
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
            let mut context = CONTEXT;
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
        let none = summary(&stats(0, 9, 0), &CONTEXT);
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
                ..with_next("again")
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
        check(
            &idle(24, 0, 0),
            &CONTEXT,
            "nothing to do: all 24 rows of jobs are completed; results: results.csv\n",
        );
        check(
            &idle(1, 0, 0),
            &SummaryContext {
                output: None,
                ..SIMULATED
            },
            "nothing to do: the only row of jobs is completed (SIMULATED)\n",
        );
        check(
            &idle(20, 4, 0),
            &with_next("promptmill retry jobs"),
            "nothing to do: 20 of 24 rows of jobs are completed, 4 failed; \
             results: results.csv; next: promptmill retry jobs\n",
        );
        let none = SummaryContext {
            output: None,
            ..CONTEXT
        };
        check(&idle(0, 0, 0), &none, "nothing to do: jobs has no rows\n");
    }

    #[test]
    fn a_stop_before_the_first_request_is_reported_as_a_stop() {
        let mut stopped = idle(0, 0, 5);
        let reason = "free-1 (a1b2) is disabled: no such key".to_owned();
        stopped.stopped_by = Some(StopReason::NoUsableKey(reason));
        let shown = summary(&stopped, &CONTEXT);
        assert!(shown.starts_with("stopped after 1m 23s: no usable API key left; 5 of 5"));
    }

    #[test]
    fn a_simulated_run_is_marked_first() {
        let shown = summary(&stats(1, 0, 0), &SIMULATED);
        let (first, rest) = shown.split_once('\n').unwrap();
        assert!(first.starts_with("SIMULATED: responses are simulated"));
        assert!(rest.starts_with("done: the only row of jobs completed"));
    }

    #[test]
    fn requests_with_an_unknown_result_will_be_retried() {
        let mut stopped = stats(5, 0, 5);
        (stopped.usage.unknown, stopped.stopped_by) = (1, Some(StopReason::Interrupted));
        let shown = summary(&stopped, &CONTEXT);
        let text = "1 request in flight when a run crashed or was stopped; will be retried";
        assert!(shown.contains(text), "{shown}");
    }

    #[test]
    fn external_text_is_escaped() {
        let mut stopped = stats(1, 1, 1);
        stopped.stopped_by = Some(StopReason::Misconfigured("no\u{1b}[2J model".to_owned()));
        let context = SummaryContext {
            batch: "a\u{202e}b",
            output: Some("r\u{7}.csv"),
            ..with_next("promptmill run 'x\u{1b}c'")
        };
        for stats in [stopped, idle(1, 1, 0)] {
            let shown = summary(&stats, &context);
            let raw = ['\u{1b}', '\u{7}', '\u{202e}'];
            assert!(!shown.contains(raw), "{shown:?}");
            assert!(shown.contains("a\\u{202e}b"), "{shown}");
        }
    }

    #[test]
    fn color_only_adds_escape_sequences() {
        let mut stopped = stats(20, 4, 10);
        stopped.stopped_by = Some(StopReason::Interrupted);
        stopped.causes = vec![cause("", "")];
        let mut context = SummaryContext {
            simulated: true,
            ..with_next("n")
        };
        let uncolored = summary(&stopped, &context);
        context.color = true;
        let colored = summary(&stopped, &context);
        let mut plain = colored.clone();
        for code in ["0", "1", "2", "1;31", "1;32", "1;33"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_ne!(plain, colored);
        assert_eq!(plain, uncolored);
    }
}
