//! The flags of `failures`.

use std::num::NonZeroU64;

use clap::Args;

use crate::cli::values::count;

use super::rows::CauseArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill failures jobs.csv
  promptmill failures jobs.csv --cause content-filter --limit 100
  promptmill failures jobs.csv --json | jq -r '.failures[].id'")]
pub(in crate::cli) struct FailuresArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) causes: CauseArgs,
    /// The most rows to list [default: 20; with --json all].
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>)]
    pub(in crate::cli) limit: Option<NonZeroU64>,
}
