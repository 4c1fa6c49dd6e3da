//! `promptmill import`: syncs a batch with its input file, in one transaction.

use clap::Args;
use tokio::sync::mpsc;

use crate::api::{RequestTemplate, RowFormat};
use crate::clock::Clock;
use crate::domain::job::Chunk;
use crate::intake::{IntakeError, Reader, Source};
use crate::progress::moment::{DateTime, Rfc3339};
use crate::progress::quantity::{Count, Plural};
use crate::progress::safe::Safe;
use crate::store::{Store, StoredBatch, SyncParams, SyncReport};

use super::exit::{CliError, Exit};
use super::settings::{self, FileSettings, GlobalArgs, ImportSettings, InputArgs};
use super::values::{Deadline, deadline};
use super::verbosity::Verbosity;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill import jobs.csv --id-column id
  promptmill import jobs.csv --prompt 'Kind? {{ text }}' --batch kindness
  promptmill import urgent.csv --deadline 6h   # `work` sends it first")]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// Import the batch for runs with --simulate
    #[arg(long, help_heading = "Endpoint and API keys")]
    pub(super) simulate: bool,
    /// When the batch should be complete: 6h, a time like 2026-12-01T08:00:00Z, or `none`
    ///
    /// `work` sends the batch with the earliest deadline first; the other batches share half of the
    /// requests. Later imports keep the deadline. A batch is still completed after its deadline.
    #[arg(long, value_name = "WHEN", value_parser = deadline)]
    deadline: Option<Deadline>,
}

/// Rows per chunk: large enough to amortize a statement, small enough to keep in memory.
const CHUNK_ROWS: usize = 2_000;

/// Runs `promptmill import`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: ImportArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global);
    let verbosity = Verbosity::new(global, args.simulate);
    let import = settings::import(args.input, args.simulate, &file, &database)?;
    let store = Store::open(&database).await?;
    let clock = Clock::start();
    let (mut batch, report) = sync_input(&store, &import, clock).await?;
    if let Some(deadline) = args.deadline {
        batch.deadline = deadline.resolve(clock.now());
        store.set_deadline(batch.id, batch.deadline).await?;
    }
    let counts = store.counts(batch.id).await?;
    store.close().await?;
    let changes = report.unwrap_or_default();
    let object = serde_json::json!({
        "batch": batch.name, "total": counts.total, "added": changes.added,
        "changed": changes.changed, "withdrawn": changes.withdrawn, "done": counts.done,
        "failed": counts.failed, "pending": counts.pending,
        "deadline": batch.deadline.map(|at| Rfc3339(at).to_string()),
    });
    let deadline = batch
        .deadline
        .map(|at| format!("; deadline {}", DateTime(at)));
    let message = summary(&batch.name, report, counts.total) + &deadline.unwrap_or_default();
    verbosity.print_result(&object, &(message + "\n"))?;
    Ok(Exit::Done)
}

/// Syncs the batch with its input. Returns no report if the input has not changed since the last
/// import.
pub(super) async fn sync_input(
    store: &Store,
    import: &ImportSettings,
    clock: Clock,
) -> Result<(StoredBatch, Option<SyncReport>), CliError> {
    let (reader, stamp) = open_reader(import)?;
    let template = reader.template().clone();
    if let Some(batch) = store.find_batch(&import.batch).await? {
        if batch.template != template {
            check_template(store, &batch, &template, import.redo).await?;
        } else if stamp.is_some() && batch.stamp == stamp {
            return Ok((batch, None));
        }
    }
    let sync = SyncParams {
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

/// Opens an input. Returns a reader, whose template includes the settings from the input, and the
/// stamp of the input if it has one.
pub(super) fn open_reader(import: &ImportSettings) -> Result<(Reader, Option<String>), CliError> {
    let source = Source::open(&import.input, import.options)?;
    let stamp = source
        .stamp()
        .map(|stamp| format!("{stamp} {}", import.options.delimiter));
    let reader = Reader::new(source, &import.template)?;
    check_model(reader.template(), import)?;
    Ok((reader, stamp))
}

/// Reads on a separate thread, up to two chunks ahead of the database.
fn read_ahead(mut reader: Reader) -> mpsc::Receiver<Result<Chunk, IntakeError>> {
    let (sender, chunks) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        loop {
            let chunk = reader.next_chunk(CHUNK_ROWS);
            let is_last = chunk.as_ref().map_or(true, |chunk| chunk.rows.is_empty());
            // The receiver is dropped only on an error, which it reports itself.
            if sender.blocking_send(chunk).is_err() || is_last {
                break;
            }
        }
    });
    chunks
}

/// Rejects `--model` if the requests of the input use another model.
fn check_model(template: &RequestTemplate, import: &ImportSettings) -> Result<(), CliError> {
    let named = import.model_is_explicit && template.row_format == RowFormat::Requests;
    if !named || template.model == import.template.model {
        return Ok(());
    }
    let (flag, own) = (Safe(&import.template.model), Safe(&template.model));
    let what = format!("--model is \"{flag}\", but the requests in the file use \"{own}\"");
    let hint = "remove --model; the requests are sent as they are in the file";
    Err(CliError::new(Exit::BadInput, &what, hint))
}

/// Rejects changed request settings for a batch that has responses, unless `redo` is set.
pub(super) async fn check_template(
    store: &Store,
    batch: &StoredBatch,
    new: &RequestTemplate,
    redo: bool,
) -> Result<(), CliError> {
    let done = store.counts(batch.id).await?.done;
    if redo || done == 0 {
        return Ok(());
    }
    let old = &batch.template;
    let mut changed = Vec::new();
    if old.model != new.model {
        changed.push(format!("the model (was \"{}\")", old.model));
    }
    let parts = [
        (old.prompt != new.prompt, "the prompt"),
        (old.system != new.system, "the system message"),
        (old.params != new.params, "the parameters"),
        (old.id_column != new.id_column, "the ID column"),
        (old.row_format != new.row_format, "the input format"),
        (old.api != new.api, "the endpoint"),
        (old.schema != new.schema, "the schema"),
    ];
    let parts = parts.into_iter().filter(|(differs, _)| *differs);
    changed.extend(parts.map(|(_, name)| name.to_owned()));
    let what = format!(
        "the request settings of batch \"{}\" have changed: {}\n\
         it already has {} with the old settings, and the results would be mixed",
        batch.name,
        changed.join(", "),
        Plural(done, "response"),
    );
    let hint = "send all rows again with --redo, or create a second batch with --batch NAME";
    Err(CliError::new(Exit::Config, &what, hint))
}

/// Formats the result of an import.
pub(super) fn summary(batch: &str, report: Option<SyncReport>, total: u64) -> String {
    let (batch, rows) = (Safe(batch), Plural(total, "row"));
    let Some(report) = report else {
        return format!("{batch}: {rows}; the file has not changed");
    };
    let parts = [
        (report.added, "added"),
        (report.changed, "changed and pending again"),
        (report.withdrawn, "removed"),
    ];
    let parts = parts.iter().filter(|(rows, _)| *rows > 0);
    let parts: Vec<_> = parts
        .map(|(rows, what)| format!("{} {what}", Count(*rows)))
        .collect();
    let parts = match &parts[..] {
        [] => "no changes".to_owned(),
        parts => parts.join(", "),
    };
    format!("{batch}: {rows} ({parts})")
}
