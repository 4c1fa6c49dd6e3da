//! Takes an input file into the queue: the batch mirrors the file afterwards, or is as it was.

use std::path::Path;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::job::Chunk;
use crate::domain::request_template::{Form, RequestTemplate};
use crate::intake::{IntakeError, Reader, Source};
use crate::progress::quantity::{Count, Things};
use crate::progress::safe::Safe;
use crate::store::{Store, StoredBatch, Sync, SyncReport};

use super::args::{Global, ImportArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::screen;
use super::settings::{self, Import};
use super::voice::Voice;

/// Rows in one statement: enough that the statement costs nothing, few enough for memory.
const CHUNK_ROWS: usize = 2_000;

/// `promptmill import`.
pub(super) async fn command(
    global: &Global,
    args: ImportArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let voice = Voice::new(global, &file, args.simulate);
    let import = settings::import(args.input, args.simulate, &file, &database)?;
    let store = Store::open(&database).await?;
    let (batch, report) = take_in(&store, &import, Clock::start()).await?;
    let counts = store.counts(batch.id).await?;
    store.close().await?;
    if global.json {
        let report = report.unwrap_or_default();
        let object = serde_json::json!({
            "batch": batch.name, "total": counts.total, "added": report.added,
            "changed": report.changed, "withdrawn": report.withdrawn, "done": counts.done,
            "failed": counts.failed, "pending": counts.pending,
        });
        screen::print(&format!("{object}\n"))?;
    } else if voice.tells_news() {
        screen::say(&format!("{}\n", told(&batch.name, report, counts.total)));
    }
    Ok(Exit::Done)
}

/// Makes the batch mirror its input. Returns no report when the input has not changed since it was
/// last read, so that nothing had to be done.
pub(super) async fn take_in(
    store: &Store,
    import: &Import,
    clock: Clock,
) -> Result<(StoredBatch, Option<SyncReport>), CliError> {
    let (reader, stamp) = begin(import)?;
    let template = reader.template().clone();
    if let Some(batch) = store.find_batch(&import.batch).await? {
        if batch.template != template {
            check_template(store, &batch, &template, import.redo).await?;
        } else if stamp.is_some() && batch.stamp == stamp {
            return Ok((batch, None));
        }
    }
    let sync = Sync {
        name: &import.batch,
        template: &template,
        columns: &[],
        source: &import.input.display().to_string(),
        simulated: import.simulated,
        stamp: stamp.as_deref(),
        now: clock.now(),
    };
    let report = store.sync_batch(&sync, read_ahead(reader)).await??;
    Ok((store.batch(&import.batch).await?, Some(report)))
}

/// Begins to read an input; returns its stamp as well, if it has one. What the input says itself
/// is a part of the recipe: the reader has it whole.
pub(super) fn begin(import: &Import) -> Result<(Reader, Option<String>), CliError> {
    let source = Source::open(&import.input, import.options)?;
    let stamp = source
        .stamp()
        .map(|stamp| format!("{stamp} {}", import.options.delimiter));
    let reader = Reader::new(source, &import.template)?;
    check_model(reader.template(), import)?;
    Ok((reader, stamp))
}

/// Reads on a thread of its own, two chunks ahead of the database.
fn read_ahead(mut reader: Reader) -> mpsc::Receiver<Result<Chunk, IntakeError>> {
    let (sender, chunks) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        loop {
            let chunk = reader.next_chunk(CHUNK_ROWS);
            let is_last = chunk.as_ref().map_or(true, |chunk| chunk.rows.is_empty());
            // A receiver that has gone has failed, and says so itself.
            if sender.blocking_send(chunk).is_err() || is_last {
                break;
            }
        }
    });
    chunks
}

/// Refuses a model on the command line for an input whose requests name another one.
fn check_model(template: &RequestTemplate, import: &Import) -> Result<(), CliError> {
    let named = import.model_named && template.form == Form::Requests;
    if !named || template.model == import.template.model {
        return Ok(());
    }
    let what = format!(
        "--model says \"{}\", but the requests of the file ask for \"{}\"",
        Safe(&import.template.model),
        Safe(&template.model)
    );
    let hint = "leave --model out; requests are sent as they stand in the file";
    Err(CliError::new(Exit::BadInput, &what, hint))
}

/// Refuses another recipe for a batch that has answers, unless that is wanted.
pub(super) async fn check_template(
    store: &Store,
    batch: &StoredBatch,
    is: &RequestTemplate,
    redo: bool,
) -> Result<(), CliError> {
    let done = store.counts(batch.id).await?.done;
    if redo || done == 0 {
        return Ok(());
    }
    let was = &batch.template;
    let mut changed = Vec::new();
    if was.model != is.model {
        changed.push(format!("the model (was \"{}\")", was.model));
    }
    let parts = [
        (was.prompt != is.prompt, "the prompt"),
        (was.system != is.system, "the system message"),
        (was.params != is.params, "the parameters"),
        (was.id_column != is.id_column, "the id column"),
        (was.form != is.form, "the form of the input"),
        (was.api != is.api, "the endpoint"),
        (was.schema != is.schema, "the schema"),
    ];
    changed.extend(
        parts
            .iter()
            .filter(|(differs, _)| *differs)
            .map(|(_, name)| (*name).to_owned()),
    );
    let what = format!(
        "the recipe of batch \"{}\" has changed: {}\n\
         it has {} of the old one, and the two would be mixed",
        batch.name,
        changed.join(", "),
        Things(done, "answer"),
    );
    let hint = "ask every row anew with --redo, or make a second batch with --batch NAME";
    Err(CliError::new(Exit::Config, &what, hint))
}

/// Says what an import has done.
pub(super) fn told(batch: &str, report: Option<SyncReport>, total: u64) -> String {
    let (batch, rows) = (Safe(batch), Things(total, "row"));
    let Some(report) = report else {
        return format!("{batch}: {rows}; the file has not changed");
    };
    let parts = [
        (report.added, "added"),
        (report.changed, "changed and to be asked again"),
        (report.withdrawn, "withdrawn"),
    ];
    let parts = parts.iter().filter(|(rows, _)| *rows > 0);
    let parts: Vec<_> = parts
        .map(|(rows, what)| format!("{} {what}", Count(*rows)))
        .collect();
    let parts = if parts.is_empty() {
        "nothing new".to_owned()
    } else {
        parts.join(", ")
    };
    format!("{batch}: {rows} ({parts})")
}

/// Finds a batch by its name, by the path of its input, and either way among the simulated ones.
pub(super) async fn find(
    store: &Store,
    name: &str,
    database: &Path,
) -> Result<StoredBatch, CliError> {
    let by_path = settings::batch_name(Path::new(name), database);
    for name in [name, &by_path] {
        for name in [name.to_owned(), format!("{name} (simulated)")] {
            if let Some(batch) = store.find_batch(&name).await? {
                return Ok(batch);
            }
        }
    }
    Ok(store.batch(name).await?)
}
