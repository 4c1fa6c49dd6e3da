//! A few rows drawn at random, asked, and shown with their answers, before all others are asked.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::job::{JobId, JobState};
use crate::domain::verdict;
use crate::progress::quantity::{Count, Span, Things};
use crate::progress::safe::{Excerpt, Safe};
use crate::store::{RowDetail, Store, StoredBatch};

use super::error::CliError;
use super::screen;
use super::show::{answer_text, indented, pretty};
use super::voice::Voice;

/// Rows that are drawn at most: it is for a look.
const MOST: u64 = 1_000;

/// Characters of a provider's message that are shown.
const MESSAGE_LENGTH: usize = 300;

/// The rows that were drawn.
pub(super) struct Sample {
    jobs: Vec<JobId>,
    seed: u64,
}

/// The part of a request that people want to see.
#[derive(Deserialize)]
struct Asked {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Value,
}

impl Sample {
    /// Draws rows of those that are pending, and lets no other be claimed through this store.
    pub(super) async fn draw(
        store: &Store,
        batch: &StoredBatch,
        rows: NonZeroU64,
        seed: Option<u64>,
    ) -> Result<Self, CliError> {
        let pending = store.counts(batch.id).await?.pending;
        // A number that can be typed again with ease.
        let seed = seed.unwrap_or_else(|| fastrand::u64(1..10_000));
        let places = places(pending, rows.get().min(MOST), seed);
        let jobs = store.pending_at(batch.id, &places).await?;
        store.narrow(&jobs);
        Ok(Self { jobs, seed })
    }

    /// Prints the rows with what came back.
    pub(super) async fn print(
        &self,
        voice: Voice<'_>,
        store: &Store,
        batch: &StoredBatch,
    ) -> Result<(), CliError> {
        let mut rows = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            rows.extend(store.row_detail(*job).await?);
        }
        if voice.global.json {
            let list: Vec<_> = rows.iter().map(to_json).collect();
            let object = json!({ "batch": batch.name, "seed": self.seed, "rows": list });
            screen::print(&format!("{object}\n"))?;
            return Ok(());
        }
        for row in &rows {
            screen::print(&to_text(row))?;
        }
        if !voice.global.quiet {
            let left = store.counts(batch.id).await?.pending;
            screen::say(&self.told(&rows, left));
        }
        Ok(())
    }

    fn told(&self, rows: &[RowDetail], left: u64) -> String {
        if rows.is_empty() {
            return "no row is left to ask\n".to_owned();
        }
        let done = rows
            .iter()
            .filter(|row| row.state == JobState::Done)
            .count() as u64;
        let (drawn, seed) = (Things(rows.len() as u64, "row"), self.seed);
        format!(
            "{drawn} drawn (--seed {seed}), {} answered, and they stay so; {} left to ask\n\
             next: the same command without --sample asks the rest\n",
            Count(done),
            Things(left, "row")
        )
    }
}

/// Draws different places among so many, in order.
fn places(pending: u64, rows: u64, seed: u64) -> Vec<u64> {
    if rows >= pending {
        return (0..pending).collect();
    }
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut places = BTreeSet::new();
    while (places.len() as u64) < rows {
        places.insert(dice.u64(0..pending));
    }
    places.into_iter().collect()
}

fn to_json(row: &RowDetail) -> Value {
    let completion = row.completion.as_ref();
    let request: Value = serde_json::from_str(&row.request).unwrap_or_default();
    let error = row.attempts.last().filter(|_| row.state != JobState::Done);
    json!({
        "row": row.row, "id": row.key, "status": row.state, "request": request,
        "answer": completion.and_then(|(completion, ..)| answer_text(&completion.body)),
        "error": error.map(|error| json!({ "rule": error.rule, "message": error.message })),
    })
}

fn to_text(row: &RowDetail) -> String {
    let mut text = format!("row {}\n", Count(row.row));
    match serde_json::from_str::<Asked>(&row.request) {
        Ok(asked) => {
            for message in asked.messages {
                let said = match message.content {
                    Value::String(text) => text,
                    parts => pretty(&parts.to_string()),
                };
                let _ = writeln!(text, " {}", Safe(&message.role));
                text.push_str(&indented(&said));
            }
        }
        Err(_) => text.push_str(&indented(&pretty(&row.request))),
    }
    match (&row.completion, row.attempts.last()) {
        (Some((completion, ..)), _) => {
            let took = Span(Duration::from_millis(completion.latency_ms));
            let _ = writeln!(text, " answer ({took})");
            let said = answer_text(&completion.body).unwrap_or_else(|| pretty(&completion.body));
            text.push_str(&indented(&said));
        }
        (None, Some(last)) => {
            let (rule, said) = (Safe(&last.rule), Excerpt(&last.message, MESSAGE_LENGTH));
            let _ = writeln!(text, " no answer ({rule})\n  {said}");
            let hint = verdict::hint_of(&last.rule);
            if !hint.is_empty() {
                let _ = writeln!(text, "  {hint}");
            }
        }
        (None, None) => text.push_str(" not asked\n"),
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_different_in_order_and_the_same_for_a_seed() {
        let drawn = places(1_000_000, 5, 7);
        assert_eq!(drawn.len(), 5);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]), "{drawn:?}");
        assert_eq!(drawn, places(1_000_000, 5, 7));
        assert_ne!(drawn, places(1_000_000, 5, 8));
    }

    #[test]
    fn of_few_rows_all_are_drawn() {
        assert_eq!(places(3, 5, 1), [0, 1, 2]);
        assert!(places(0, 5, 1).is_empty());
    }
}
