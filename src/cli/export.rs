//! Writes the results of a batch.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::domain::job::Record;
use crate::export::{CsvSheet, ExportError, JsonlSheet, Target};
use crate::store::{Store, StoredBatch};

use super::args::{ExportArgs, Global, OutputFormat};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::settings::{self, Output};
use super::{import, status};

/// Records in one read: each read is short, so that the database can be tidied meanwhile.
const PAGE: u32 = 1_000;

/// `promptmill export`.
pub(super) async fn command(
    global: &Global,
    args: ExportArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let output = settings::output(args.output, &file, Path::new("-"));
    output.target.check()?;
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    keep_apart(&output, &database, "the queue's database")?;
    let batch = import::find(&store, &args.batch, &database).await?;
    let written = write(&store, &batch, &output).await;
    store.close().await?;
    written.map(|()| Exit::Done)
}

/// Refuses an output that would replace the file at `read`, which the program needs again.
pub(super) fn keep_apart(output: &Output, read: &Path, name: &str) -> Result<(), CliError> {
    keep_target_apart(&output.target, read, name)
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

impl From<ExportError> for Unwritten {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

async fn write_pages(store: &Store, batch: &StoredBatch, output: &Output) -> Result<(), Unwritten> {
    let draft = output.target.create()?;
    Ok(fill(store, batch, output, draft).await?.publish()?)
}

/// Writes all rows of a batch in input order to a writer, as they would be written to the output,
/// and hands it back.
pub(super) async fn write_to<W: Write>(
    store: &Store,
    batch: &StoredBatch,
    output: &Output,
    writer: W,
) -> Result<W, CliError> {
    match fill(store, batch, output, writer).await {
        Ok(writer) => Ok(writer),
        Err(Unwritten::Export(error)) => Err(error.into()),
        Err(Unwritten::Cli(error)) => Err(error),
    }
}

/// Results in the form that was asked for.
enum Sheet<W: Write> {
    Csv(Box<CsvSheet<W>>),
    Jsonl(JsonlSheet<W>),
}

impl<W: Write> Sheet<W> {
    fn new(writer: W, batch: &StoredBatch, output: &Output) -> Result<Self, ExportError> {
        Ok(match output.format_for(batch.recipe.form) {
            OutputFormat::Csv => {
                let sheet = CsvSheet::new(writer, &batch.columns, output.style)?;
                Self::Csv(Box::new(sheet))
            }
            OutputFormat::Jsonl => Self::Jsonl(JsonlSheet::new(writer, &batch.columns)),
        })
    }

    fn write(&mut self, record: &Record) -> Result<(), ExportError> {
        match self {
            Self::Csv(sheet) => sheet.write(record),
            Self::Jsonl(sheet) => sheet.write(record),
        }
    }

    fn finish(self) -> Result<W, ExportError> {
        match self {
            Self::Csv(sheet) => sheet.finish(),
            Self::Jsonl(sheet) => sheet.finish(),
        }
    }
}

async fn fill<W: Write>(
    store: &Store,
    batch: &StoredBatch,
    output: &Output,
    writer: W,
) -> Result<W, Unwritten> {
    let mut sheet = Sheet::new(writer, batch, output)?;
    let mut after = None;
    loop {
        let page = store.page(batch.id, after, PAGE).await;
        let (records, last) = page.map_err(|error| Unwritten::Cli(error.into()))?;
        for record in &records {
            sheet.write(record)?;
        }
        if last.is_none() {
            break;
        }
        after = last;
    }
    Ok(sheet.finish()?)
}
