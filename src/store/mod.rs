//! The queue. This is the only module with SQL.

mod sqlite;

pub use sqlite::{
    AttemptDetail, AttemptRecord, BackupError, BatchStatus, CancelReport, Claim, ClaimResult,
    ClaimedJob, CompletionAverages, Counts, FailedRow, ImportPreview, ImportReport,
    ImportedOutcome, ImportedResult, IncompleteRequest, IntegrityReport, JobOutcome, KeyRow,
    LockError, QueueSnapshot, QueueUpdate, RecentCompletion, RecentFailure, RowDetail, RowFilter,
    RunLock, Settlement, SnapshotReader, Spool, SpoolOutcome, Store, StoreError, StoredBatch,
    SyncParams, SyncReport, Versions, run_lock_holder,
};
