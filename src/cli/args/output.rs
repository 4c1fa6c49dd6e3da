//! Options for the output.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct OutputArgs {
    /// Results file; `-` is standard output
    ///
    /// The default is a file next to the input for `run`, and standard output for `export`.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "PROMPTMILL_OUTPUT",
        display_order = 0
    )]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Format of the results [default: by file name, or else the input format]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "PROMPTMILL_OUTPUT_FORMAT"
    )]
    pub(in crate::cli) output_format: Option<OutputFormat>,
    /// File for rows without a response [default: the results file]
    ///
    /// Requires the output format `batch`.
    #[arg(long, value_name = "FILE", env = "PROMPTMILL_ERROR_FILE")]
    pub(in crate::cli) error_file: Option<PathBuf>,
    /// Write cells unchanged, even those that spreadsheets would run as formulas
    #[arg(long, env = "PROMPTMILL_CSV_RAW", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) csv_raw: bool,
    /// Add a column for each top-level field of --schema
    #[arg(
        long,
        env = "PROMPTMILL_COLUMNS_FROM_SCHEMA",
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) columns_from_schema: bool,
}

/// Format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum OutputFormat {
    Csv,
    // One JSON object per line, with the fields of the input.
    Jsonl,
    // One response per line, in the format of the OpenAI Batch API.
    Batch,
}
