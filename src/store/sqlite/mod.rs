//! The queue in a SQLite database.
//!
//! A single connection writes, each time in a `BEGIN IMMEDIATE` transaction; a small pool of
//! read-only connections serves exports and counts. When a function returns, its changes are on
//! disk (`synchronous=FULL`).

pub(super) mod batch_api;
pub(super) mod batches;
mod columns;
mod database;
pub(super) mod detail;
pub(super) mod duplicates;
pub(super) mod file_system;
pub(super) mod files;
pub(super) mod history;
pub(super) mod import_results;
pub(super) mod keys;
pub(super) mod lock;
mod open;
pub(super) mod preview;
pub(super) mod queue;
pub(super) mod read;
pub(super) mod row_filter;
mod settle;
mod snapshot;
pub(super) mod spool;
pub(super) mod sync;
mod text_blob;
pub(super) mod verify;

pub(super) use database::Database;
pub use file_system::{Disk, DiskError, FileSystemKind};
pub use lock::RunLock;
pub use snapshot::SnapshotReader;
