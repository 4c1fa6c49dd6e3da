//! Shows how far the batches are and how the keys stand. Works beside a run.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::run_stats::Cause;
use crate::domain::time::Timestamp;
use crate::domain::verdict;
use crate::progress::moment::DateTime;
use crate::progress::quantity::Count;
use crate::progress::safe::{Excerpt, Safe};
use crate::store::{BatchStatus, KeyRow, Store, run_lock_holder};

use super::args::{Global, StatusArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::{screen, settings, watch};

/// How often `--watch` looks when nobody says.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Causes of failure that are shown of a batch.
const MAX_CAUSES: u32 = 5;

/// Characters of a provider's message that are shown.
const MESSAGE_LENGTH: usize = 160;

/// What is said when an earlier run could not store all that came back.
const SPOOL_WAITS: &str = "\nnote: results that an earlier run could not store wait beside the database, in its spool;\n\
                           the next run takes them in without asking again\n";

/// A batch with the causes of its failures, the most frequent first.
struct BatchCauses {
    status: BatchStatus,
    causes: Vec<Cause>,
}

/// `promptmill status`.
pub(super) async fn command(
    global: &Global,
    args: &StatusArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    if args.watch {
        let every = args.interval.unwrap_or(LOOK_EVERY);
        return watch::watch(global, &database, every).await;
    }
    let Some(store) = Store::open_existing(&database).await? else {
        if !global.json {
            return Err(no_database(&database));
        }
        screen::print("{\"batches\":[],\"keys\":[],\"spool\":false}\n")?;
        return Ok(Exit::Done);
    };
    let (batches, keys) = (batches(&store).await?, store.keys().await?);
    let spool = store.has_spool() && run_lock_holder(&database)?.is_none();
    store.close().await?;
    if global.json {
        screen::print(&format!("{}\n", json(&batches, &keys, spool)))?;
    } else {
        screen::print(&text(&batches, &keys, Clock::start().now()))?;
        if spool {
            screen::print(SPOOL_WAITS)?;
        }
    }
    Ok(Exit::Done)
}

async fn batches(store: &Store) -> Result<Vec<BatchCauses>, CliError> {
    let stored = store.batches().await?;
    let mut batches = Vec::with_capacity(stored.len());
    for batch in stored {
        let counts = store.counts(batch.id).await?;
        let mut causes = match counts.failed {
            0 => Vec::new(),
            _ => store.causes(batch.id, MAX_CAUSES).await?,
        };
        for cause in &mut causes {
            verdict::hint_of(&cause.rule).clone_into(&mut cause.hint);
        }
        let name = batch.name;
        let status = BatchStatus { name, counts };
        batches.push(BatchCauses { status, causes });
    }
    Ok(batches)
}

/// Says that there is no database yet.
pub(super) fn no_database(path: &Path) -> CliError {
    let what = format!("there is no database at {}", path.display());
    let hint = "`promptmill run FILE` makes one; --db names another";
    CliError::new(Exit::NoInput, &what, hint)
}

fn json(batches: &[BatchCauses], keys: &[KeyRow], spool: bool) -> serde_json::Value {
    let batches: Vec<_> = batches
        .iter()
        .map(|BatchCauses { status, causes }| {
            let BatchStatus { name, counts } = status;
            serde_json::json!({
                "name": name, "total": counts.total, "done": counts.done,
                "failed": counts.failed, "pending": counts.pending, "running": counts.running,
                "causes": causes.iter().map(cause_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    let keys: Vec<_> = keys.iter().map(key_json).collect();
    serde_json::json!({ "batches": batches, "keys": keys, "spool": spool })
}

/// One cause as the programs' form of it.
pub(super) fn cause_json(cause: &Cause) -> serde_json::Value {
    serde_json::json!({
        "scope": cause.scope, "rule": cause.rule, "message": cause.message, "cure": cause.hint,
        "jobs": cause.jobs,
    })
}

/// One key as the programs' form of it.
pub(super) fn key_json(key: &KeyRow) -> serde_json::Value {
    let until = key.until.map(|until| DateTime(until).to_string());
    serde_json::json!({
        "label": key.label, "fingerprint": key.fingerprint, "state": key.state, "until": until, "model": key.model,
    })
}

fn text(batches: &[BatchCauses], keys: &[KeyRow], now: Timestamp) -> String {
    if batches.is_empty() {
        return "no batches yet; `promptmill run FILE` makes one\n".to_owned();
    }
    let name = |status: &BatchStatus| Safe(&status.name).to_string();
    let width = batches
        .iter()
        .map(|batch| name(&batch.status).chars().count())
        .max()
        .unwrap_or(0)
        .max(5);
    let mut text = format!(
        "{:width$}  {:>9}  {:>9}  {:>7}  {:>9}  {:>7}\n",
        "batch", "rows", "done", "failed", "pending", "running"
    );
    for BatchCauses { status, causes } in batches {
        let counts = &status.counts;
        let [total, done, failed, pending, running] = [
            counts.total,
            counts.done,
            counts.failed,
            counts.pending,
            counts.running,
        ]
        .map(|count| Count(count).to_string());
        let _ = writeln!(
            text,
            "{:width$}  {total:>9}  {done:>9}  {failed:>7}  {pending:>9}  {running:>7}",
            name(status)
        );
        text.push_str(&causes_text(causes));
    }
    if !keys.is_empty() {
        text.push('\n');
        text.push_str(&keys_text(keys, now));
    }
    text
}

/// Lists causes for people: how many rows, whose fault, what was said, by which rule, and the cure.
fn causes_text(causes: &[Cause]) -> String {
    let mut text = String::new();
    for cause in causes {
        let scope = serde_json::to_value(cause.scope).unwrap_or_default();
        let scope = scope.as_str().unwrap_or("unknown").replace('_', " and ");
        let said = Excerpt(&cause.message, MESSAGE_LENGTH);
        let (jobs, rule) = (Count(cause.jobs), Safe(&cause.rule));
        let _ = writeln!(text, "  {jobs} × {scope}: {said} ({rule})");
        if !cause.hint.is_empty() {
            let _ = writeln!(text, "      {}", Safe(&cause.hint));
        }
    }
    text
}

/// Lists keys for people.
pub(super) fn keys_text(keys: &[KeyRow], now: Timestamp) -> String {
    let label = |key: &KeyRow| Safe(&key.label).to_string();
    let width = keys
        .iter()
        .map(|key| label(key).chars().count())
        .max()
        .unwrap_or(0)
        .max(3);
    let mut text = format!(
        "{:width$}  {:<10}  {:<11}  base URL\n",
        "key", "print", "state"
    );
    for key in keys {
        let (print, state, url) = (&key.fingerprint, &key.state, Safe(&key.base_url));
        let _ = write!(
            text,
            "{:width$}  {print:<10}  {state:<11}  {url}",
            label(key)
        );
        if let Some(until) = key.until.filter(|until| *until > now) {
            let _ = write!(text, "  until {}", DateTime(until));
        }
        text.push('\n');
        if !key.reason.is_empty() {
            let _ = writeln!(text, "{:width$}  {}", "", Excerpt(&key.reason, 100));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Scope;
    use crate::store::Counts;

    fn batch() -> BatchCauses {
        let counts = Counts {
            total: 9,
            done: 2,
            failed: 7,
            ..Counts::default()
        };
        let cause = Cause {
            scope: Scope::KeyModel,
            rule: "bad-request".to_owned(),
            message: "no\u{1b}[31m".to_owned(),
            hint: verdict::hint_of("bad-request").to_owned(),
            jobs: 7,
        };
        let name = "q".to_owned();
        BatchCauses {
            status: BatchStatus { name, counts },
            causes: vec![cause],
        }
    }

    #[test]
    fn a_batch_with_failures_tells_why_and_what_to_do() {
        let text = text(&[batch()], &[], Timestamp::default());
        assert!(text.contains("  7 × key and model: no"), "{text}");
        assert!(
            text.contains("(bad-request)\n      Read the provider's message"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn programs_get_the_causes_too() {
        let json = json(&[batch()], &[], false);
        let cause = &json["batches"][0]["causes"][0];
        assert_eq!(cause["scope"], "key_model");
        assert_eq!(cause["jobs"], 7);
        assert!(cause["cure"].as_str().is_some_and(|hint| !hint.is_empty()));
    }
}
