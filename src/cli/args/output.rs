//! Where the answers go: the flags of the output.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;

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
    /// The form of the results [default: by the name of their file, else that of the input].
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "PROMPTMILL_OUTPUT_FORMAT",
        hide_env_values = true
    )]
    pub(in crate::cli) output_format: Option<OutputFormat>,
    /// Where rows without an answer go, when the form is `batch` [default: among the results].
    #[arg(
        long,
        value_name = "FILE",
        env = "PROMPTMILL_ERROR_FILE",
        hide_env_values = true
    )]
    pub(in crate::cli) error_file: Option<PathBuf>,
    /// Write cells as they are, even those that a spreadsheet would run as a formula.
    #[arg(
        long, env = "PROMPTMILL_CSV_RAW", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) csv_raw: bool,
    /// Add a column for each field that --schema has at its top.
    #[arg(
        long, env = "PROMPTMILL_COLUMNS_FROM_SCHEMA", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) columns_from_schema: bool,
}

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum OutputFormat {
    // A table: the input's columns, then ours.
    Csv,
    // A JSON object a line: its own fields, then ours.
    Jsonl,
    // A response a line, as the OpenAI Batch API gives them.
    Batch,
}
