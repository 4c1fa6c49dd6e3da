//! The flags of `status`.

use std::time::Duration;

use clap::Args;

use crate::cli::values::interval;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill status
  promptmill status --watch
  promptmill status --json | jq '.batches[] | select(.pending > 0)'")]
pub(in crate::cli) struct StatusArgs {
    /// Stay and show how it goes on, until `q`. It only reads, from another terminal than the run's.
    #[arg(long)]
    pub(in crate::cli) watch: bool,
    /// How often --watch looks, from 100ms to 1h [default: 1s].
    #[arg(long, value_name = "TIME", requires = "watch", value_parser = interval)]
    pub(in crate::cli) interval: Option<Duration>,
}
