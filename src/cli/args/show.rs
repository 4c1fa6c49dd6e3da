//! Arguments of `show`.

use clap::Args;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill show jobs.csv 17     # the row with this ID, or else the 17th row
  promptmill show jobs.csv '#17'  # the 17th row, as listed by `failures`
  promptmill show jobs.csv 17 --json | jq .request")]
pub(in crate::cli) struct ShowArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    /// ID of the row, or its number in the input, starting from 1
    pub(in crate::cli) row: String,
}
