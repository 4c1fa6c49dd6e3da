//! The flags of `show`.

use clap::Args;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill show jobs.csv 17     # the row of that id, else the 17th row
  promptmill show jobs.csv '#17'  # the 17th row, as `failures` writes it
  promptmill show jobs.csv 17 --json | jq .request")]
pub(in crate::cli) struct ShowArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    /// The row: its id, or its number in the input, from 1.
    pub(in crate::cli) row: String,
}
