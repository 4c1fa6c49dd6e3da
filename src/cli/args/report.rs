//! Arguments of `report`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill report jobs.csv
  promptmill report jobs.csv -o monday.html")]
pub(in crate::cli) struct ReportArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    /// HTML file to write [default: BATCH.report.html]
    ///
    /// `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
}
