//! How the program ends: its exit code, and the error that ends it. The codes are part of the
//! interface, and documented in `README.md`.

mod error;

use std::process::ExitCode;

pub(crate) use self::error::CliError;

use crate::domain::run_stats::{RunStats, StopReason};

/// Exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All rows completed, or nothing to do.
    Done = 0,
    /// Unexpected error.
    Unexpected = 1,
    /// Invalid command line.
    Usage = 2,
    /// Finished, but some rows failed.
    SomeFailed = 3,
    /// Stopped early by a limit, with rows remaining.
    RowsRemaining = 4,
    /// Invalid input data.
    BadInput = 65,
    /// Input, batch, or database not found.
    NoInput = 66,
    /// The endpoint was unavailable for too long.
    Unavailable = 69,
    /// The results cannot be written.
    CannotWrite = 73,
    /// The disk or the database failed.
    Storage = 74,
    /// Another run is using the database.
    Locked = 75,
    /// No usable API key.
    NoKey = 77,
    /// Invalid setting, base URL, or model.
    Config = 78,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// The codes for the manual pages, each with its meaning and what to do.
pub(crate) const TABLE: &str = "\
0 | all rows completed, or nothing to do
1 | unexpected error: read the message
2 | invalid command line: read the message
3 | finished, some rows failed: `promptmill failures BATCH` lists reasons and hints
4 | stopped early by a limit, rows remaining: run again, not before the printed time
65 | invalid input data: fix the reported line
66 | input, batch, or database not found: check the path
69 | the endpoint was unavailable for too long: run again later
73 | the results cannot be written: free up disk space or choose another file; the responses are kept
74 | disk or database error: read the message; run `promptmill doctor`
75 | another run is using the database: wait until it has finished
77 | no usable API key: replace the key; run `promptmill doctor`
78 | invalid setting, base URL, or model: correct it; run `promptmill doctor`
130, 143 | interrupted by SIGINT, SIGTERM: run again";

impl Exit {
    /// Returns the numeric exit code.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Returns the exit code of a run.
    pub(crate) fn of(stats: &RunStats) -> Self {
        match &stats.stopped_by {
            Some(StopReason::Interrupted) => Self::Interrupted,
            Some(StopReason::Terminated) => Self::Terminated,
            Some(StopReason::NoUsableKey(_)) => Self::NoKey,
            Some(StopReason::Misconfigured(_)) => Self::Config,
            Some(StopReason::Unavailable) => Self::Unavailable,
            Some(StopReason::Quota | StopReason::Limit(_)) => Self::RowsRemaining,
            None if stats.rows.failed > 0 => Self::SomeFailed,
            None => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
