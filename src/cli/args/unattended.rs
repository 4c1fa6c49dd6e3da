//! Options for unattended runs, such as from cron.

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;

#[derive(Args, Debug)]
#[command(next_help_heading = "Unattended runs")]
pub(in crate::cli) struct UnattendedArgs {
    /// Print no progress, and a summary only if the exit code is not 0 or 4
    ///
    /// If another run is using the database, exit with code 0, unless --if-busy is set.
    #[arg(long, env = "PROMPTMILL_CRON", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) cron: bool,
    /// What to do if another run is using the database [default: fail; skip with --cron]
    ///
    /// `fail` exits with code 75, `wait` waits for the other run, and `skip` exits with code 0.
    #[arg(long, value_name = "ACTION", value_enum, env = "PROMPTMILL_IF_BUSY")]
    pub(in crate::cli) if_busy: Option<IfBusy>,
}

/// What to do if another run is using the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum IfBusy {
    #[default]
    Fail,
    Wait,
    Skip,
}
