//! The flags of `verify` and of `backup`: what is looked at, and where the copy goes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::OutputFormat;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill verify
  promptmill verify jobs.csv --output results.csv")]
pub(in crate::cli) struct VerifyArgs {
    /// The batch to count: its name, or the path of its input [default: all].
    pub(in crate::cli) batch: Option<String>,
    /// Results of the batch, to be compared with the database.
    #[arg(short, long, value_name = "FILE", requires = "batch")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// The form of the results [default: by the name of their file, else that of the input].
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "PROMPTMILL_OUTPUT_FORMAT",
        hide_env_values = true
    )]
    pub(in crate::cli) output_format: Option<OutputFormat>,
    /// Rows without an answer went to this file, which is not compared.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROMPTMILL_ERROR_FILE",
        hide_env_values = true
    )]
    pub(in crate::cli) error_file: Option<PathBuf>,
    /// The results were written with `--csv-raw`.
    #[arg(
        long, env = "PROMPTMILL_CSV_RAW", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) csv_raw: bool,
    /// They have a column for each field that --schema has at its top.
    #[arg(
        long, env = "PROMPTMILL_COLUMNS_FROM_SCHEMA", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) columns_from_schema: bool,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill backup before-the-update.db
  promptmill backup \"/backups/promptmill-$(date +%F).db\"   # from cron")]
pub(in crate::cli) struct BackupArgs {
    /// The new file.
    pub(in crate::cli) file: PathBuf,
}
