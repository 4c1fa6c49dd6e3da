//! How much a command prints, depending on the flags, the terminal, and the exit code.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::Value;

use crate::domain::run_stats::RunStats;
use crate::progress::Mode;
use crate::progress::summary::{self, SummaryContext};

use super::exit::Exit;
use super::settings::{GlobalArgs, SummaryChoice};
use super::{console, environment};

/// Interval of the progress lines that `-v` prints when there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_mins(1);

/// How much a command prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verbosity<'a> {
    pub(super) global: &'a GlobalArgs,
    summary_policy: SummaryPolicy,
    /// Whether it runs from cron: then nothing is printed before the summary.
    cron: bool,
}

/// When a summary is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SummaryPolicy {
    /// Always.
    Always,
    /// Only if the exit code is not 0.
    OnFailure,
    /// Never; if the run stopped early, its reason is printed instead.
    ReasonOnly,
}

impl<'a> Verbosity<'a> {
    /// Resolves the verbosity. A simulated run always prints its summary, so that its responses are
    /// not mistaken for real ones.
    pub(super) fn new(global: &'a GlobalArgs, simulated: bool) -> Self {
        let attended = io::stderr().is_terminal() || global.verbose > 0 || simulated;
        let choice = global.summary.unwrap_or_default();
        Self {
            global,
            summary_policy: summary_policy(global.quiet, choice, attended),
            cron: false,
        }
    }

    /// Reduces the verbosity if `--cron` is set.
    pub(super) fn for_cron(mut self, cron: bool) -> Self {
        if cron && self.summary_policy == SummaryPolicy::Always {
            self.summary_policy = SummaryPolicy::OnFailure;
        }
        Self { cron, ..self }
    }

    /// Returns whether informational messages are printed.
    pub(super) fn prints_notices(self) -> bool {
        self.summary_policy == SummaryPolicy::Always
    }

    /// Returns whether progress is printed during the run.
    pub(super) fn prints_progress(self) -> bool {
        !self.cron && !self.global.quiet
    }

    /// Prints the result of a command: as JSON on standard output, or else as an informational
    /// message.
    pub(super) fn print_result(self, object: &Value, message: &str) -> io::Result<()> {
        if self.global.json {
            return console::print_json(object);
        }
        if self.prints_notices() {
            console::eprint(message);
        }
        Ok(())
    }

    /// Prints the summary of a run, or only its reason, or nothing.
    pub(super) fn print_summary(self, stats: &RunStats, context: &SummaryContext<'_>) {
        if let Some(text) = self.summary(stats, context) {
            console::eprint(&text);
        }
    }

    /// Returns the summary of a run, or only its reason, or nothing.
    pub(super) fn summary(self, stats: &RunStats, context: &SummaryContext<'_>) -> Option<String> {
        let summary = || Some(summary::summary(stats, context));
        match (self.summary_policy, Exit::of(stats)) {
            (SummaryPolicy::Always, _) => summary(),
            // With `-q`, only the results and the exit code report failed rows.
            (_, Exit::Done) | (SummaryPolicy::ReasonOnly, Exit::SomeFailed) => None,
            // With cron, the next run continues with the remaining rows.
            (SummaryPolicy::OnFailure, Exit::RowsRemaining) if self.cron => None,
            (SummaryPolicy::OnFailure, _) => summary(),
            (SummaryPolicy::ReasonOnly, _) => Some(summary::one_line(stats, context.batch)),
        }
    }

    /// Chooses how a run shows its progress.
    pub(super) fn progress_mode(self) -> Mode {
        if !self.prints_progress() {
            return Mode::Quiet;
        }
        let dumb = environment::text("TERM").as_deref() == Some("dumb");
        if io::stderr().is_terminal() && !dumb {
            return Mode::Bar {
                color: self.color(),
            };
        }
        Mode::Lines {
            interval: (self.global.verbose > 0).then_some(PROGRESS_INTERVAL),
        }
    }

    /// Returns whether output on standard error is colored.
    pub(super) fn color(self) -> bool {
        console::stderr_color(self.global.color)
    }
}

fn summary_policy(quiet: bool, choice: SummaryChoice, attended: bool) -> SummaryPolicy {
    match choice {
        _ if quiet => SummaryPolicy::ReasonOnly,
        SummaryChoice::Always => SummaryPolicy::Always,
        SummaryChoice::Auto if attended => SummaryPolicy::Always,
        SummaryChoice::Auto | SummaryChoice::Trouble => SummaryPolicy::OnFailure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(quiet: bool, choice: SummaryChoice, attended: bool, expected: SummaryPolicy) {
        assert_eq!(summary_policy(quiet, choice, attended), expected);
    }

    #[test]
    fn without_a_terminal_a_summary_is_printed_only_on_failure() {
        check(false, SummaryChoice::Auto, true, SummaryPolicy::Always);
        check(false, SummaryChoice::Auto, false, SummaryPolicy::OnFailure);
        check(false, SummaryChoice::Always, false, SummaryPolicy::Always);
        check(
            false,
            SummaryChoice::Trouble,
            true,
            SummaryPolicy::OnFailure,
        );
        check(true, SummaryChoice::Always, true, SummaryPolicy::ReasonOnly);
    }
}
