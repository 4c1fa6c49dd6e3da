//! `promptmill import-results`: imports output files of the Batch API into a batch, in one
//! transaction.

#![expect(
    clippy::result_large_err,
    reason = "a failure is moved only once per outcome"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::RequestTemplate;
use crate::clock::Clock;
use crate::domain::failure::Failure;
use crate::domain::job::{AttemptRecord, Completion};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{self, Action, Context};
use crate::intake::{BatchOutput, BatchOutputLine, IntakeError, RequestResult};
use crate::progress::quantity::Plural;
use crate::progress::safe::{Safe, Truncated};
use crate::provider::{ParsedCompletion, parse_imported};
use crate::schema::Schema;
use crate::store::{ImportReport, ImportedOutcome, ImportedResult, StoredBatch};

use super::exit::{CliError, Exit};
use super::settings::GlobalArgs;
use super::verbosity::Verbosity;
use super::{database, run_lock, schema};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill export jobs.csv --remainder rest.jsonl    # for the Batch API
  promptmill import-results jobs.csv output.jsonl errors.jsonl")]
pub(super) struct ImportResultsArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    /// Output and error files of the Batch API; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

/// Results per chunk.
const CHUNK_SIZE: usize = 256;

/// Maximum number of characters of a `custom_id` or an error code that are shown.
const MAX_NAME_CHARS: usize = 40;

/// Runs `promptmill import-results`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: ImportResultsArgs,
) -> Result<Exit, CliError> {
    let (store, batch) = database::open_batch(global, &args.batch).await?;
    let now = Clock::start().now();
    let converter = OutcomeConverter {
        schema: schema::of(&batch.template)?,
        template: batch.template.clone(),
        now,
    };
    let lock = run_lock::try_acquire(&store)?;
    // Recover from a crashed run first, as at the start of a run.
    store.settle_spool().await?;
    store.recover(now).await?;
    let (chunks, unresolved) = read_ahead(args.files, converter);
    let report = store.import_results(batch.id, chunks, now).await??;
    drop(lock);
    let counts = store.counts(batch.id).await?;
    store.close().await?;
    if report.unknown > 0 {
        return Err(unknown_rows(&batch, &report));
    }
    let unresolved = unresolved.await.unwrap_or_default();
    let remaining = counts.total - counts.done;
    let object = json!({
        "batch": batch.name, "answered": report.completed, "failed": report.failed,
        "before": report.already_settled, "unanswered": unresolved, "left": remaining,
    });
    let message = summary(&batch, &report, &unresolved, remaining);
    Verbosity::new(global, false).print_result(&object, &message)?;
    Ok(Exit::Done)
}

/// Numbers of requests without a final result, by reason.
type UnresolvedCounts = BTreeMap<String, u64>;

/// Reads and converts results on a separate thread, up to two chunks ahead of the database.
fn read_ahead(
    files: Vec<PathBuf>,
    converter: OutcomeConverter,
) -> (
    mpsc::Receiver<Result<Vec<ImportedResult>, IntakeError>>,
    tokio::task::JoinHandle<UnresolvedCounts>,
) {
    let (sender, chunks) = mpsc::channel(2);
    let reading = tokio::task::spawn_blocking(move || {
        let mut unresolved = UnresolvedCounts::new();
        let mut send = |outcomes: Vec<BatchOutputLine>| {
            let results = outcomes
                .into_iter()
                .map(|outcome| converter.convert(outcome, &mut unresolved));
            let chunk = results.collect();
            // The receiver is dropped only on an error, which it reports itself.
            sender.blocking_send(Ok(chunk)).is_ok()
        };
        match read(&files, &mut send) {
            Ok(()) => {
                send(Vec::new());
            }
            Err(error) => drop(sender.blocking_send(Err(error))),
        }
        unresolved
    });
    (chunks, reading)
}

fn read(
    files: &[PathBuf],
    send: &mut impl FnMut(Vec<BatchOutputLine>) -> bool,
) -> Result<(), IntakeError> {
    for path in files {
        let mut outcomes = BatchOutput::open(path)?;
        let mut chunk = Vec::new();
        while let Some(outcome) = outcomes.read()? {
            chunk.push(outcome);
            if chunk.len() >= CHUNK_SIZE && !send(std::mem::take(&mut chunk)) {
                return Ok(());
            }
        }
        if !chunk.is_empty() && !send(chunk) {
            return Ok(());
        }
    }
    Ok(())
}

