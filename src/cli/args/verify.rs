//! Arguments of `verify`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::OutputFormat;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill verify
  promptmill verify jobs.csv --output results.csv")]
pub(in crate::cli) struct VerifyArgs {
    /// Name of the batch, or path of its input file [default: all batches]
    pub(in crate::cli) batch: Option<String>,
    /// Results file to compare with the database
    #[arg(short, long, value_name = "FILE", requires = "batch")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Format of the results file [default: by file name, or else the input format]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "PROMPTMILL_OUTPUT_FORMAT"
    )]
    pub(in crate::cli) output_format: Option<OutputFormat>,
    /// The results were written with this --error-file; its content is not compared
    #[arg(long, value_name = "FILE", env = "PROMPTMILL_ERROR_FILE")]
    pub(in crate::cli) error_file: Option<PathBuf>,
    /// The results were written with --csv-raw
    #[arg(long, env = "PROMPTMILL_CSV_RAW", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) csv_raw: bool,
    /// The results were written with --columns-from-schema
    #[arg(
        long,
        env = "PROMPTMILL_COLUMNS_FROM_SCHEMA",
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) columns_from_schema: bool,
}
