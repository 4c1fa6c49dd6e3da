//! `run --sample`: processes a few random rows and prints their requests and responses.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::job::{JobId, JobState};
use crate::domain::verdict;
use crate::progress::quantity::{Count, HumanDuration, Plural};
use crate::progress::safe::{Safe, Truncated};
use crate::store::{RowDetail, Store, StoredBatch};

use super::console;
use super::exit::CliError;
use super::show::{indented, indented_response, pretty, response_text};
use super::verbosity::Verbosity;

/// Maximum number of rows in a sample.
const MAX_ROWS: u64 = 1_000;

/// Maximum number of characters of a message that are shown.
const MAX_MESSAGE_CHARS: usize = 300;

/// The rows of a sample.
pub(super) struct Sample {
    jobs: Vec<JobId>,
    seed: u64,
}

/// The part of a chat request that is printed.
#[derive(Deserialize)]
struct ChatRequest {
    messages: Vec<ChatMessage>,
}

#[derive(Deserialize)]
struct ChatMessage {
    role: String,
    content: Value,
}

impl Sample {
    /// Draws pending rows, and restricts claims on the batch to these.
    pub(super) async fn draw(
        store: &Store,
        batch: &StoredBatch,
        rows: NonZeroU64,
        seed: Option<u64>,
    ) -> Result<Self, CliError> {
        let pending = store.counts(batch.id).await?.pending;
        // Short enough to be typed again.
        let seed = seed.unwrap_or_else(|| fastrand::u64(1..10_000));
        let positions = draw_positions(pending, rows.get().min(MAX_ROWS), seed);
        let jobs = store.pending_at(batch.id, &positions).await?;
        store.restrict_to(batch.id, &jobs);
        Ok(Self { jobs, seed })
    }

    /// Prints the requests and responses of the rows.
    pub(super) async fn print(
        &self,
        verbosity: Verbosity<'_>,
        store: &Store,
        batch: &StoredBatch,
    ) -> Result<(), CliError> {
        let mut rows = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            rows.extend(store.row_detail(*job).await?);
        }
        if verbosity.global.json {
            let list: Vec<_> = rows.iter().map(to_json).collect();
            let object = json!({ "batch": batch.name, "seed": self.seed, "rows": list });
            return Ok(console::print_json(&object)?);
        }
        for row in &rows {
            console::print(&to_text(row))?;
        }
        if !verbosity.global.quiet {
            let pending = store.counts(batch.id).await?.pending;
            console::eprint(&self.summary(&rows, pending));
        }
        Ok(())
    }

    fn summary(&self, rows: &[RowDetail], pending: u64) -> String {
        if rows.is_empty() {
            return "no pending rows\n".to_owned();
        }
        let done = rows
            .iter()
            .filter(|row| row.state == JobState::Done)
            .count() as u64;
        let (drawn, seed) = (Plural(rows.len() as u64, "row"), self.seed);
        format!(
            "sample of {drawn} (--seed {seed}): {} completed; {} pending\n\
             next: run the same command without --sample to process the rest\n",
            Count(done),
            Plural(pending, "row")
        )
    }
}

/// Draws distinct positions below `pending`, in ascending order.
fn draw_positions(pending: u64, rows: u64, seed: u64) -> Vec<u64> {
    if rows >= pending {
        return (0..pending).collect();
    }
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut positions = BTreeSet::new();
    while (positions.len() as u64) < rows {
        positions.insert(rng.u64(0..pending));
    }
    positions.into_iter().collect()
}

fn to_json(row: &RowDetail) -> Value {
    let completion = row.completion.as_ref();
    let request: Value = serde_json::from_str(&row.request).unwrap_or_default();
    let error = row.attempts.last().filter(|_| row.state != JobState::Done);
    json!({
        "row": row.row, "id": row.key, "status": row.state, "request": request,
        "answer": completion.and_then(|(completion, ..)| response_text(&completion.body)),
        "error": error.map(|error| json!({ "rule": error.rule, "message": error.message })),
    })
}

fn to_text(row: &RowDetail) -> String {
    let mut text = format!("row {}\n", Count(row.row));
    match serde_json::from_str::<ChatRequest>(&row.request) {
        Ok(request) => {
            for message in request.messages {
                let content = match message.content {
                    Value::String(text) => text,
                    parts => pretty(&parts.to_string()),
                };
                let _ = writeln!(text, " {}", Safe(&message.role));
                text.push_str(&indented(&content));
            }
        }
        Err(_) => text.push_str(&indented(&pretty(&row.request))),
    }
    match (&row.completion, row.attempts.last()) {
        (Some((completion, ..)), _) => {
            let latency = HumanDuration(Duration::from_millis(completion.latency_ms));
            let _ = writeln!(text, " response ({latency})");
            text.push_str(&indented_response(&completion.body));
        }
        (None, Some(last)) => {
            let (rule, message) = (
                Safe(&last.rule),
                Truncated(&last.message, MAX_MESSAGE_CHARS),
            );
            let _ = writeln!(text, " failed attempt ({rule})\n  {message}");
            let hint = verdict::hint_of(&last.rule);
            if !hint.is_empty() {
                let _ = writeln!(text, "  hint: {hint}");
            }
        }
        (None, None) => text.push_str(" not sent\n"),
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_distinct_sorted_and_reproducible() {
        let drawn = draw_positions(1_000_000, 5, 7);
        assert_eq!(drawn.len(), 5);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]), "{drawn:?}");
        assert_eq!(drawn, draw_positions(1_000_000, 5, 7));
        assert_ne!(drawn, draw_positions(1_000_000, 5, 8));
    }

    #[test]
    fn a_sample_of_few_rows_contains_all() {
        assert_eq!(draw_positions(3, 5, 1), [0, 1, 2]);
        assert!(draw_positions(0, 5, 1).is_empty());
    }
}
