//! The flags of `status`.

use clap::Args;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill status
  promptmill status --json | jq '.batches[] | select(.pending > 0)'")]
pub(in crate::cli) struct StatusArgs {}
