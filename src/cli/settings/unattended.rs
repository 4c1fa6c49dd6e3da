//! Options for unattended runs, such as from cron.

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
#[command(next_help_heading = "Unattended runs")]
pub(in crate::cli) struct UnattendedArgs {
    /// Print no progress, and a summary only if the exit code is not 0 or 4
    ///
    /// If another run is using the database, exit with code 0, unless --if-busy is set.
    #[arg(long, env)]
    pub(in crate::cli) cron: bool,
    /// What to do if another run is using the database [default: fail; skip with --cron]
    /// [example: fail]
    ///
    /// `fail` exits with code 75, `wait` waits for the other run, and `skip` exits with code 0.
    #[arg(long, value_name = "ACTION", env)]
    pub(in crate::cli) if_busy: Option<IfBusy>,
}

/// What to do if another run is using the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum IfBusy {
    #[default]
    Fail,
    Wait,
    Skip,
}
