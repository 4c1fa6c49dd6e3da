//! The summary at the end of a run: read in five seconds, the next command on its last line.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::causes::Causes;
use super::ink::Ink;
use super::moment::DateTime;
use super::quantity::{Count, Rate, Span, Things};
use super::safe::{Excerpt, Safe};
use super::wording::{MESSAGE_LENGTH, unknown_ends};
use super::wrap::wrap;
use crate::domain::price::LIST_DATE;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::domain::time::Timestamp;

/// What the summary says besides the counts.
#[derive(Clone, Copy, Debug)]
pub struct SummaryContext<'a> {
    /// The batch's name.
    pub batch: &'a str,
    /// Where the results are; `None` when none were written.
    pub output: Option<&'a str>,
    /// How long the run took.
    pub elapsed: Duration,
    /// The present, against which the time to wait is told.
    pub now: Timestamp,
    /// Whether the answers came from the simulator.
    pub simulated: bool,
    /// The command to run next; `None` when there is nothing more to do.
    pub next_command: Option<&'a str>,
    /// Whether the summary may be colored.
    pub color: bool,
    /// Columns of the terminal; `None` when it goes to none, and no line is broken.
    pub width: Option<usize>,
    /// Whether the costs are by the user's own prices, and not by the built-in list.
    pub own_prices: bool,
}

/// Writes the summary of a run: lines of text, the last one ended too.
///
/// A run that found nothing to do gets one line.
#[must_use]
pub fn summary(stats: &RunStats, context: &SummaryContext<'_>) -> String {
    let ink = Ink {
        color: context.color,
    };
    Summary {
        stats,
        context,
        ink,
    }
    .to_string()
}

/// Says in one line why a run ended before the work did; the line is ended too.
#[must_use]
pub fn reason(stats: &RunStats, batch: &str) -> String {
    let mut line = format!("{}: ", Safe(batch));
    match &stats.stopped_by {
        Some(reason) => {
            line.push_str("stopped: ");
            // A string takes all that is written to it.
            let _ = stop_words(reason, &mut line);
            if let StopReason::NoUsableKey(why) | StopReason::Misconfigured(why) = reason {
                let first = why.lines().next().unwrap_or_default();
                let _ = write!(line, " ({})", Excerpt(first.trim(), MESSAGE_LENGTH));
            }
        }
        None => line.push_str("finished"),
    }
    let (left, rows) = (Count(stats.left), Things(stats.total, "row"));
    let _ = writeln!(line, "; {left} of {rows} left");
    line
}

fn had_nothing_to_do(stats: &RunStats) -> bool {
    stats.requests + stats.ended == 0 && stats.left == 0 && stats.stopped_by.is_none()
}

struct Summary<'a> {
    stats: &'a RunStats,
    context: &'a SummaryContext<'a>,
    ink: Ink,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if had_nothing_to_do(self.stats) {
            self.one_line(f)
        } else {
            self.all(f)
        }
    }
}

