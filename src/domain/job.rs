//! A job: one row of a batch, to be completed once.

use serde::{Deserialize, Serialize};

use super::verdict::Scope;

/// ID of a job in the queue. The jobs of a file are numbered in input order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// A claim on a job: the right to send and settle it. A job whose row has changed can be claimed
/// again while the request of an earlier claim is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobClaim {
    /// The job.
    pub job: JobId,
    /// The number of the claim, which only increases.
    pub number: i64,
}

/// Status of a job. After a crash a job stays `Running` until the next run recovers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Can be claimed from `not_before` on.
    Pending,
    /// Claimed by the run that holds the lock.
    Running,
    /// Completed.
    Done,
    /// Failed permanently.
    Failed,
}

/// A row of an input file, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// Unique key within the batch: the text of the ID column, or a hash of the cells followed by
    /// `-` and an occurrence number.
    pub key: String,
    /// The cells as a JSON array of strings in the order of the header; for an input of objects,
    /// the object verbatim.
    pub cells: String,
    /// The request body to send, a JSON object.
    pub request: String,
    /// The first 16 bytes of the SHA-256 of `request`, in hex. A row is sent again if its digest
    /// changes.
    pub digest: String,
}

/// Consecutive rows of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The rows; empty at the end of the input.
    pub rows: Vec<NewRow>,
    /// Columns that occur here for the first time.
    pub columns: Vec<String>,
}

impl From<Vec<NewRow>> for Chunk {
    /// Creates a chunk without new columns.
    fn from(rows: Vec<NewRow>) -> Self {
        let columns = Vec::new();
        Self { rows, columns }
    }
}

/// Content of an input row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowData {
    /// Cells of a table row, in the order of the header.
    Cells(Vec<String>),
    /// A JSON object, verbatim without surrounding whitespace.
    Object(String),
}

/// A row of a batch with its result, as exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRow {
    /// The input row.
    pub input: RowData,
    /// Status of the job.
    pub state: JobState,
    /// Requests sent for the job so far.
    pub attempts: u32,
    /// The completion, if the job is done.
    pub completion: Option<Completion>,
    /// The last failure as `scope: message (rule)`, if the job is not done.
    pub error: Option<String>,
}

/// The completion of a job, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The response body, verbatim.
    pub body: String,
    /// The model reported by the provider; empty if not reported.
    pub model: String,
    /// The finish reason; empty if not reported.
    pub finish_reason: String,
    /// Prompt tokens, if reported.
    pub prompt_tokens: Option<u64>,
    /// Completion tokens, if reported.
    pub completion_tokens: Option<u64>,
    /// Milliseconds from sending the request to the last byte of the response.
    pub latency_ms: u64,
    /// The provider's request ID; empty if none was sent.
    #[serde(default)]
    pub request_id: String,
}

/// The outcome of a row's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOutcome {
    /// ID of the job.
    pub id: JobId,
    /// Unique key of the row within its batch.
    pub key: String,
    /// The completion, if the job is done.
    pub completion: Option<Completion>,
    /// The last failure, if the job is not done.
    pub failure: Option<RecordedFailure>,
    /// Whether the job has failed permanently.
    pub failed: bool,
}

/// A failure, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFailure {
    /// Rule that classified it.
    pub rule: String,
    /// The message, redacted.
    pub message: String,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
}

/// A failed attempt, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Whether the result is unknown, because the request was abandoned in flight.
    pub unknown: bool,
    /// The scope of the failure.
    pub scope: Scope,
    /// The rule that classified the failure.
    pub rule: String,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The redacted error message, at most 2 KiB.
    pub message: String,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
    /// The wait requested by the provider, in milliseconds.
    pub wait_ms: Option<u64>,
    /// The duration of the request in milliseconds.
    pub latency_ms: Option<u64>,
}
