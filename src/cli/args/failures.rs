//! Arguments of `failures`.

use std::num::NonZeroU64;

use clap::Args;

use crate::cli::values::count;

use super::rows::CauseArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill failures jobs.csv
  promptmill failures jobs.csv --cause moderation --limit 100
  promptmill failures jobs.csv --json | jq -r '.failures[].id'")]
pub(in crate::cli) struct FailuresArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) causes: CauseArgs,
    /// Maximum number of rows [default: 20; all with --json]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>)]
    pub(in crate::cli) limit: Option<NonZeroU64>,
}
