//! The exit codes: small, stable, for cron to act on. `README.md` has the table.

use std::process::ExitCode;

use crate::domain::run_stats::{RunStats, StopReason};

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

/// The codes for people: the code, what it means, what to do.
pub(super) const TABLE: [(&str, &str, &str); 14] = [
    ("0", "all done, or nothing to do", "nothing"),
    ("1", "unexpected", "read the message"),
    ("2", "wrong command line", "read the message"),
    (
        "3",
        "finished, some rows failed for good",
        "`promptmill failures BATCH` says why and what to type",
    ),
    (
        "4",
        "stopped early by a limit, work is left",
        "run again, not before the time it names",
    ),
    ("65", "bad input data", "mend the line it names"),
    ("66", "no such input, batch or database", "check the path"),
    (
        "69",
        "the endpoint was down for too long",
        "run again later",
    ),
    (
        "73",
        "the results cannot be written",
        "make room or name another file; the answers are kept",
    ),
    (
        "74",
        "disk or database error",
        "read the message; `promptmill doctor`",
    ),
    ("75", "another run holds the queue", "let it finish"),
    (
        "77",
        "no usable key",
        "replace the key; `promptmill doctor`",
    ),
    (
        "78",
        "wrong setting, address or model",
        "correct it; `promptmill doctor`",
    ),
    ("130, 143", "interrupted by SIGINT, by SIGTERM", "run again"),
];

impl Exit {
    /// Returns the code as the system sees it.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// Says how a run ends, from its counts.
    pub(super) fn of(stats: &RunStats) -> Self {
        match &stats.stopped_by {
            Some(StopReason::Interrupted) => Self::Interrupted,
            Some(StopReason::Terminated) => Self::Terminated,
            Some(StopReason::NoUsableKey(_)) => Self::NoKey,
            Some(StopReason::Misconfigured(_)) => Self::Config,
            Some(StopReason::Unavailable) => Self::Unavailable,
            Some(StopReason::Quota | StopReason::Limit(_)) => Self::WorkLeft,
            None if stats.failed > 0 => Self::SomeFailed,
            None => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
