//! The output: file and format of the results.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::api::{RequestTemplate, RowFormat};
use crate::cli::exit::{CliError, Exit};
use crate::export::{CsvOptions, Target};

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct OutputArgs {
    /// Results file; `-` is standard output
    /// [example: results.csv]
    ///
    /// The default is a file next to the input for `run`, and standard output for `export`.
    #[arg(short, long, value_name = "FILE", env, display_order = 0)]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    results: ResultsArgs,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(in crate::cli) struct ResultsArgs {
    /// Format of the results [default: by file name, or else the input format]
    /// [example: jsonl]
    #[arg(long, value_name = "FORMAT", env)]
    output_format: Option<OutputFormat>,
    /// File for rows without a response [default: the results file]
    /// [example: errors.jsonl]
    ///
    /// Requires the output format `batch`.
    #[arg(long, value_name = "FILE", env)]
    error_file: Option<PathBuf>,
    /// Write cells unchanged, even those that spreadsheets would run as formulas
    #[arg(long, env)]
    csv_raw: bool,
    /// Add a column for each top-level field of --schema
    #[arg(long, env)]
    columns_from_schema: bool,
}

impl ResultsArgs {
    /// Returns the settings for results that are written to a target.
    pub(in crate::cli) fn with_target(self, target: Target) -> OutputSettings {
        OutputSettings {
            target,
            csv_options: CsvOptions {
                raw: self.csv_raw,
                ..CsvOptions::default()
            },
            format: self.output_format,
            errors: self.error_file.map(Target::File),
            from_schema: self.columns_from_schema,
        }
    }
}

/// Format of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OutputFormat {
    Csv,
    // One JSON object per line, with the fields of the input.
    Jsonl,
    // One response per line, in the format of the OpenAI Batch API.
    Batch,
}

/// Target and format of the results.
#[derive(Debug)]
pub(in crate::cli) struct OutputSettings {
    pub(in crate::cli) target: Target,
    pub(in crate::cli) csv_options: CsvOptions,
    /// The requested format; `None` derives it from the file name and the input of the batch.
    pub(in crate::cli) format: Option<OutputFormat>,
    /// Where rows without a response are written, if not to the results.
    pub(in crate::cli) errors: Option<Target>,
    /// Whether the top-level fields of the schema become columns.
    pub(in crate::cli) from_schema: bool,
}

impl OutputSettings {
    /// Returns the format of the results for a batch with this row format.
    pub(in crate::cli) fn format_for(&self, row_format: RowFormat) -> OutputFormat {
        let lines = match row_format {
            RowFormat::Table | RowFormat::Objects => OutputFormat::Jsonl,
            RowFormat::Requests => OutputFormat::Batch,
        };
        let by_input = match row_format {
            RowFormat::Table => OutputFormat::Csv,
            RowFormat::Objects | RowFormat::Requests => lines,
        };
        let by_name = match &self.target {
            Target::Stdout => None,
            Target::File(path) => format_of(path).map(|format| match format {
                OutputFormat::Jsonl => lines,
                other => other,
            }),
        };
        self.format.or(by_name).unwrap_or(by_input)
    }

    /// Returns the files to write.
    pub(in crate::cli) fn targets(&self) -> impl Iterator<Item = &Target> {
        [&self.target].into_iter().chain(&self.errors)
    }

    /// Rejects an output that does not suit the batch.
    pub(in crate::cli) fn check(&self, template: &RequestTemplate) -> Result<(), CliError> {
        self.check_error_file(template.row_format)?;
        if self.from_schema && template.schema.is_none() {
            let what = "--columns-from-schema requires a batch that was imported with --schema";
            let hint = "remove it, or add --schema FILE";
            return Err(CliError::new(Exit::Usage, what, hint));
        }
        Ok(())
    }

    /// Rejects a separate error file for formats other than `batch`.
    fn check_error_file(&self, row_format: RowFormat) -> Result<(), CliError> {
        let format = self.format_for(row_format);
        if self.errors.is_none() || format == OutputFormat::Batch {
            return Ok(());
        }
        let what = "--error-file requires the output format `batch`";
        let hint = "remove it, or add --output-format batch";
        Err(CliError::new(Exit::Usage, what, hint))
    }
}

/// Derives the format of results from the extension of their file.
pub(in crate::cli) fn format_of(path: &Path) -> Option<OutputFormat> {
    let extension = path.extension()?.to_ascii_lowercase();
    match extension.to_str()? {
        "jsonl" | "ndjson" => Some(OutputFormat::Jsonl),
        "csv" | "tsv" | "txt" => Some(OutputFormat::Csv),
        _ => None,
    }
}

/// Resolves the output; `fallback` is the default path.
pub(in crate::cli) fn output(args: OutputArgs, fallback: &Path) -> OutputSettings {
    let path = args.output.as_deref().unwrap_or(fallback);
    args.results.with_target(Target::from_option(path))
}
