//! Takes what the Batch API has answered back into a batch: all of the files, or nothing.

#![expect(
    clippy::result_large_err,
    reason = "a failure is data and moves once per outcome"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::failure::Failure;
use crate::domain::job::Completion;
use crate::domain::request_template::RequestTemplate;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{self, Action, Context};
use crate::intake::{Brought, IntakeError, Outcome, Outcomes};
use crate::progress::quantity::{Count, Things};
use crate::progress::safe::{Excerpt, Safe};
use crate::provider::{ParsedCompletion, read_imported};
use crate::schema::Schema;
use crate::store::{AttemptRecord, Delivered, Delivery, End, Store, StoredBatch};

use super::args::{Global, ImportResultsArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::voice::Voice;
use super::{import, schema, screen, settings, status, turn};

/// Outcomes that are taken in together.
const CHUNK: usize = 256;

/// Characters of a foreign name that are shown.
const SHOWN: usize = 40;

/// `promptmill import-results`.
pub(super) async fn command(
    global: &Global,
    args: ImportResultsArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let batch = import::find(&store, &args.batch, &database).await?;
    let now = Clock::start().now();
    let judge = Judge {
        schema: schema::of(&batch.template)?,
        template: batch.template.clone(),
        now,
    };
    let lock = turn::take_lock(&store)?;
    // What a dead run left comes first, as at the start of a run.
    store.take_in_spool().await?;
    store.rescue(now).await?;
    let (chunks, open) = read_ahead(args.files, judge);
    let done = store.take_in(batch.id, chunks, now).await??;
    drop(lock);
    let left = store.counts(batch.id).await?;
    store.close().await?;
    if done.unknown > 0 {
        return Err(unknown(&batch, &done));
    }
    let open = open.await.unwrap_or_default();
    let left = left.total - left.done;
    if global.json {
        let object = json!({
            "batch": batch.name, "answered": done.answered, "failed": done.failed,
            "before": done.before, "unanswered": open, "left": left,
        });
        screen::print(&format!("{object}\n"))?;
    } else if Voice::new(global, &file, false).tells_news() {
        screen::say(&told(&batch, &done, &open, left));
    }
    Ok(Exit::Done)
}

/// How many requests were left open, by the reason.
type Open = BTreeMap<String, u64>;

/// Reads and judges on a thread of its own, a little ahead of the database.
fn read_ahead(
    files: Vec<PathBuf>,
    judge: Judge,
) -> (
    mpsc::Receiver<Result<Vec<Delivery>, IntakeError>>,
    tokio::task::JoinHandle<Open>,
) {
    let (sender, chunks) = mpsc::channel(2);
    let reading = tokio::task::spawn_blocking(move || {
        let mut open = Open::new();
        let mut send = |outcomes: Vec<Outcome>| {
            let judged = outcomes
                .into_iter()
                .map(|outcome| judge.judge(outcome, &mut open));
            let chunk = judged.collect();
            // A receiver that has gone has failed, and says so itself.
            sender.blocking_send(Ok(chunk)).is_ok()
        };
        match read(&files, &mut send) {
            Ok(()) => {
                send(Vec::new());
            }
            Err(error) => drop(sender.blocking_send(Err(error))),
        }
        open
    });
    (chunks, reading)
}

fn read(files: &[PathBuf], send: &mut impl FnMut(Vec<Outcome>) -> bool) -> Result<(), IntakeError> {
    for path in files {
        let mut outcomes = Outcomes::open(path)?;
        let mut chunk = Vec::new();
        while let Some(outcome) = outcomes.read()? {
            chunk.push(outcome);
            if chunk.len() >= CHUNK && !send(std::mem::take(&mut chunk)) {
                return Ok(());
            }
        }
        if !chunk.is_empty() && !send(chunk) {
            return Ok(());
        }
    }
    Ok(())
}

/// Says what becomes of rows for which outcomes came.
struct Judge {
    template: RequestTemplate,
    schema: Option<Schema>,
    now: Timestamp,
}

impl Judge {
    /// Judges one outcome, by the judge's word where it is a refusal.
    fn judge(&self, outcome: Outcome, open: &mut Open) -> Delivery {
        let Outcome { key, brought } = outcome;
        let end = match brought {
            Brought::Error(code) => Err(code),
            Brought::Response {
                status,
                request_id,
                body,
            } => match self.read(status, &request_id, body) {
                Ok(success) => Ok(End::Answered(completion(success, request_id))),
                Err(failure) => self.failed(&failure),
            },
        };
        let end = end.unwrap_or_else(|why| {
            *open.entry(why).or_default() += 1;
            End::Open
        });
        Delivery { key, end }
    }

    fn read(
        &self,
        status: u16,
        request_id: &str,
        body: String,
    ) -> Result<ParsedCompletion, Failure> {
        let success = read_imported(self.template.api, status, request_id, body, self.now)?;
        match &self.schema {
            Some(schema) => schema
                .check_body(&success.body)
                .map_err(|violation| violation.failure(request_id)),
            None => Ok(()),
        }
        .map(|()| success)
    }

    /// Returns what a failure means for its row; where it may yet be answered, why it is left open.
    fn failed(&self, failure: &Failure) -> Result<End, String> {
        let context = Context {
            host: "",
            model: &self.template.model,
        };
        let verdict = verdict::judge(failure, context);
        if verdict.action != Action::FailJob {
            return Err(verdict.rule.to_owned());
        }
        Ok(End::Failed(AttemptRecord {
            unknown: false,
            scope: verdict.scope,
            rule: verdict.rule.to_owned(),
            status: failure.status(),
            message: failure.message(),
            request_id: failure.request_id().to_owned(),
            wait_ms: None,
            latency_ms: None,
        }))
    }
}

fn completion(success: ParsedCompletion, request_id: String) -> Completion {
    Completion {
        body: success.body,
        model: success.metadata.model,
        finish_reason: success.metadata.finish_reason,
        prompt_tokens: success.metadata.prompt_tokens,
        completion_tokens: success.metadata.completion_tokens,
        latency_ms: 0,
        request_id,
    }
}

fn unknown(batch: &StoredBatch, done: &Delivered) -> CliError {
    let names: Vec<_> = done
        .unknown_names
        .iter()
        .map(|name| Excerpt(name, SHOWN).to_string())
        .collect();
    let more = match done.unknown - names.len() as u64 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!(
        "batch \"{}\" has no row for the custom_id {}{more}; nothing was taken in",
        Safe(&batch.name),
        names.join(", ")
    );
    let hint = "name the batch that the requests came from; `promptmill status` lists them";
    CliError::new(Exit::BadInput, &what, hint)
}

fn told(batch: &StoredBatch, done: &Delivered, open: &Open, left: u64) -> String {
    let mut text = format!(
        "{}: {} taken in",
        Safe(&batch.name),
        Things(done.answered, "answer")
    );
    if done.failed > 0 {
        let _ = write!(text, ", {} failed", Things(done.failed, "row"));
    }
    if done.before > 0 {
        let _ = write!(text, "; {} had ended before", Things(done.before, "row"));
    }
    text.push('\n');
    for (why, rows) in open {
        let why = if why.is_empty() { "no reason" } else { why };
        let rows = Things(*rows, "row");
        let _ = writeln!(text, "  {rows} without an answer: {}", Excerpt(why, SHOWN));
    }
    let left = match left {
        0 => "all rows are answered".to_owned(),
        left => format!("{} of the batch without an answer", Count(left)),
    };
    text + &left + "\n"
}