/// Converts lines of an output file to the outcomes of their rows.
struct OutcomeConverter {
    template: RequestTemplate,
    schema: Option<Schema>,
    now: Timestamp,
}

impl OutcomeConverter {
    /// Converts one line. Failures are classified as in a run.
    fn convert(&self, line: BatchOutputLine, unresolved: &mut UnresolvedCounts) -> ImportedResult {
        let BatchOutputLine { key, result } = line;
        let outcome = match result {
            RequestResult::Error(code) => Err(code),
            RequestResult::Response {
                status,
                request_id,
                body,
            } => match self.read(status, &request_id, body) {
                Ok(parsed) => Ok(ImportedOutcome::Completed(completion(parsed, request_id))),
                Err(failure) => self.failure_outcome(&failure),
            },
        };
        let outcome = outcome.unwrap_or_else(|reason| {
            *unresolved.entry(reason).or_default() += 1;
            ImportedOutcome::Unchanged
        });
        ImportedResult { key, outcome }
    }

    fn read(
        &self,
        status: u16,
        request_id: &str,
        body: String,
    ) -> Result<ParsedCompletion, Failure> {
        let parsed = parse_imported(self.template.api, status, request_id, body, self.now)?;
        match &self.schema {
            Some(schema) => schema
                .check_body(&parsed.body)
                .map_err(|violation| violation.failure(request_id)),
            None => Ok(()),
        }
        .map(|()| parsed)
    }

    /// Returns the outcome of a failed request, or the reason if it can be retried.
    fn failure_outcome(&self, failure: &Failure) -> Result<ImportedOutcome, String> {
        let context = Context {
            host: "",
            model: &self.template.model,
        };
        let verdict = verdict::classify(failure, context);
        if verdict.action != Action::FailJob {
            return Err(verdict.rule.to_owned());
        }
        Ok(ImportedOutcome::Failed(AttemptRecord {
            scope: verdict.scope,
            rule: verdict.rule.to_owned(),
            status: failure.status(),
            message: failure.message(),
            request_id: failure.request_id().to_owned(),
            ..AttemptRecord::default()
        }))
    }
}

fn completion(parsed: ParsedCompletion, request_id: String) -> Completion {
    Completion {
        body: parsed.body,
        model: parsed.metadata.model,
        finish_reason: parsed.metadata.finish_reason,
        prompt_tokens: parsed.metadata.prompt_tokens,
        completion_tokens: parsed.metadata.completion_tokens,
        latency_ms: 0,
        request_id,
    }
}

fn unknown_rows(batch: &StoredBatch, report: &ImportReport) -> CliError {
    let names: Vec<_> = report
        .unknown_keys
        .iter()
        .map(|name| Truncated(name, MAX_NAME_CHARS).to_string())
        .collect();
    let more = match report.unknown - names.len() as u64 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!(
        "batch \"{}\" has no row for the custom_id {}{more}; nothing was imported",
        Safe(&batch.name),
        names.join(", ")
    );
    let hint =
        "pass the batch that the requests came from; run `promptmill status` to list all batches";
    CliError::new(Exit::BadInput, &what, hint)
}

fn summary(
    batch: &StoredBatch,
    report: &ImportReport,
    unresolved: &UnresolvedCounts,
    remaining: u64,
) -> String {
    let (name, imported) = (Safe(&batch.name), Plural(report.completed, "response"));
    let mut text = format!("{name}: {imported} imported");
    if report.failed > 0 {
        let _ = write!(text, ", {} failed", Plural(report.failed, "row"));
    }
    if report.already_settled > 0 {
        let rows = Plural(report.already_settled, "row");
        let _ = write!(text, "; {rows} already done or failed");
    }
    text.push('\n');
    for (reason, rows) in unresolved {
        let reason = match reason.as_str() {
            "" => "no reason given",
            reason => reason,
        };
        let (rows, reason) = (Plural(*rows, "row"), Truncated(reason, MAX_NAME_CHARS));
        let _ = writeln!(text, "  {rows} without a response: {reason}");
    }
    let remaining = match remaining {
        0 => "all rows completed".to_owned(),
        count => format!("{} not completed", Plural(count, "row")),
    };
    text + &remaining + "\n"
}
