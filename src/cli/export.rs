//! `promptmill export`: writes the results of a batch.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::export::{BatchWriter, CsvWriter, ExportError, JsonlWriter, Target};
use crate::schema::Schema;
use crate::store::{Store, StoreError, StoredBatch};

use super::exit::{CliError, Exit};
use super::settings::{self, GlobalArgs, OutputArgs, OutputFormat, OutputSettings};
use super::verbosity::Verbosity;
use super::{database, remaining_requests, schema};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill export jobs.csv > results.csv
  promptmill export jobs.csv -o results.csv
  promptmill export jobs.csv --remainder rest.jsonl   # for the Batch API")]
pub(super) struct ExportArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    /// Write the remaining requests as OpenAI Batch API files
    ///
    /// Requests that exceed the limits of one file are written to FILE-2 and so on. The results are
    /// written only if -o is also set.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) remainder: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Rows per read transaction, kept short so that the WAL can be checkpointed in between.
const PAGE: u32 = 1_000;

/// Runs `promptmill export`.
pub(super) async fn command(global: &GlobalArgs, args: ExportArgs) -> Result<Exit, CliError> {
    let is_named = args.output.output.is_some();
    let output = settings::output(args.output, Path::new("-"));
    let verbosity = Verbosity::new(global, false);
    let results = is_named || args.remainder.is_none();
    if results {
        check_output(&output)?;
    }
    let location = settings::database(global);
    let store = database::open(&location).await?;
    database::protect(output.targets(), &location)?;
    let batch = database::find_batch(&store, &args.batch, &location).await?;
    let written = async {
        if results {
            output.check(&batch.template)?;
            write_results(&store, &batch, &output).await?;
        }
        match &args.remainder {
            Some(path) => {
                remaining_requests::write(verbosity, &store, &location, &batch, path).await
            }
            None => Ok(()),
        }
    };
    let written = written.await;
    store.close().await?;
    written.map(|()| Exit::Done)
}

/// Checks that the results can be written, before any work is done.
pub(super) fn check_output(output: &OutputSettings) -> Result<(), CliError> {
    output.target.check()?;
    if let Some(errors) = &output.errors {
        errors.check()?;
        if *errors == output.target {
            let what = "--output and --error-file are the same file";
            let hint = "choose another file with --error-file, or remove the option";
            return Err(CliError::new(Exit::Usage, what, hint));
        }
    }
    Ok(())
}

/// Rejects outputs that would replace the input file, which is still needed.
pub(super) fn protect_input(output: &OutputSettings, input: &Path) -> Result<(), CliError> {
    let identity = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    };
    let input = identity(input);
    database::reject_overwrite(output.targets(), "the input file", |path| {
        input.is_some() && identity(path) == input
    })
}

/// Writes all rows of a batch in input order. A file is replaced atomically; a closed standard
/// output is not an error.
pub(super) async fn write_results(
    store: &Store,
    batch: &StoredBatch,
    output: &OutputSettings,
) -> Result<(), CliError> {
    match write_outputs(store, batch, output).await {
        Ok(()) | Err(WriteError::Export(ExportError::BrokenPipe)) => Ok(()),
        Err(WriteError::Export(error)) => Err(error.into()),
        Err(WriteError::Cli(error)) => Err(error),
    }
}

enum WriteError {
    Export(ExportError),
    Cli(CliError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Cli(error.into())
    }
}

impl From<CliError> for WriteError {
    fn from(error: CliError) -> Self {
        Self::Cli(error)
    }
}

impl From<ExportError> for WriteError {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

async fn write_outputs(
    store: &Store,
    batch: &StoredBatch,
    output: &OutputSettings,
) -> Result<(), WriteError> {
    let writer = output.target.create()?;
    let errors = output.errors.as_ref().map(Target::create).transpose()?;
    let (writer, errors) = write_rows(store, batch, output, writer, errors).await?;
    if let Some(errors) = errors {
        errors.publish()?;
    }
    Ok(writer.publish()?)
}

/// Writes all rows of a batch in input order to `writer` in the format of the output, and returns
/// it. Rows for the error file are discarded.
pub(super) async fn write_to<W: Write>(
    store: &Store,
    batch: &StoredBatch,
    output: &OutputSettings,
    writer: W,
) -> Result<W, CliError> {
    let errors = output.errors.as_ref().map(|_| io::sink());
    match write_rows(store, batch, output, writer, errors).await {
        Ok((writer, _)) => Ok(writer),
        Err(WriteError::Export(error)) => Err(error.into()),
        Err(WriteError::Cli(error)) => Err(error),
    }
}

async fn write_rows<W: Write, E: Write>(
    store: &Store,
    batch: &StoredBatch,
    output: &OutputSettings,
    writer: W,
    errors: Option<E>,
) -> Result<(W, Option<E>), WriteError> {
    let columns = &batch.columns;
    let schema = schema::of(&batch.template)?.filter(|_| output.from_schema);
    let fields = schema.as_ref().map_or(&[][..], Schema::fields);
    let writer = match output.format_for(batch.template.row_format) {
        OutputFormat::Csv => {
            let mut results = CsvWriter::new(writer, columns, fields, output.csv_options)?;
            let page = async |after| store.page(batch.id, after, PAGE).await;
            database::for_each(page, |row| results.write(row).map_err(WriteError::Export)).await?;
            results.finish()?
        }
        OutputFormat::Jsonl => {
            let mut results = JsonlWriter::new(writer, columns, fields);
            let page = async |after| store.page(batch.id, after, PAGE).await;
            database::for_each(page, |row| results.write(row).map_err(WriteError::Export)).await?;
            results.finish()?
        }
        OutputFormat::Batch => {
            let mut results = BatchWriter::new(writer, errors);
            let page = async |after| store.request_outcomes(batch.id, after, PAGE).await;
            database::for_each(page, |outcome| {
                results.write(outcome).map_err(WriteError::Export)
            })
            .await?;
            return Ok(results.finish()?);
        }
    };
    Ok((writer, errors))
}
