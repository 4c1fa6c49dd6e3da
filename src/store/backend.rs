//! The store with its methods. Each one calls the function of the same name in the backend.

use std::path::Path;

use tokio::sync::mpsc;

use crate::domain::history::{CompletedRequest, FailedRequest};
use crate::domain::job::{Chunk, ExportRow, JobId, RequestOutcome};
use crate::domain::run_stats::Cause;
use crate::domain::time::Timestamp;

use super::batch::{
    BatchStatus, CompletionAverages, Counts, ImportPreview, StoredBatch, SyncParams, SyncReport,
};
use super::error::{LockError, Result};
use super::health::{BackupError, IntegrityReport, Versions};
use super::imported::{ImportReport, ImportedResult};
use super::key_row::KeyRow;
use super::location::Location;
use super::row::{CancelReport, FailedRow, IncompleteRequest, Page, RowDetail, RowFilter};
use super::settlement::{Claim, ClaimedJob, QueueUpdate, Settlement};
use super::spool::Spool;
use super::sqlite::{self, RunLock};

/// The open queue.
#[derive(Debug)]
pub struct Store(Backend);

/// The database that stores the queue.
#[derive(Debug)]
enum Backend {
    Sqlite(sqlite::Database),
}

impl Store {
    /// Opens or creates the database, and migrates it to the latest schema. A new file is only
    /// accessible to its owner.
    pub async fn open(location: &Location) -> Result<Self> {
        let database = sqlite::Database::open(location.file()?).await?;
        Ok(Self(Backend::Sqlite(database)))
    }

    /// Opens the database if it exists.
    pub async fn open_existing(location: &Location) -> Result<Option<Self>> {
        if location.file()?.exists() {
            Self::open(location).await.map(Some)
        } else {
            Ok(None)
        }
    }

    /// Closes all connections. All data is in the database file afterwards.
    pub async fn close(self) -> Result<()> {
        let Backend::Sqlite(database) = self.0;
        database.close().await
    }

    /// Acquires the run lock, or fails with its current holder. `holder` identifies this process to
    /// others.
    pub fn acquire_run_lock(&self, holder: &str) -> Result<RunLock, LockError> {
        RunLock::acquire(self.sqlite().path(), holder)
    }

    /// Returns the holder of the run lock, such as `process 123`; `None` if it is free.
    pub fn run_lock_holder(&self) -> Result<Option<String>, LockError> {
        sqlite::lock::holder(self.sqlite().path())
    }

    /// Restricts later claims on a batch to these jobs, until the store is closed.
    pub fn restrict_to(&self, batch: i64, jobs: &[JobId]) {
        self.sqlite().restrict_to(batch, jobs);
    }

    /// Returns whether a spool exists. During a run it can be empty.
    #[must_use]
    pub fn has_spool(&self) -> bool {
        sqlite::spool::has_spool(self.sqlite())
    }

    /// Returns the size of the write-ahead log if it is unusually large.
    #[must_use]
    pub fn oversized_wal(&self) -> Option<u64> {
        sqlite::files::oversized_wal(self.sqlite().path())
    }

    fn sqlite(&self) -> &sqlite::Database {
        let Backend::Sqlite(database) = &self.0;
        database
    }
}

