//! The queue, stored in a SQLite database. This is the only module with SQL.
//!
//! A single connection writes, each time in a `BEGIN IMMEDIATE` transaction; a small pool of
//! read-only connections serves exports and counts. When a method returns, its changes are on disk
//! (`synchronous=FULL`).

mod batch_api;
mod batches;
mod detail;
mod duplicates;
mod error;
mod file_identity;
mod health;
mod history;
mod import_results;
mod keys;
mod lock;
mod open;
mod preview;
mod queue;
mod read;
mod row_filter;
mod settle;
mod snapshot;
mod spool;
mod sync;
mod text_blob;
mod verify;

pub use batch_api::IncompleteRequest;
pub use batches::{BatchStatus, Counts, StoredBatch};
pub use detail::{AttemptDetail, FailedRow, RowDetail};
pub use error::StoreError;
pub use health::{Versions, run_lock_holder};
pub use import_results::{ImportReport, ImportedOutcome, ImportedResult};
pub use keys::KeyRow;
pub use lock::{LockError, RunLock};
pub use open::Store;
pub use preview::{CompletionAverages, ImportPreview};
pub use queue::{Claim, ClaimResult, ClaimedJob, QueueUpdate};
pub use row_filter::{CancelReport, RowFilter};
pub use settle::{AttemptRecord, JobOutcome, Settlement};
pub use snapshot::{QueueSnapshot, RecentCompletion, RecentFailure, SnapshotReader};
pub use spool::{Spool, SpoolOutcome};
pub use sync::{SyncParams, SyncReport};
pub use verify::{BackupError, IntegrityReport};
