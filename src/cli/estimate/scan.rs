//! Reads an input file as an import does, but counts the rows instead of storing them.

use std::time::Duration;

use crate::api::Api;
use crate::domain::forecast::{ASSUMED_LATENCY, Interval, Workload, completion_tokens_interval};
use crate::domain::job::NewRow;
use crate::domain::tokens::estimate_request;
use crate::intake::Reader;
use crate::store::{CompletionAverages, ImportPreview, Store, StoredBatch};

use super::super::exit::CliError;

/// Rows per chunk.
const CHUNK_ROWS: usize = 2_000;

/// Minimum number of responses for a meaningful average.
const MIN_RESPONSES: u64 = 5;

/// Summary of an input file.
#[derive(Debug, Default)]
pub(super) struct InputScan {
    /// Rows of the file.
    pub(super) rows: u64,
    /// Counts of the rows that the batch already has.
    pub(super) preview: ImportPreview,
    /// The requests to send.
    pub(super) work: Workload,
    /// Whether every request limits its completion tokens.
    pub(super) is_bounded: bool,
    /// Expected latency of a request.
    pub(super) latency: Interval<Duration>,
    /// Averages of earlier responses, if there are enough.
    pub(super) averages: Option<CompletionAverages>,
    /// Up to three requests with their row numbers: the first, one from the middle, and the last.
    pub(super) samples: Vec<(u64, String)>,
}

/// Reads a file to its end. An invalid row is an error, as in an import.
pub(super) async fn read(
    mut reader: Reader,
    known: Option<(&Store, &StoredBatch)>,
) -> Result<InputScan, CliError> {
    let averages = match known {
        Some((store, batch)) => Some(store.completion_averages(batch.id).await?),
        None => None,
    };
    let averages = averages.filter(|averages| averages.completions >= MIN_RESPONSES);
    let mut scan = InputScan {
        is_bounded: true,
        latency: averages.map_or(ASSUMED_LATENCY, |averages| around(averages.latency_ms)),
        averages,
        ..InputScan::default()
    };
    let api = reader.template().api;
    loop {
        let chunk = reader.next_chunk(CHUNK_ROWS)?.rows;
        if chunk.is_empty() {
            return Ok(scan);
        }
        let to_send = match known {
            Some((store, batch)) => scan.compare(store, batch, &chunk).await?,
            None => vec![true; chunk.len()],
        };
        for (row, is_sent) in chunk.into_iter().zip(to_send) {
            scan.rows += 1;
            if is_sent {
                scan.add(api, row);
            }
        }
    }
}

impl InputScan {
    async fn compare(
        &mut self,
        store: &Store,
        batch: &StoredBatch,
        chunk: &[NewRow],
    ) -> Result<Vec<bool>, CliError> {
        let rows: Vec<_> = chunk.iter().map(|row| (&*row.key, &*row.digest)).collect();
        let (preview, to_send) = store.preview_import(batch.id, &rows).await?;
        self.preview.completed += preview.completed;
        self.preview.failed += preview.failed;
        self.preview.pending += preview.pending;
        self.preview.changed += preview.changed;
        Ok(to_send)
    }

    fn add(&mut self, api: Api, row: NewRow) {
        let limit = api.max_completion_tokens(&row.request);
        let averages = self
            .averages
            .and_then(|averages| averages.completion_tokens);
        let completion = completion_tokens_interval(limit, averages);
        let work = &mut self.work;
        work.requests += 1;
        work.prompt_tokens += estimate_request(&row.request);
        work.completion_tokens.low += completion.low;
        work.completion_tokens.high += completion.high;
        self.is_bounded &= limit.is_some();
        self.add_sample(row.request);
    }

    /// Keeps the first request, the last, and one from about the middle: the previous one each time
    /// the count reaches a power of two.
    fn add_sample(&mut self, request: String) {
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

/// Returns the range from half to twice an average.
fn around(millis: u64) -> Interval<Duration> {
    let [low, high] = [millis / 2, millis.saturating_mul(2)].map(Duration::from_millis);
    Interval::new(low, high)
}
