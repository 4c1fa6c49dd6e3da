//! Shows how far the batches are and how the keys stand. Works beside a run.

use std::fmt::Write as _;
use std::path::Path;

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::progress::moment::DateTime;
use crate::progress::quantity::Count;
use crate::progress::safe::{Excerpt, Safe};
use crate::store::{BatchStatus, KeyRow, Store};

use super::args::{Global, StatusArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::{screen, settings};

/// `promptmill status`.
pub(super) async fn command(
    global: &Global,
    _args: &StatusArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        if !global.json {
            return Err(no_database(&database));
        }
        screen::print("{\"batches\":[],\"keys\":[]}\n")?;
        return Ok(Exit::Done);
    };
    let (batches, keys) = (store.statuses().await?, store.keys().await?);
    store.close().await?;
    if global.json {
        screen::print(&format!("{}\n", json(&batches, &keys)))?;
    } else {
        screen::print(&text(&batches, &keys, Clock::start().now()))?;
    }
    Ok(Exit::Done)
}

/// Says that there is no database yet.
pub(super) fn no_database(path: &Path) -> CliError {
    let what = format!("there is no database at {}", path.display());
    let hint = "`promptmill run FILE` makes one; --db names another";
    CliError::new(Exit::NoInput, &what, hint)
}

fn json(batches: &[BatchStatus], keys: &[KeyRow]) -> serde_json::Value {
    let batches: Vec<_> = batches
        .iter()
        .map(|BatchStatus { name, counts }| {
            serde_json::json!({
                "name": name, "total": counts.total, "done": counts.done,
                "failed": counts.failed, "pending": counts.pending, "running": counts.running,
            })
        })
        .collect();
    serde_json::json!({ "batches": batches, "keys": keys.iter().map(key_json).collect::<Vec<_>>() })
}

/// One key as the programs' form of it.
pub(super) fn key_json(key: &KeyRow) -> serde_json::Value {
    let until = key.until.map(|until| DateTime(until).to_string());
    serde_json::json!({
        "label": key.label, "fingerprint": key.fingerprint, "state": key.state, "until": until, "model": key.model,
    })
}

fn text(batches: &[BatchStatus], keys: &[KeyRow], now: Timestamp) -> String {
    if batches.is_empty() {
        return "no batches yet; `promptmill run FILE` makes one\n".to_owned();
    }
    let name = |status: &BatchStatus| Safe(&status.name).to_string();
    let width = batches
        .iter()
        .map(|status| name(status).chars().count())
        .max()
        .unwrap_or(0)
        .max(5);
    let mut text = format!(
        "{:width$}  {:>9}  {:>9}  {:>7}  {:>9}  {:>7}\n",
        "batch", "rows", "done", "failed", "pending", "running"
    );
    for status in batches {
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
    }
    if !keys.is_empty() {
        text.push('\n');
        text.push_str(&keys_text(keys, now));
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
