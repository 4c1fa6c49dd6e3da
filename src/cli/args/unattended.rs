//! Flags for a run that nobody watches: from cron, from a timer, beside another run.

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;

#[derive(Args, Debug)]
#[command(next_help_heading = "Unattended")]
pub(in crate::cli) struct UnattendedArgs {
    /// For cron: no progress, a summary only where something is wrong (an exit code other than 0
    /// and 4), and leave with 0 while another run holds the queue.
    #[arg(
        long, env = "PROMPTMILL_CRON", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) cron: bool,
    /// What to do while another run holds the queue: fail with code 75, wait for its end, or skip
    /// this run and leave with 0 [default: fail; skip with --cron].
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        env = "PROMPTMILL_IF_BUSY",
        hide_env_values = true
    )]
    pub(in crate::cli) if_busy: Option<IfBusy>,
}

/// What to do while another run holds the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum IfBusy {
    // Say who holds it, and fail.
    #[default]
    Fail,
    // Say who holds it, and wait for its end.
    Wait,
    // Leave the work to it.
    Skip,
}
