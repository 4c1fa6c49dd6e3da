//! Checks of the database itself, and backups.

use std::io;

use super::error::StoreError;

/// The versions of the database engine and of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The database engine with its version, such as `SQLite 3.51.3`.
    pub engine: String,
    /// The schema version: the number of applied migrations.
    pub schema: i64,
}

/// The result of verifying the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrityReport {
    /// Errors in the file; empty if there are none.
    pub file_errors: Vec<String>,
    /// Inconsistencies of the content; empty if there are none.
    pub inconsistencies: Vec<String>,
    /// Number of rows that are claimed by a run, or were claimed by a run that crashed.
    pub in_flight: u64,
    /// Size of the WAL in bytes.
    pub wal_bytes: u64,
    /// Whether a spool exists for the next run to import.
    pub has_spool: bool,
}

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target already exists.
    #[error("{path} already exists\nhint: choose another path; backups never overwrite files")]
    Exists {
        /// The target.
        path: String,
    },
    /// The copy cannot be written.
    #[error(
        "cannot write the backup {path}: {cause}\nhint: choose a writable directory with enough disk space"
    )]
    Io {
        /// The target.
        path: String,
        /// The cause.
        cause: io::Error,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