/// Defines methods of [`Store`]. They are grouped by the module of the backend.
macro_rules! methods {
    ($($module:ident { $(
        $(#[$doc:meta])*
        async fn $name:ident $(<$generic:ident>)? ($($arg:ident: $type:ty),* $(,)?) -> $result:ty;
    )* })*) => {
        impl Store {
            $($($(#[$doc])*
            pub async fn $name $(<$generic>)? (&self, $($arg: $type),*) -> $result {
                sqlite::$module::$name(self.sqlite(), $($arg),*).await
            })*)*
        }
    };
}

methods! {
    batch_api {
        /// Returns up to `limit` results of a batch in input order, starting after the position
        /// `after` (`None`: from the start), with the position of the last one.
        async fn request_outcomes(batch: i64, after: Option<i64>, limit: u32) -> Result<Page<RequestOutcome>>;
        /// Returns up to `limit` requests of a batch without a response, in input order, starting
        /// after the position `after` (`None`: from the start), with the position of the last one.
        async fn incomplete_requests(batch: i64, after: Option<i64>, limit: u32) -> Result<Page<IncompleteRequest>>;
    }
    batches {
        /// Returns the batch with this name, if it exists.
        async fn find_batch(name: &str) -> Result<Option<StoredBatch>>;
        /// Returns the batch with this name. The error lists the existing batches.
        async fn batch(name: &str) -> Result<StoredBatch>;
        /// Returns all batches, oldest first.
        async fn batches() -> Result<Vec<StoredBatch>>;
        /// Sets or removes the deadline of a batch. Later imports keep it.
        async fn set_deadline(batch: i64, deadline: Option<Timestamp>) -> Result<()>;
        /// Counts the rows of a batch.
        async fn counts(batch: i64) -> Result<Counts>;
        /// Returns the row counts of all batches, oldest first.
        async fn statuses() -> Result<Vec<BatchStatus>>;
    }
    detail {
        /// Returns the row of a job with its attempts and response.
        async fn row_detail(job: JobId) -> Result<Option<RowDetail>>;
        /// Returns up to `limit` failed rows of a batch in input order, starting after the row
        /// `after` (0: from the start). Only the rules and scopes of the filter apply.
        async fn failed_rows(
            batch: i64,
            filter: &RowFilter,
            after: u64,
            limit: u32,
        ) -> Result<Vec<FailedRow>>;
    }
    duplicates {
        /// Parks the pending rows of a batch whose request is identical to that of another pending
        /// or completed row; returns their number. Unless `any` is set, only requests with
        /// temperature 0 are parked, because the responses to other requests vary. The caller holds
        /// the run lock.
        ///
        /// The index on the digests is created on first use, so that only batches that need it pay
        /// for it.
        async fn park_duplicates(batch: i64, any: bool) -> Result<u64>;
        /// Copies the results of leaders that were completed or failed permanently to their
        /// duplicates, if the requests are still identical; returns the number of copies.
        async fn copy_to_duplicates(batch: i64, now: Timestamp) -> Result<u64>;
        /// Releases the rows of a batch that are still parked; returns how many of them are
        /// pending.
        async fn release_duplicates(batch: i64) -> Result<u64>;
    }
    history {
        /// Returns up to `limit` completed requests of a batch in input order, starting after the
        /// position `after` (`None`: from the start), with the position of the last one; `None` at
        /// the end.
        async fn completed_requests(batch: i64, after: Option<i64>, limit: u32) -> Result<Page<CompletedRequest>>;
        /// Returns the failed attempts of the next `limit` rows of a batch that have any, in input
        /// order, with the position of the last such row.
        async fn failed_requests(batch: i64, after: Option<i64>, limit: u32) -> Result<Page<FailedRequest>>;
        /// Returns the number of requests sent for the rows of a batch.
        async fn requests_made(batch: i64) -> Result<u64>;
    }
    import_results {
        /// Imports results for rows of a batch. They arrive in chunks; an empty chunk marks the
        /// end.
        ///
        /// If a key is unknown, or the input is invalid, the batch is not changed.
        async fn import_results<E>(
            batch: i64,
            chunks: mpsc::Receiver<Result<Vec<ImportedResult>, E>>,
            now: Timestamp,
        ) -> Result<Result<ImportReport, E>>;
    }
    keys {
        /// Returns the salt for key fingerprints: 16 random bytes, generated with the database.
        async fn salt() -> Result<Vec<u8>>;
        /// Returns the states of all keys, sorted by label.
        async fn keys() -> Result<Vec<KeyRow>>;
        /// Saves the states of keys, which apply to `model` or to all models, and replaces their
        /// previous states for either.
        async fn save_keys(keys: &[KeyRow], model: &str, now: Timestamp) -> Result<()>;
        /// Adds to the number of requests sent with a key on the day that began at `day`. The
        /// counts of earlier days are deleted.
        async fn count_requests(
            fingerprint: &str,
            base_url: &str,
            day: Timestamp,
            requests: u32,
        ) -> Result<()>;
        /// Returns the number of requests sent with a key on the day that began at `day`.
        async fn requests_on_day(fingerprint: &str, base_url: &str, day: Timestamp) -> Result<u32>;
        /// Deletes the states of all keys, or of those with this label. Returns their number.
        async fn reset_keys(label: Option<&str>) -> Result<u64>;
    }
    preview {
        /// Returns the states of rows given by key and request digest, and for each row whether a
        /// run would send it. Rows that the batch does not contain are not counted.
        async fn preview_import(
            batch: i64,
            rows: &[(&str, &str)],
        ) -> Result<(ImportPreview, Vec<bool>)>;
        /// Returns the pending jobs of a batch at these indices. Pending jobs are counted in input
        /// order, starting at 0.
        async fn pending_at(batch: i64, indices: &[u64]) -> Result<Vec<JobId>>;
        /// Returns the averages of the recent completions of a batch.
        async fn completion_averages(batch: i64) -> Result<CompletionAverages>;
    }
    queue {
        /// Settles, then executes the claims in order, in one transaction.
        async fn settle_and_claim(
            settlements: &[Settlement],
            claims: &[Claim],
            now: Timestamp,
        ) -> Result<QueueUpdate>;
        /// Returns a number that changes when another process commits a change of the queue.
        async fn data_version() -> Result<i64>;
        /// Returns whether a batch has jobs that were in flight at the last two crashes or more.
        async fn has_suspects(batch: i64) -> Result<bool>;
        /// Claims one job that was in flight at the last two crashes or more, regardless of
        /// `not_before`. It must be sent alone, so that it is known to be the cause if the program
        /// crashes again.
        async fn claim_suspect(batch: i64) -> Result<Option<ClaimedJob>>;
        /// Counts the pending jobs that can be claimed, now or later.
        async fn claimable(batch: i64) -> Result<u64>;
        /// Makes jobs that a crashed run left in flight pending again, and records their requests
        /// as unknown. The caller holds the run lock, so no other run is alive. Returns the number
        /// of jobs.
        async fn recover(now: Timestamp) -> Result<u64>;
    }
    read {
        /// Returns up to `limit` rows of a batch in input order, starting after the position
        /// `after` (`None`: from the start), with the position of the last one.
        async fn page(batch: i64, after: Option<i64>, limit: u32) -> Result<Page<ExportRow>>;
        /// Returns why jobs of a batch failed permanently, most frequent cause first. The hint is
        /// empty because it is not stored.
        async fn failed_causes(batch: i64, limit: u32) -> Result<Vec<Cause>>;
        /// Returns why jobs of a batch failed or are waiting, most frequent cause first. The hint
        /// is empty because it is not stored.
        async fn causes(batch: i64, limit: u32) -> Result<Vec<Cause>>;
    }
    row_filter {
        /// Makes the selected failed jobs of a batch pending again and resets their attempts.
        /// Returns their number.
        async fn reopen(batch: i64, filter: &RowFilter) -> Result<u64>;
        /// Cancels all pending jobs of a batch, or those in `jobs`. They fail with the rule
        /// `cancelled` and are not sent until they are reopened. Jobs claimed by a run are not
        /// affected.
        async fn cancel(batch: i64, jobs: Option<&[JobId]>, now: Timestamp) -> Result<CancelReport>;
        /// Finds rows by name: the row key (the ID, if the batch has an ID column), or otherwise
        /// the row number in the input, starting at 1, with an optional `#`. Returns the job for
        /// each name in order; `None` if the row does not exist.
        async fn find_rows(batch: i64, names: &[String]) -> Result<Vec<Option<JobId>>>;
    }
    spool {
        /// Creates an empty spool next to the database and reserves disk space for it, if the file
        /// system supports that. The caller holds the run lock and has settled any earlier spool.
        async fn reserve_spool(bytes: u64) -> Result<Spool>;
        /// Imports the spool of an earlier run, and removes the file. Returns the number of settled
        /// jobs. The caller holds the run lock and has not called [`recover`](Self::recover) yet.
        async fn settle_spool() -> Result<u64>;
    }
    sync {
        /// Syncs a batch with an input. The rows arrive in chunks; an empty chunk marks the end.
        ///
        /// If the input is invalid, its error is returned and the batch is not changed.
        async fn sync_batch<E>(
            params: &SyncParams<'_>,
            chunks: mpsc::Receiver<Result<Chunk, E>>,
        ) -> Result<Result<SyncReport, E>>;
    }
    verify {
        /// Returns the versions of the database engine and of the schema.
        async fn versions() -> Result<Versions>;
        /// Returns the errors found by a quick check, which takes about as long as reading the
        /// file, and does not block writers.
        async fn quick_check() -> Result<Vec<String>>;
        /// Verifies a snapshot of the whole database. This takes several times as long as reading
        /// the file.
        async fn verify() -> Result<IntegrityReport>;
        /// Writes a snapshot of the database to a new file (mode 0600). When it returns, the copy
        /// is complete and on disk. Can be called during a run.
        async fn back_up(target: &Path) -> Result<(), BackupError>;
    }
}
