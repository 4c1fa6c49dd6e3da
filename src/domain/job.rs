//! A job: one row of a batch, to be answered once.

use serde::{Deserialize, Serialize};

/// The number of a job in the queue. Jobs of a file are numbered in input order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// Where a job stands. A job of a run that died is `Running` until the next run rescues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits to be claimed, from `not_before` on.
    Pending,
    /// Claimed by the run that holds the lock.
    Running,
    /// Has its answer.
    Done,
    /// Has failed for good, and says why.
    Failed,
}

/// A row of an input file, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// What tells this row from all others of its batch: the id column's text, or a hash of the
    /// row's cells followed by `-` and an occurrence number.
    pub key: String,
    /// The row's cells as a JSON array of strings, in the order of the header; of an input of
    /// objects, the object as it stands there.
    pub cells: String,
    /// The request body as it will be sent: a JSON object with `model` and `messages`.
    pub request: String,
    /// The first 16 bytes of the SHA-256 of `request`, in hex. When it changes, the row is asked again.
    pub digest: String,
}

/// Rows of an input that are handed on together, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The rows; none at the end of the input.
    pub rows: Vec<NewRow>,
    /// Names of columns that show up here for the first time.
    pub columns: Vec<String>,
}

impl From<Vec<NewRow>> for Chunk {
    /// Makes a chunk whose columns are all known.
    fn from(rows: Vec<NewRow>) -> Self {
        let columns = Vec::new();
        Self { rows, columns }
    }
}

/// What a row of the input says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cells {
    /// The texts of a table's line, in the order of the header.
    Line(Vec<String>),
    /// The text of a JSON object as it stood in its line, without blanks around it.
    Object(String),
}

/// One row of a batch with what became of it, as it is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the input says.
    pub cells: Cells,
    /// Where the job stands.
    pub state: JobState,
    /// HTTP requests made for the job so far.
    pub attempts: u32,
    /// The answer, when the job is done.
    pub completion: Option<Completion>,
    /// `scope: message (rule)` of the last failure, when the job is not done and has one.
    pub error: Option<String>,
}

/// The answer to a job, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The response body as it came: a chat completion in JSON.
    pub body: String,
    /// The model that answered, by its own word; empty when it told none.
    pub model: String,
    /// Why the model stopped; empty when it told none.
    pub finish_reason: String,
    /// Tokens of the request, when the provider told.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, when the provider told.
    pub completion_tokens: Option<u64>,
    /// Milliseconds from sending the request to the last byte of the response.
    pub latency_ms: u64,
    /// The provider's id of the request; empty when it told none.
    #[serde(default)]
    pub request_id: String,
}

/// One row of a batch as an exchange with the provider: under which name it was asked, and what came
/// back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The job.
    pub id: JobId,
    /// What tells the row from all others of its batch.
    pub key: String,
    /// The answer, when the job is done.
    pub completion: Option<Completion>,
    /// The last failure, when the job is not done and has one.
    pub failure: Option<RecordedFailure>,
    /// Whether the job has failed for good.
    pub failed: bool,
}

/// A failure as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFailure {
    /// The rule that judged it.
    pub rule: String,
    /// What was said, redacted.
    pub message: String,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// The provider's id of the request; empty when it told none.
    pub request_id: String,
}