impl Summary<'_> {
    fn one_line(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunStats {
            total,
            done,
            failed,
            ..
        } = *self.stats;
        let batch = Safe(self.context.batch);
        write!(out, "{}: ", self.ink.good("nothing to do"))?;
        match (total, failed) {
            (0, _) => write!(out, "{batch} has no rows")?,
            (1, 0) => write!(out, "the only row of {batch} is answered")?,
            (_, 0) => write!(out, "all {} of {batch} are answered", Things(total, "row"))?,
            _ => {
                let (done, failed) = (Count(done), Count(failed));
                let rows = Things(total, "row");
                write!(
                    out,
                    "of {rows} of {batch}, {done} are answered and {failed} failed"
                )?;
            }
        }
        if self.context.simulated {
            write!(out, " ({})", self.ink.warn("SIMULATED"))?;
        }
        if let Some(output) = self.context.output {
            write!(out, "; results: {}", Safe(output))?;
        }
        if let Some(next) = self.context.next_command {
            write!(out, "; next: {}", Safe(next))?;
        }
        out.write_char('\n')
    }

    fn all(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.simulated(out)?;
        self.headline(out)?;
        self.why(out)?;
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
                ink: self.ink,
                width: self.context.width,
            }
        )?;
        self.ending(out)
    }

    fn simulated(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.context.simulated {
            return Ok(());
        }
        let word = self.ink.warn("SIMULATED");
        writeln!(
            out,
            "{word}: no provider was asked and nothing was paid; the answers are made up"
        )
    }

    fn headline(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunStats {
            total,
            failed,
            left,
            stopped_by,
            ..
        } = self.stats;
        let (batch, elapsed) = (Safe(self.context.batch), Span(self.context.elapsed));
        let rows = Things(*total, "row");
        match stopped_by {
            Some(reason) => {
                let (stopped, left) = (self.ink.bad("stopped"), Count(*left));
                write!(out, "{stopped} after {elapsed}: ")?;
                stop_words(reason, out)?;
                writeln!(out, "; {left} of {rows} of {batch} left")
            }
            None if *left > 0 => {
                let (finished, left) = (self.ink.warn("finished"), Count(*left));
                writeln!(
                    out,
                    "{finished}: {left} of {rows} of {batch} left after {elapsed}"
                )
            }
            None if *failed > 0 => {
                let (finished, failed) = (self.ink.warn("finished"), Count(*failed));
                writeln!(
                    out,
                    "{finished}: {failed} of {rows} of {batch} failed, in {elapsed}"
                )
            }
            None => {
                let done = self.ink.good("done");
                let all = if *total == 1 { "the only" } else { "all" };
                let rows = if *total == 1 {
                    "row".to_owned()
                } else {
                    rows.to_string()
                };
                writeln!(
                    out,
                    "{done}: {all} {rows} of {batch} answered, in {elapsed}"
                )
            }
        }
    }

    /// Says in the provider's words, and in ours, why the run could not go on.
    fn why(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(StopReason::NoUsableKey(why) | StopReason::Misconfigured(why)) =
            &self.stats.stopped_by
        else {
            return Ok(());
        };
        for line in why.lines() {
            let line = Excerpt(line, 3 * MESSAGE_LENGTH).to_string();
            writeln!(out, "  {}", wrap(&line, 2, self.context.width))?;
        }
        Ok(())
    }

    fn rows(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunStats {
            done, failed, left, ..
        } = *self.stats;
        self.label("rows", out)?;
        write!(out, "{} done, ", Count(done))?;
        match failed {
            0 => write!(out, "0 failed, ")?,
            _ => write!(
                out,
                "{}, ",
                self.ink.bad(format_args!("{} failed", Count(failed)))
            )?,
        }
        writeln!(out, "{} left", Count(left))
    }

    fn requests(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunStats {
            requests,
            throttled,
            ..
        } = *self.stats;
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
        let RunStats {
            prompt_tokens,
            completion_tokens,
            ..
        } = *self.stats;
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
        let RunStats {
            unknown,
            stopped_by,
            ..
        } = self.stats;
        if *unknown == 0 {
            return Ok(());
        }
        self.label("unknown", out)?;
        let told = match stopped_by {
            // Some of them may be this run's own, whose jobs the next run asks again.
            Some(StopReason::Interrupted | StopReason::Terminated) => {
                let requests = Things(*unknown, "request");
                format!("{requests} in flight when a run died or was stopped, to ask again")
            }
            _ => unknown_ends(*unknown, "an earlier run died"),
        };
        writeln!(out, "{}", wrap(&told, LABELLED, self.context.width))
    }

    /// Says what this run's answers cost, by which prices, and how much of it nobody knows.
    fn cost(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunStats {
            cost,
            unpriced,
            answers,
            ..
        } = *self.stats;
        if answers == 0 {
            return Ok(());
        }
        self.label("cost", out)?;
        if unpriced == answers {
            let told =
                "unknown: the model has no price; give it one with [prices] in promptmill.toml";
            return writeln!(out, "{}", wrap(told, LABELLED, self.context.width));
        }
        let paid = if self.context.simulated {
            " if it were asked for real"
        } else {
            ""
        };
        let by = if self.context.own_prices {
            "your own prices".to_owned()
        } else {
            format!("list prices of {LIST_DATE}")
        };
        let mut told = format!("{cost}{paid} ({by})");
        if unpriced > 0 {
            let answers = Things(unpriced, "answer");
            let _ = write!(told, ", and {answers} at an unknown price");
        }
        writeln!(out, "{}", wrap(&told, LABELLED, self.context.width))
    }

    fn ending(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            writeln!(out, "{} (in {})", DateTime(at), Span(at.since(now)))?;
        }
        if let Some(next) = next_command {
            self.label("next", out)?;
            writeln!(out, "{}", self.ink.strong(Safe(next)))?;
        }
        Ok(())
    }

    fn label(&self, name: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "  {} ", self.ink.dim(format_args!("{name:<10}")))
    }
}

