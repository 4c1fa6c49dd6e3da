//! The store: the only room that speaks SQL.
//!
//! One connection writes, and every write is one `BEGIN IMMEDIATE` transaction; a small read-only
//! pool stands beside it. What a method returned is on disk (`synchronous=FULL`): if the process
//! dies on the next line, the next run finds it.

mod batches;
mod bring;
mod choice;
mod detail;
mod error;
mod exchange;
mod glance;
mod health;
mod history;
mod keys;
mod lock;
mod lookout;
mod open;
mod pack;
mod place;
mod queue;
mod read;
mod settle;
mod spool;
mod sync;
mod twins;
mod verify;

pub use batches::{BatchStatus, Counts, StoredBatch};
pub use bring::{Delivered, Delivery, End};
pub use choice::{Cancelled, Choice};
pub use detail::{Attempt, FailedRow, RowDetail};
pub use error::StoreError;
pub use exchange::OpenRequest;
pub use glance::{Averages, Standing};
pub use health::{Versions, run_lock_holder};
pub use keys::KeyRow;
pub use lock::{LockError, RunLock};
pub use lookout::{Lookout, SeenAnswer, SeenFailure, Sight};
pub use open::Store;
pub use queue::{Claim, ClaimedJob, Turn};
pub use settle::{AttemptRecord, SettledAs, Settlement};
pub use spool::{Spool, SpoolOutcome};
pub use sync::{Sync, SyncReport};
pub use verify::{BackupError, Soundness};
