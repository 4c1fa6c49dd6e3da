//! The flags of `retry`.

use clap::Args;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill retry jobs.csv && promptmill run jobs.csv -o results.csv")]
pub(in crate::cli) struct RetryArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
}