/// Columns before what a label is about.
const LABELLED: usize = 13;

/// Says why the run ended before the work did.
fn stop_words(reason: &StopReason, out: &mut impl fmt::Write) -> fmt::Result {
    match reason {
        StopReason::Interrupted => out.write_str("interrupted"),
        StopReason::Terminated => out.write_str("told to end by a signal"),
        StopReason::NoUsableKey(_) => out.write_str("no key is left that may be used"),
        StopReason::Misconfigured(_) => out.write_str("no request can succeed like this"),
        StopReason::Unavailable => out.write_str("the endpoint did not answer for too long"),
        StopReason::Quota => out.write_str("what is left waits for a limit"),
        StopReason::Limit(bound) => write!(out, "this run has gone as far as {bound} lets it"),
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

    fn stats(done: u64, failed: u64, left: u64) -> RunStats {
        let total = done + failed + left;
        RunStats {
            total,
            done,
            failed,
            left,
            requests: done + failed,
            ..RunStats::default()
        }
    }

    #[track_caller]
    fn check(stats: &RunStats, context: &SummaryContext<'_>, expected: &str) {
        assert_eq!(summary(stats, context), expected);
    }

    #[test]
    fn a_run_that_did_all_is_told_in_a_few_lines() {
        let mut stats = stats(12_345, 0, 0);
        (stats.prompt_tokens, stats.completion_tokens) = (1_234_567, 7_654);
        check(
            &stats,
            &context(),
            "done: all 12,345 rows of jobs answered, in 1m 23s\n\
             \n\
             \x20 rows       12,345 done, 0 failed, 0 left\n\
             \x20 requests   12,345 (149/s)\n\
             \x20 tokens     1,234,567 in, 7,654 out\n\
             \n\
             \x20 results    results.csv\n",
        );
    }

    #[test]
    fn a_run_with_failures_says_why_and_ends_with_the_next_command() {
        let mut stats = stats(20, 4, 0);
        (stats.throttled, stats.unknown) = (7, 3);
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
             \x20 rows       20 done, 4 failed, 0 left\n\
             \x20 requests   24 (17/min), 7 throttled\n\
             \x20 unknown    3 requests were in flight when an earlier run died; \
             their jobs were asked again\n\
             \n\
             \x20 why rows failed or wait\n\
             \x20   4 × the request was refused (context-length)\n\
             \x20       said: maximum context length is 4096 tokens\n\
             \x20       cure: shorten the prompt\n\
             \n\
             \x20 results    results.csv\n\
             \x20 next       promptmill retry jobs\n",
        );
    }

    #[test]
    fn the_cost_is_told_with_its_prices_and_what_is_not_known_is_never_nothing() {
        #[track_caller]
        fn check(unpriced: u64, change: fn(&mut SummaryContext<'_>), expected: &str) {
            let mut context = context();
            change(&mut context);
            let mut stats = stats(9, 0, 0);
            (stats.answers, stats.unpriced) = (9, unpriced);
            stats.cost = Cost::from_dollars(0.25).unwrap();
            let shown = summary(&stats, &context);
            let line = shown.lines().find(|line| line.contains("  cost "));
            assert_eq!(line.map(str::trim), Some(expected), "{shown}");
        }
        check(0, |_| {}, "cost       $0.25 (list prices of 2026-11-23)");
        check(
            1,
            |context| context.own_prices = true,
            "cost       $0.25 (your own prices), and 1 answer at an unknown price",
        );
        check(
            0,
            |context| context.simulated = true,
            "cost       $0.25 if it were asked for real (list prices of 2026-11-23)",
        );
        check(
            9,
            |context| context.width = Some(60),
            "cost       unknown: the model has no price; give it one",
        );
        let none = summary(&stats(0, 9, 0), &context());
        assert!(!none.contains("cost"), "{none}");
    }

    #[test]
    fn a_run_that_was_stopped_says_by_what_and_when_to_come_back() {
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
            "stopped after 1m 23s: what is left waits for a limit; 300 of 500 rows of jobs left\n\
             \n\
             \x20 rows       200 done, 0 failed, 300 left\n\
             \x20 requests   200 (2.4/s)\n\
             \n\
             \x20 not before 2026-11-24 00:01:00 UTC (in 3h 20m)\n\
             \x20 next       again\n",
        );
    }

    #[test]
    fn nothing_to_do_is_one_line() {
        let idle = |done, failed| RunStats {
            requests: 0,
            ..stats(done, failed, 0)
        };
        check(
            &idle(24, 0),
            &context(),
            "nothing to do: all 24 rows of jobs are answered; results: results.csv\n",
        );
        let simulated = SummaryContext {
            simulated: true,
            output: None,
            ..context()
        };
        check(
            &idle(1, 0),
            &simulated,
            "nothing to do: the only row of jobs is answered (SIMULATED)\n",
        );
        let retry = SummaryContext {
            next_command: Some("promptmill retry jobs"),
            ..context()
        };
        check(
            &idle(20, 4),
            &retry,
            "nothing to do: of 24 rows of jobs, 20 are answered and 4 failed; \
             results: results.csv; next: promptmill retry jobs\n",
        );
        let none = SummaryContext {
            output: None,
            ..context()
        };
        check(&idle(0, 0), &none, "nothing to do: jobs has no rows\n");
    }

    #[test]
    fn a_stop_before_the_first_request_is_not_nothing_to_do() {
        let mut stopped = RunStats {
            requests: 0,
            ..stats(0, 0, 5)
        };
        stopped.stopped_by = Some(StopReason::NoUsableKey(
            "free-1 (a1b2) is dead: no such key".to_owned(),
        ));
        let shown = summary(&stopped, &context());
        assert!(shown.starts_with("stopped after 1m 23s: no key is left that may be used; 5 of 5"));
    }

    #[test]
    fn a_simulated_run_says_so_first() {
        let shown = summary(
            &stats(1, 0, 0),
            &SummaryContext {
                simulated: true,
                ..context()
            },
        );
        let (first, rest) = shown.split_once('\n').unwrap();
        assert!(
            first.starts_with("SIMULATED: no provider was asked"),
            "{first}"
        );
        assert!(
            rest.starts_with("done: the only row of jobs answered"),
            "{rest}"
        );
    }

    #[test]
    fn requests_of_this_run_without_a_known_end_are_still_to_ask_again() {
        let mut stopped = stats(5, 0, 5);
        (stopped.unknown, stopped.stopped_by) = (1, Some(StopReason::Interrupted));
        let shown = summary(&stopped, &context());
        assert!(
            shown.contains("1 request in flight when a run died or was stopped, to ask again"),
            "{shown}"
        );
    }

    #[test]
    fn no_foreign_text_acts_on_the_terminal() {
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
                requests: 0,
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
    fn color_changes_nothing_but_color() {
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
