//! Arguments of `status`.

use std::time::Duration;

use clap::Args;

use crate::cli::values::interval;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill status
  promptmill status --watch
  promptmill status --json | jq '.batches[] | select(.pending > 0)'")]
pub(in crate::cli) struct StatusArgs {
    /// Refresh the status until `q` is pressed
    ///
    /// This only reads the database, and can be used while a run is in progress.
    #[arg(long)]
    pub(in crate::cli) watch: bool,
    /// Refresh interval of --watch [default: 1s]
    ///
    /// The interval must be between 100ms and 1h.
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = interval)]
    pub(in crate::cli) interval: Option<Duration>,
}
