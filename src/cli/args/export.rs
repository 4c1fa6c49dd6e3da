//! The flags of `export`: those of the output.

use std::path::PathBuf;

use clap::Args;

use super::output::OutputArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill export jobs.csv > results.csv
  promptmill export jobs.csv -o results.csv
  promptmill export jobs.csv --remainder rest.jsonl   # for the Batch API")]
pub(in crate::cli) struct ExportArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    /// Write the requests without an answer here, as a file for the OpenAI Batch API; what has no
    /// room in one goes to FILE-2 and so on. The results are written as well if -o says where.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) remainder: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}
