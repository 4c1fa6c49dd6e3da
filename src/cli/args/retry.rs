//! The flags of `retry`.

use std::num::NonZeroU64;

use clap::Args;

use crate::cli::values::count;

use super::rows::{CauseArgs, RowArgs};

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill retry jobs.csv && promptmill run jobs.csv -o results.csv
  promptmill retry jobs.csv --cause timeout   # only those that took too long
  promptmill retry jobs.csv --max 5           # five, to see whether it helps
  promptmill retry jobs.csv --ids 17,204")]
pub(in crate::cli) struct RetryArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) causes: CauseArgs,
    #[command(flatten)]
    pub(in crate::cli) rows: RowArgs,
    /// At most so many rows, the first ones of the file.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>)]
    pub(in crate::cli) max: Option<NonZeroU64>,
}
