//! `promptmill status`: prints the progress of batches and the states of keys. Works during a run.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use crate::clock::Clock;
use crate::domain::key::state_text;
use crate::domain::run_stats::Cause;
use crate::domain::time::Timestamp;
use crate::progress::describe_scope;
use crate::progress::moment::DateTime;
use crate::progress::quantity::Count;
use crate::progress::safe::{Safe, Truncated};
use crate::store::{BatchStatus, KeyRow, Store};

use super::exit::{CliError, Exit};
use super::settings::{self, GlobalArgs};
use super::values::interval;
use super::{console, database, watch};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill status
  promptmill status --watch
  promptmill status --json | jq '.batches[] | select(.pending > 0)'")]
pub(super) struct StatusArgs {
    /// Refresh the status until `q` is pressed
    ///
    /// This only reads the database, and can be used while a run is in progress.
    #[arg(long)]
    pub(super) watch: bool,
    /// Refresh interval of --watch [default: 1s]
    ///
    /// The interval must be between 100ms and 1h.
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = interval)]
    pub(super) interval: Option<Duration>,
}

/// Default refresh interval of `--watch`.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of causes of failure that are shown for a batch.
const MAX_CAUSES: u32 = 5;

/// Maximum number of characters of a message that are shown.
const MAX_MESSAGE_CHARS: usize = 160;

/// Note if an earlier run could not store all results.
const SPOOL_NOTE: &str = "\nnote: an earlier run could not store all results; the next run imports them from the\n\
                           spool file next to the database\n";

/// A batch with the causes of its failures, the most frequent first.
struct BatchCauses {
    status: BatchStatus,
    causes: Vec<Cause>,
}

/// Runs `promptmill status`.
pub(super) async fn command(global: &GlobalArgs, args: &StatusArgs) -> Result<Exit, CliError> {
    let location = settings::database(global);
    if args.watch {
        let interval = args.interval.unwrap_or(DEFAULT_INTERVAL);
        return watch::watch(global, &location, interval).await;
    }
    let Some(store) = Store::open_existing(&location).await? else {
        if !global.json {
            return Err(database::missing(&location));
        }
        console::print("{\"batches\":[],\"keys\":[],\"spool\":false}\n")?;
        return Ok(Exit::Done);
    };
    let (batches, keys) = (batches(&store).await?, store.keys().await?);
    let spool = store.has_spool() && store.run_lock_holder()?.is_none();
    store.close().await?;
    if global.json {
        console::print_json(&json(&batches, &keys, spool))?;
    } else {
        console::print(&text(&batches, &keys, Clock::start().now()))?;
        if spool {
            console::print(SPOOL_NOTE)?;
        }
    }
    Ok(Exit::Done)
}

async fn batches(store: &Store) -> Result<Vec<BatchCauses>, CliError> {
    let stored = store.batches().await?;
    let mut batches = Vec::with_capacity(stored.len());
    for batch in stored {
        let counts = store.counts(batch.id).await?;
        let causes = match counts.failed {
            0 => Vec::new(),
            _ => store.causes(batch.id, MAX_CAUSES).await?,
        };
        let name = batch.name;
        let status = BatchStatus { name, counts };
        batches.push(BatchCauses { status, causes });
    }
    Ok(batches)
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

/// Formats a cause as JSON.
pub(super) fn cause_json(cause: &Cause) -> serde_json::Value {
    serde_json::json!({
        "scope": cause.scope, "rule": cause.rule, "message": cause.message, "cure": cause.hint,
        "jobs": cause.jobs,
    })
}

/// Formats a key as JSON.
pub(super) fn key_json(key: &KeyRow) -> serde_json::Value {
    let until = key.until.map(|until| DateTime(until).to_string());
    serde_json::json!({
        "label": key.label, "fingerprint": key.fingerprint, "state": key.state, "until": until, "model": key.model,
    })
}

fn text(batches: &[BatchCauses], keys: &[KeyRow], now: Timestamp) -> String {
    if batches.is_empty() {
        return "no batches yet; create one with `promptmill run FILE`\n".to_owned();
    }
    let name = |batch: &BatchCauses| Safe(&batch.status.name).to_string();
    let widths = batches.iter().map(|batch| name(batch).chars().count());
    let width = widths.max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:width$}  {:>9}  {:>9}  {:>7}  {:>9}  {:>7}\n",
        "batch", "rows", "done", "failed", "pending", "running"
    );
    for batch in batches {
        let (name, counts) = (name(batch), &batch.status.counts);
        let [total, done, failed] = [counts.total, counts.done, counts.failed].map(Count);
        let [pending, running] = [counts.pending, counts.running].map(Count);
        let _ = write!(text, "{name:width$}  {total:>9}  {done:>9}  {failed:>7}  ");
        let _ = writeln!(text, "{pending:>9}  {running:>7}");
        text.push_str(&causes_text(&batch.causes));
    }
    if !keys.is_empty() {
        text.push('\n');
        text.push_str(&keys_text(keys, now));
    }
    text
}

/// Formats causes as text: number of rows, scope, message, rule, and hint.
fn causes_text(causes: &[Cause]) -> String {
    let mut text = String::new();
    for cause in causes {
        let scope = describe_scope(cause.scope);
        let message = Truncated(&cause.message, MAX_MESSAGE_CHARS);
        let (jobs, rule) = (Count(cause.jobs), Safe(&cause.rule));
        let _ = writeln!(text, "  {jobs} × {scope}: {message} ({rule})");
        if !cause.hint.is_empty() {
            let _ = writeln!(text, "      hint: {}", Safe(&cause.hint));
        }
    }
    text
}

/// Formats keys as text.
pub(super) fn keys_text(keys: &[KeyRow], now: Timestamp) -> String {
    let label = |key: &KeyRow| Safe(&key.label).to_string();
    let widths = keys.iter().map(|key| label(key).chars().count());
    let width = widths.max().unwrap_or(0).max(3);
    let mut text = format!(
        "{:width$}  {:<11}  {:<13}  base URL\n",
        "key", "fingerprint", "state"
    );
    for key in keys {
        let (label, fingerprint) = (label(key), &key.fingerprint);
        let (state, url) = (state_text(&key.state), Safe(&key.base_url));
        let _ = write!(
            text,
            "{label:width$}  {fingerprint:<11}  {state:<13}  {url}"
        );
        if let Some(until) = key.until.filter(|until| *until > now) {
            let _ = write!(text, "  until {}", DateTime(until));
        }
        text.push('\n');
        if !key.reason.is_empty() {
            let _ = writeln!(text, "{:width$}  {}", "", Truncated(&key.reason, 100));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::{self, Scope};
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
    fn failures_of_a_batch_are_printed_with_a_hint() {
        let text = text(&[batch()], &[], Timestamp::default());
        assert!(
            text.contains("  7 × this key has no access to the model: no"),
            "{text}"
        );
        assert!(
            text.contains("(bad-request)\n      hint: Read the provider's message"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn json_output_contains_the_causes() {
        let json = json(&[batch()], &[], false);
        let cause = &json["batches"][0]["causes"][0];
        assert_eq!(cause["scope"], "key_model");
        assert_eq!(cause["jobs"], 7);
        assert!(cause["cure"].as_str().is_some_and(|hint| !hint.is_empty()));
    }
}
