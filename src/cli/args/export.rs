//! Arguments of `export`.

use std::path::PathBuf;

use clap::Args;

use super::output::OutputArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill export jobs.csv > results.csv
  promptmill export jobs.csv -o results.csv
  promptmill export jobs.csv --remainder rest.jsonl   # for the Batch API")]
pub(in crate::cli) struct ExportArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    /// Write the remaining requests as OpenAI Batch API files
    ///
    /// Requests that exceed the limits of one file are written to FILE-2 and so on. The results are
    /// written only if -o is also set.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(in crate::cli) remainder: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}
