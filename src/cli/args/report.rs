//! The flags of `report`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill report jobs.csv
  promptmill report jobs.csv -o monday.html")]
pub(in crate::cli) struct ReportArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    /// Where the page goes; `-` is standard output [default: BATCH.report.html].
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
}
