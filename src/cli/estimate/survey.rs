//! Reads a file once, row by row, as an import does, and counts instead of storing.

use std::time::Duration;

use serde::Deserialize;

use crate::domain::forecast::{ASSUMED_LATENCY, Range, Work, answer_range};
use crate::domain::job::NewRow;
use crate::domain::tokens::estimate_request;
use crate::intake::Reader;
use crate::store::{Averages, Standing, Store, StoredBatch};

use super::super::error::CliError;

/// Rows that are read at once.
const CHUNK_ROWS: usize = 2_000;

/// Answers below which an average tells nothing.
const ENOUGH: u64 = 5;

/// What is in a file.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Rows of the file.
    pub(super) rows: u64,
    /// How those stand that are in the batch already.
    pub(super) standing: Standing,
    /// What is to be asked.
    pub(super) work: Work,
    /// Whether every row to be asked bounds its answer.
    pub(super) is_bounded: bool,
    /// How long an answer takes.
    pub(super) latency: Range<Duration>,
    /// What earlier answers were like, when there are enough.
    pub(super) seen: Option<Averages>,
    /// Three of the requests to be asked, with the number of the row: the first, one from the
    /// middle, the last.
    pub(super) samples: Vec<(u64, String)>,
}

/// What a request says of the length of its answer.
#[derive(Deserialize)]
struct Bounds {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
}

/// Reads a file to its end. A row that is wrong is an error, as for an import.
pub(super) async fn read(
    mut reader: Reader,
    known: Option<(&Store, &StoredBatch)>,
) -> Result<Survey, CliError> {
    let seen = match known {
        Some((store, batch)) => Some(store.averages(batch.id).await?),
        None => None,
    };
    let seen = seen.filter(|seen| seen.answers >= ENOUGH);
    let mut survey = Survey {
        is_bounded: true,
        latency: seen.map_or(ASSUMED_LATENCY, |seen| around(seen.latency_ms)),
        seen,
        ..Survey::default()
    };
    loop {
        let chunk = reader.next_chunk(CHUNK_ROWS)?.rows;
        if chunk.is_empty() {
            return Ok(survey);
        }
        let asked = match known {
            Some((store, batch)) => survey.compare(store, batch, &chunk).await?,
            None => vec![true; chunk.len()],
        };
        for (row, is_asked) in chunk.into_iter().zip(asked) {
            survey.rows += 1;
            if is_asked {
                survey.add(row);
            }
        }
    }
}

impl Survey {
    async fn compare(
        &mut self,
        store: &Store,
        batch: &StoredBatch,
        chunk: &[NewRow],
    ) -> Result<Vec<bool>, CliError> {
        let rows: Vec<_> = chunk.iter().map(|row| (&*row.key, &*row.digest)).collect();
        let (standing, asked) = store.standing(batch.id, &rows).await?;
        self.standing.answered += standing.answered;
        self.standing.failed += standing.failed;
        self.standing.waiting += standing.waiting;
        self.standing.changed += standing.changed;
        Ok(asked)
    }

    fn add(&mut self, row: NewRow) {
        let bounds: Option<Bounds> = serde_json::from_str(&row.request).ok();
        let at_most = bounds.and_then(|bounds| bounds.max_completion_tokens.or(bounds.max_tokens));
        let seen = self.seen.and_then(|seen| seen.completion_tokens);
        let completion = answer_range(at_most, seen);
        let work = &mut self.work;
        work.requests += 1;
        work.prompt_tokens += estimate_request(&row.request);
        work.answer_tokens.low += completion.low;
        work.answer_tokens.high += completion.high;
        self.is_bounded &= at_most.is_some();
        self.keep(row.request);
    }

    /// Keeps the first request, the last, and one between them: whenever twice as many have come, the
    /// one before is from about the middle.
    fn keep(&mut self, request: String) {
        let sample = (self.rows, request);
        if self.samples.len() < 3 {
            self.samples.push(sample);
            return;
        }
        let before = std::mem::replace(&mut self.samples[2], sample);
        if self.work.requests.is_power_of_two() {
            self.samples[1] = before;
        }
    }
}

/// A range around an average: from half to twice as long.
fn around(millis: u64) -> Range<Duration> {
    Range {
        low: Duration::from_millis(millis / 2),
        high: Duration::from_millis(millis.saturating_mul(2)),
    }
}
