//! Errors of the store. A failed attempt of a job is data, not an error of the store.

use std::path::PathBuf;

use crate::failpoint;

use super::server_url::ServerUrl;

/// The result of an operation on the database.
pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A database error. Acknowledged changes are not lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not a promptmill database.
    #[error(
        "{} is not a promptmill database\nhint: choose another file with --db", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of the program.
    #[error(
        "{} has schema version {found}; this version of promptmill supports versions up to {known}\n\
         hint: update promptmill, or choose another file with --db", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The latest supported version.
        known: i64,
    },
    /// The file cannot be opened.
    #[error("cannot open the database {}: {cause}\nhint: {hint}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
        /// How to fix it.
        hint: &'static str,
    },
    /// The path no longer refers to the open file.
    #[error(
        "{} was {how} while it was in use\nhint: restore the file and its -wal file, then run the same command \
         again", path.display()
    )]
    Gone {
        /// The path.
        path: PathBuf,
        /// What happened to the file: `removed` or `replaced`.
        how: &'static str,
    },
    /// This build does not support databases of this kind.
    #[error("{}\nhint: pass the path of a file with --db", _0.problem())]
    Unsupported(ServerUrl),
    /// The linked SQLite has a bug that can corrupt the database.
    #[error("SQLite {found} can corrupt a database in WAL mode; 3.51.3 or newer is required")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// The disk is full, or the file can no longer be written.
    #[error(
        "cannot write the database: {0}\n\
         hint: free up disk space, then run the same command again; stored results are not lost"
    )]
    Disk(String),
    /// Another process has locked the database for too long.
    #[error(
        "the database is busy: {0}\n\
         hint: try again when the other process has finished writing"
    )]
    Busy(String),
    /// The database contains data that the program did not write.
    #[error(
        "the database is damaged: {0}\nhint: restore a backup, or start over with another --db"
    )]
    Corrupt(String),
    /// The spool cannot be used.
    #[error(
        "cannot use the spool {}: {cause}\n\
         hint: make sure that its directory is writable and that it is not a symbolic link; the spool \
         stores responses when the disk is full", path.display()
    )]
    Spool {
        /// The spool.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// The spool next to the database belongs to another database.
    #[error(
        "{} contains responses of another database\n\
         hint: move it next to its own database, or delete it if that database no longer exists", path.display()
    )]
    ForeignSpool {
        /// The spool.
        path: PathBuf,
    },
    /// There is no batch with this name.
    #[error("no batch is named \"{name}\"{hint}")]
    NoSuchBatch {
        /// The name.
        name: String,
        /// A hint line that lists the existing batches.
        hint: String,
    },
    /// Any other database error.
    #[error("database error: {0}")]
    Other(String),
}

impl StoreError {
    /// Returns the error for an input that ends before its end was announced.
    pub(super) fn incomplete_input() -> Self {
        Self::Other("the input ended unexpectedly".to_owned())
    }
}

impl From<failpoint::FailpointError> for StoreError {
    fn from(error: failpoint::FailpointError) -> Self {
        Self::Disk(error.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Why the lock could not be acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error(
        "another run is using the database ({holder})\n\
         hint: wait for it to finish, or stop it; `promptmill status` shows its progress"
    )]
    Held {
        /// The content of the lock file, such as `process 123`.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock file {}: {cause}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
}
