//! Arguments of `retry`.

use std::num::NonZeroU64;

use clap::Args;

use crate::cli::values::count;

use super::rows::{CauseArgs, RowArgs};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill retry jobs.csv && promptmill run jobs.csv -o results.csv
  promptmill retry jobs.csv --cause timeout   # only rows that timed out
  promptmill retry jobs.csv --max 5           # only five rows, as a test
  promptmill retry jobs.csv --ids 17,204")]
pub(in crate::cli) struct RetryArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) causes: CauseArgs,
    #[command(flatten)]
    pub(in crate::cli) rows: RowArgs,
    /// Maximum number of rows, in input order
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>)]
    pub(in crate::cli) max: Option<NonZeroU64>,
}
