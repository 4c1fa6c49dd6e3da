//! Rows with their attempts, and the selection of rows.

use crate::domain::job::{Completion, JobId, JobState};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

/// A page of items, with the position of the last one.
pub(super) type Page<T> = (Vec<T>, Option<i64>);

/// A row with its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDetail {
    /// The row number in the input, starting at 1.
    pub row: u64,
    /// The row key, unique in the batch: an ID or a hash of the content.
    pub key: String,
    /// The state of its job.
    pub state: JobState,
    /// Number of HTTP requests sent.
    pub requests: u32,
    /// Attempts that count against the maximum.
    pub spent: u32,
    /// When it can be claimed again.
    pub not_before: Timestamp,
    /// The request body.
    pub request: String,
    /// The failed attempts, oldest first.
    pub attempts: Vec<AttemptDetail>,
    /// The completion, with the label of its API key and its time.
    pub completion: Option<(Completion, String, Timestamp)>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptDetail {
    /// When it ended.
    pub ended_at: Timestamp,
    /// The label of the API key; empty if none was used.
    pub key_label: String,
    /// Whether its result is unknown, because the program crashed or abandoned it.
    pub unknown: bool,
    /// The scope of the failure.
    pub scope: Scope,
    /// The rule that classified the failure.
    pub rule: String,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The redacted error message.
    pub message: String,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
    /// The duration of the request in milliseconds.
    pub latency_ms: Option<u64>,
    /// Whether the row has been reopened since.
    pub is_past: bool,
}

/// A failed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// The row number in the input, starting at 1.
    pub row: u64,
    /// The row key, unique in the batch.
    pub key: String,
    /// The scope of the last failure; `None` if none is recorded.
    pub scope: Option<Scope>,
    /// The rule that classified the failure.
    pub rule: String,
    /// The redacted error message.
    pub message: String,
    /// Number of HTTP requests sent.
    pub requests: u32,
}

/// Selects failed rows of a batch. Empty or `None` fields do not restrict the selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// The rule of the last failure is one of these.
    pub rules: Vec<String>,
    /// The scope of the last failure is one of these.
    pub scopes: Vec<Scope>,
    /// The job is one of these.
    pub jobs: Option<Vec<JobId>>,
    /// Maximum number of rows, in input order.
    pub limit: Option<u64>,
}

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CancelReport {
    /// Pending rows that were canceled.
    pub canceled: u64,
    /// Rows that a run has claimed. They are not affected.
    pub running: u64,
    /// Rows that were already completed or failed.
    pub settled: u64,
}

/// A request without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteRequest {
    /// The key of its row, unique in the batch.
    pub key: String,
    /// The request body.
    pub request: String,
}
