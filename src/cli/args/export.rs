//! The flags of `export`: those of the output.

use clap::Args;

use super::output::OutputArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill export jobs.csv > results.csv
  promptmill export jobs.csv -o results.csv")]
pub(in crate::cli) struct ExportArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}
