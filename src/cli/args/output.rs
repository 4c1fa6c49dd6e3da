//! Where the answers go: the flags of the output.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct OutputArgs {
    /// Where the results go; `-` is standard output. `run` writes beside its input when this is
    /// not given, `export` to standard output.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "PROMPTMILL_OUTPUT",
        hide_env_values = true
    )]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Write cells as they are, even those that a spreadsheet would run as a formula.
    #[arg(
        long, env = "PROMPTMILL_CSV_RAW", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) csv_raw: bool,
}
