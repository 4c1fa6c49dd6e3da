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
    /// The row's cells as a JSON array of strings, in the order of the header.
    pub cells: String,
    /// The request body as it will be sent: a JSON object with `model` and `messages`.
    pub request: String,
    /// The first 16 bytes of the SHA-256 of `request`, in hex. When it changes, the row is asked again.
    pub digest: String,
}
