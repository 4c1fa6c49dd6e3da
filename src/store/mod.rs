//! The queue. This is the only module with SQL.
//!
//! A [`Store`] calls the functions of its backend, of which there is one: `sqlite`. Types and
//! errors do not depend on it. When a method returns, its changes are on disk.

mod backend;
mod batch;
mod error;
mod health;
mod imported;
mod key_fingerprint;
mod key_row;
mod location;
mod row;
mod server_url;
mod settlement;
mod snapshot;
mod spool;
mod sqlite;

pub use backend::Store;
pub use batch::{
    BatchStatus, CompletionAverages, Counts, ImportPreview, StoredBatch, SyncParams, SyncReport,
};
pub use error::{LockError, StoreError};
pub use health::{BackupError, IntegrityReport, Versions};
pub use imported::{ImportReport, ImportedOutcome, ImportedResult};
pub use key_fingerprint::Salt;
pub use key_row::KeyRow;
pub use location::Location;
pub use row::{AttemptDetail, CancelReport, FailedRow, IncompleteRequest, RowDetail, RowFilter};
pub use server_url::ServerUrl;
pub use settlement::{Claim, ClaimResult, ClaimedJob, JobOutcome, QueueUpdate, Settlement};
pub use snapshot::{QueueSnapshot, RecentCompletion, RecentFailure};
pub use spool::{Spool, SpoolOutcome};
pub use sqlite::{Disk, DiskError, FileSystemKind, RunLock, SnapshotReader};
