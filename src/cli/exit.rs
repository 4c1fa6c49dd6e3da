//! The exit codes: small, stable, for cron to act on. `README.md` has the table.

use std::process::ExitCode;

use crate::domain::tally::{StopReason, Tally};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All done, or nothing to do.
    Done = 0,
    /// Something that nobody thought of.
    Unexpected = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Finished, but some jobs failed for good.
    SomeFailed = 3,
    /// Stopped early by a limit, with work left: run again.
    WorkLeft = 4,
    /// The input is wrong.
    BadInput = 65,
    /// There is no such input.
    NoInput = 66,
    /// The endpoint cannot be reached, or has been down for too long.
    Unavailable = 69,
    /// The results cannot be written.
    CannotWrite = 73,
    /// The disk or the database failed.
    Storage = 74,
    /// Another run holds the queue.
    Locked = 75,
    /// There is no key that may be used.
    NoKey = 77,
    /// The set-up is wrong: a setting, the address, the model.
    Config = 78,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Returns the code as the system sees it.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// Says how a run ends, from its counts.
    pub(super) fn of(tally: &Tally) -> Self {
        match &tally.stopped_by {
            Some(StopReason::Interrupted) => Self::Interrupted,
            Some(StopReason::Terminated) => Self::Terminated,
            Some(StopReason::NoUsableKey(_)) => Self::NoKey,
            Some(StopReason::Misconfigured(_)) => Self::Config,
            Some(StopReason::Unavailable) => Self::Unavailable,
            Some(StopReason::Quota | StopReason::Limit(_)) => Self::WorkLeft,
            None if tally.failed > 0 => Self::SomeFailed,
            None => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
