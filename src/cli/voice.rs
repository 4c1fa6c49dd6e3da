//! How much a command says: decided once, from the flags and from who looks on, and at the end from
//! how it went.

use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::domain::run_stats::RunStats;
use crate::progress::Mode;
use crate::progress::summary::{self, SummaryContext};

use super::args::{Global, SummaryChoice};
use super::exit::Exit;
use super::file::FileSettings;
use super::{environment, screen};

/// How often a line says how far the run is, where there is no terminal and `-v` asks for it.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// How much a command says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice<'a> {
    pub(super) global: &'a Global,
    loudness: Loudness,
    /// Whether it runs from cron: nothing is said while it lasts.
    cron: bool,
}

/// What is said of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loudness {
    /// Whatever it was.
    Any,
    /// All of it, when it was not good.
    Trouble,
    /// The reason alone, when it was not good.
    Reason,
}

/// What is to be said of a run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Nothing.
    Nothing,
    /// Why it ended early, in one line.
    Reason,
    /// The summary.
    Summary,
}

impl<'a> Voice<'a> {
    /// Decides it. A simulated run always says that it was one: nobody is to take its answers for
    /// real ones.
    pub(super) fn new(global: &'a Global, file: &FileSettings, simulated: bool) -> Self {
        let looked_at = io::stderr().is_terminal() || global.verbose > 0 || simulated;
        let choice = global.summary.or(file.summary).unwrap_or_default();
        Self {
            global,
            loudness: loudness(global.quiet, choice, looked_at),
            cron: false,
        }
    }

    /// Lowers it as `--cron` asks for.
    pub(super) fn for_cron(mut self, cron: bool) -> Self {
        if cron && self.loudness == Loudness::Any {
            self.loudness = Loudness::Trouble;
        }
        Self { cron, ..self }
    }

    /// Tells whether news that are no trouble are told.
    pub(super) fn tells_news(self) -> bool {
        self.loudness == Loudness::Any
    }

    /// Tells whether what happens is told while it happens.
    pub(super) fn tells_at_once(self) -> bool {
        !self.cron && !self.global.quiet
    }

    /// Says how the work on a batch has ended, as far as that is to be said.
    pub(super) fn tell_end(self, stats: &RunStats, context: &SummaryContext<'_>) {
        match self.at(Exit::of(stats)) {
            Said::Nothing => {}
            Said::Reason => screen::say(&summary::reason(stats, context.batch)),
            Said::Summary => screen::say(&summary::summary(stats, context)),
        }
    }

    /// Chooses what is to be told of an end like this. With `-q`, failed rows are in the results and in
    /// the exit code alone.
    fn at(self, exit: Exit) -> Said {
        match (self.loudness, exit) {
            (Loudness::Any, _) => Said::Summary,
            (_, Exit::Done) | (Loudness::Reason, Exit::SomeFailed) => Said::Nothing,
            // Work that is left for the next time is what cron is for.
            (Loudness::Trouble, Exit::WorkLeft) if self.cron => Said::Nothing,
            (Loudness::Trouble, _) => Said::Summary,
            (Loudness::Reason, _) => Said::Reason,
        }
    }

    /// Chooses how a run shows its progress.
    pub(super) fn progress_mode(self) -> Mode {
        if !self.tells_at_once() {
            return Mode::Quiet;
        }
        let dumb = environment::text("TERM").as_deref() == Some("dumb");
        if io::stderr().is_terminal() && !dumb {
            return Mode::Bar {
                color: self.color(),
            };
        }
        Mode::Lines {
            every: (self.global.verbose > 0).then_some(TELL_EVERY),
        }
    }

    /// Tells whether standard error may be colored.
    pub(super) fn color(self) -> bool {
        screen::stderr_color(self.global.color)
    }
}

fn loudness(quiet: bool, choice: SummaryChoice, looked_at: bool) -> Loudness {
    match choice {
        _ if quiet => Loudness::Reason,
        SummaryChoice::Always => Loudness::Any,
        SummaryChoice::Auto if looked_at => Loudness::Any,
        SummaryChoice::Auto | SummaryChoice::Trouble => Loudness::Trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(quiet: bool, choice: SummaryChoice, looked_at: bool, expected: Loudness) {
        assert_eq!(loudness(quiet, choice, looked_at), expected);
    }

    #[test]
    fn without_a_terminal_only_trouble_is_told() {
        check(false, SummaryChoice::Auto, true, Loudness::Any);
        check(false, SummaryChoice::Auto, false, Loudness::Trouble);
        check(false, SummaryChoice::Always, false, Loudness::Any);
        check(false, SummaryChoice::Trouble, true, Loudness::Trouble);
        check(true, SummaryChoice::Always, true, Loudness::Reason);
    }
}
