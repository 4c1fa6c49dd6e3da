//! Repeated snapshots of the queue for another process.

use crate::domain::time::Timestamp;

use super::batch::BatchStatus;
use super::error::StoreError;
use super::key_row::KeyRow;
use super::location::Location;
use super::sqlite;

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

/// Takes snapshots of the queue.
#[derive(Debug)]
pub struct SnapshotReader(Backend);

#[derive(Debug)]
enum Backend {
    Sqlite(sqlite::snapshot::SnapshotReader),
}

impl SnapshotReader {
    /// Creates a reader. The database is opened by the first snapshot.
    pub fn new(location: &Location) -> Result<Self, StoreError> {
        let reader = sqlite::snapshot::SnapshotReader::new(location.file()?);
        Ok(Self(Backend::Sqlite(reader)))
    }

    /// Takes a snapshot; `None` if the database does not exist. After an error, the next snapshot
    /// opens the database again.
    pub async fn read(&mut self) -> Result<Option<QueueSnapshot>, StoreError> {
        match &mut self.0 {
            Backend::Sqlite(reader) => reader.read().await,
        }
    }

    /// Closes the database.
    pub async fn close(self) {
        match self.0 {
            Backend::Sqlite(reader) => reader.close().await,
        }
    }
}
