//! Arguments of `import-results`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill export jobs.csv --remainder rest.jsonl    # for the Batch API
  promptmill import-results jobs.csv output.jsonl errors.jsonl")]
pub(in crate::cli) struct ImportResultsArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    /// Output and error files of the Batch API; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,
}
