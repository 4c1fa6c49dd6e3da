//! Writes the results of a batch.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::domain::job::{Exchange, Record};
use crate::export::{BatchSheet, CsvSheet, ExportError, JsonlSheet, Target};
use crate::schema::Schema;
use crate::store::{Store, StoreError, StoredBatch};

use super::args::{ExportArgs, Global, OutputFormat};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::settings::{self, Output};
use super::voice::Voice;
use super::{import, remainder, schema, status};

/// Records in one read: each read is short, so that the database can be tidied meanwhile.
const PAGE: u32 = 1_000;

/// `promptmill export`.
pub(super) async fn command(
    global: &Global,
    args: ExportArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let is_named = args.output.output.is_some() || file.output.is_some();
    let output = settings::output(args.output, &file, Path::new("-"));
    let voice = Voice::new(global, &file, false);
    let results = is_named || args.remainder.is_none();
    if results {
        check(&output)?;
    }
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    keep_apart(&output, &database, "the queue's database")?;
    let batch = import::find(&store, &args.batch, &database).await?;
    let written = async {
        if results {
            output.check(&batch.template)?;
            write(&store, &batch, &output).await?;
        }
        match &args.remainder {
            Some(path) => remainder::write(voice, &store, &batch, path).await,
            None => Ok(()),
        }
    };
    let written = written.await;
    store.close().await?;
    written.map(|()| Exit::Done)
}

/// Finds out whether the results can be written, before any work is done for them.
pub(super) fn check(output: &Output) -> Result<(), CliError> {
    output.target.check()?;
    if let Some(errors) = &output.errors {
        errors.check()?;
        if *errors == output.target {
            let what = "the results and the rows without an answer would go to one file";
            let hint = "name another file with --error-file, or leave it out";
            return Err(CliError::new(Exit::Usage, what, hint));
        }
    }
    Ok(())
}

/// Refuses an output that would replace the file at `read`, which the program needs again.
pub(super) fn keep_apart(output: &Output, read: &Path, name: &str) -> Result<(), CliError> {
    for target in [&output.target].into_iter().chain(&output.errors) {
        keep_target_apart(target, read, name)?;
    }
    Ok(())
}

/// Does the same for a target of its own.
pub(super) fn keep_target_apart(target: &Target, read: &Path, name: &str) -> Result<(), CliError> {
    let file = |path: &Path| {
        fs::metadata(path)
            .map(|found| (found.dev(), found.ino()))
            .ok()
    };
    let Target::File(path) = target else {
        return Ok(());
    };
    if file(path).is_none_or(|same| file(read) != Some(same)) {
        return Ok(());
    }
    let what = format!(
        "cannot write the results to {}: it is {name}",
        path.display()
    );
    Err(CliError::new(
        Exit::CannotWrite,
        &what,
        "name another file with -o",
    ))
}

/// Writes all rows of a batch in input order. A file is there whole, or as it was before. A reader
/// of standard output that has gone ends it quietly.
pub(super) async fn write(
    store: &Store,
    batch: &StoredBatch,
    output: &Output,
) -> Result<(), CliError> {
    match write_pages(store, batch, output).await {
        Ok(()) | Err(Unwritten::Export(ExportError::BrokenPipe)) => Ok(()),
        Err(Unwritten::Export(error)) => Err(error.into()),
        Err(Unwritten::Cli(error)) => Err(error),
    }
}

enum Unwritten {
    Export(ExportError),
    Cli(CliError),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Cli(error.into())
    }
}

impl From<CliError> for Unwritten {
    fn from(error: CliError) -> Self {
        Self::Cli(error)
    }
}

impl From<ExportError> for Unwritten {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

async fn write_pages(store: &Store, batch: &StoredBatch, output: &Output) -> Result<(), Unwritten> {
    let draft = output.target.create()?;
    let errors = output.errors.as_ref().map(Target::create).transpose()?;
    let (draft, errors) = fill(store, batch, output, draft, errors).await?;
    if let Some(errors) = errors {
        errors.publish()?;
    }
    Ok(draft.publish()?)
}

/// Writes all rows of a batch in input order to a writer, as they would be written to the output,
/// and hands it back. What would go to a file for errors is left out.
pub(super) async fn write_to<W: Write>(
    store: &Store,
    batch: &StoredBatch,
    output: &Output,
    writer: W,
) -> Result<W, CliError> {
    let errors = output.errors.as_ref().map(|_| io::sink());
    match fill(store, batch, output, writer, errors).await {
        Ok((writer, _)) => Ok(writer),
        Err(Unwritten::Export(error)) => Err(error.into()),
        Err(Unwritten::Cli(error)) => Err(error),
    }
}

async fn fill<W: Write, E: Write>(
    store: &Store,
    batch: &StoredBatch,
    output: &Output,
    writer: W,
    errors: Option<E>,
) -> Result<(W, Option<E>), Unwritten> {
    let columns = &batch.columns;
    let schema = schema::of(&batch.template)?.filter(|_| output.from_schema);
    let fields = schema.as_ref().map_or(&[][..], Schema::fields);
    let writer = match output.format_for(batch.template.form) {
        OutputFormat::Csv => {
            let mut sheet = CsvSheet::new(writer, columns, fields, output.style)?;
            records(store, batch, |record| sheet.write(record)).await?;
            sheet.finish()?
        }
        OutputFormat::Jsonl => {
            let mut sheet = JsonlSheet::new(writer, columns, fields);
            records(store, batch, |record| sheet.write(record)).await?;
            sheet.finish()?
        }
        OutputFormat::Batch => {
            let mut sheet = BatchSheet::new(writer, errors);
            exchanges(store, batch, |exchange| sheet.write(exchange)).await?;
            return Ok(sheet.finish()?);
        }
    };
    Ok((writer, errors))
}

/// Hands over all records of a batch, page by page.
async fn records(
    store: &Store,
    batch: &StoredBatch,
    mut write: impl FnMut(&Record) -> Result<(), ExportError>,
) -> Result<(), Unwritten> {
    let mut after = None;
    loop {
        let (records, last) = store.page(batch.id, after, PAGE).await?;
        records.iter().try_for_each(&mut write)?;
        if last.is_none() {
            return Ok(());
        }
        after = last;
    }
}

/// Hands over all exchanges of a batch, page by page.
async fn exchanges(
    store: &Store,
    batch: &StoredBatch,
    mut write: impl FnMut(&Exchange) -> Result<(), ExportError>,
) -> Result<(), Unwritten> {
    let mut after = None;
    loop {
        let (exchanges, last) = store.exchanges(batch.id, after, PAGE).await?;
        exchanges.iter().try_for_each(&mut write)?;
        if last.is_none() {
            return Ok(());
        }
        after = last;
    }
}
