//! A snapshot of the queue, for another process.

use crate::domain::time::Timestamp;

use super::batch::BatchStatus;
use super::key_row::KeyRow;

/// A snapshot of the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// The row counts of the batches, oldest first.
    pub batches: Vec<BatchStatus>,
    /// The states of the keys.
    pub keys: Vec<KeyRow>,
    /// The latest failed attempts, latest first.
    pub failures: Vec<RecentFailure>,
    /// The completions of the latest jobs, in no particular order.
    pub completions: Vec<RecentCompletion>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentFailure {
    /// The name of the batch.
    pub batch: String,
    /// The row number in the input, starting at 1; `None` if the row was withdrawn.
    pub row: Option<u64>,
    /// The rule that classified the failure.
    pub rule: String,
    /// The redacted error message.
    pub message: String,
    /// When the attempt ended.
    pub ended_at: Timestamp,
}

/// A completed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentCompletion {
    /// When it was completed.
    pub ended_at: Timestamp,
    /// Milliseconds from sending the request to the last byte of the response.
    pub latency_ms: u64,
    /// The label of the API key.
    pub key_label: String,
}
