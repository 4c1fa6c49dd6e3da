//! Batches, their progress, and the synchronization with their input.

use crate::api::RequestTemplate;
use crate::domain::time::Timestamp;

/// A stored batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// The batch ID.
    pub id: i64,
    /// The name of the batch.
    pub name: String,
    /// The template of its requests.
    pub template: RequestTemplate,
    /// The columns of its input file.
    pub columns: Vec<String>,
    /// The path of its input file as given by the user.
    pub source: String,
    /// Size and timestamps of the input file when it was last read, if known.
    pub stamp: Option<String>,
    /// Whether its responses are simulated.
    pub simulated: bool,
    /// The time by which it must be complete, if any.
    pub deadline: Option<Timestamp>,
}

/// The number of rows of a batch by state. Withdrawn rows are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All rows.
    pub total: u64,
    /// Rows with a response.
    pub done: u64,
    /// Rows that failed permanently.
    pub failed: u64,
    /// Rows that have not been sent yet or will be retried.
    pub pending: u64,
    /// Rows claimed by a run.
    pub running: u64,
}

/// The row counts of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatus {
    /// The name of the batch.
    pub name: String,
    /// The number of its rows by state.
    pub counts: Counts,
}

/// The batch to sync and its input.
#[derive(Clone, Copy, Debug)]
pub struct SyncParams<'a> {
    /// The name of the batch, which is created if necessary.
    pub name: &'a str,
    /// The template of its requests.
    pub template: &'a RequestTemplate,
    /// The columns of the input that are known before its rows are read.
    pub columns: &'a [String],
    /// The path of the input as given by the user.
    pub source: &'a str,
    /// Whether responses are simulated.
    pub simulated: bool,
    /// Size and timestamps of the input before it was read.
    pub stamp: Option<&'a str>,
    /// The current time.
    pub now: Timestamp,
}

/// The result of a sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Rows of the input.
    pub total: u64,
    /// New rows.
    pub added: u64,
    /// Rows whose request has changed, which are sent again.
    pub changed: u64,
    /// Rows that are no longer in the input.
    pub withdrawn: u64,
}

/// The number of input rows that the batch already contains, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportPreview {
    /// Rows whose request has not changed and has a response.
    pub completed: u64,
    /// Rows whose request has not changed and failed permanently.
    pub failed: u64,
    /// Rows whose request has not changed and is pending or in flight.
    pub pending: u64,
    /// Rows whose request has changed. Importing them makes them pending.
    pub changed: u64,
}

/// Averages of the recent completions of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompletionAverages {
    /// The number of completions.
    pub completions: u64,
    /// Average completion tokens; `None` if the provider did not report any.
    pub completion_tokens: Option<u64>,
    /// Average latency in milliseconds.
    pub latency_ms: u64,
}
