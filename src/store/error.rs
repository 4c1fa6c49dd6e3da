//! How the store fails. A failed attempt is data, not an error of the store.

use std::path::PathBuf;

use crate::failpoint;

/// An error of the queue's database. Nothing that was acknowledged before it is lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is a database, but not one of ours.
    #[error(
        "{} is not a promptmill database\nhint: name another file with --db", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of the program.
    #[error(
        "{} has schema version {found}; this promptmill knows versions up to {known}\n\
         hint: update promptmill, or name another file with --db", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The latest version known.
        known: i64,
    },
    /// The file or its directory cannot be used.
    #[error("cannot open the database {}: {cause}\nhint: {hint}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
        /// What to do.
        hint: &'static str,
    },
    /// The path no longer leads to the file that is open.
    #[error(
        "{} was {how} while it was in use\nhint: put the file back where it was, with those beside it \
         that begin with its name; then run the same command again", path.display()
    )]
    Gone {
        /// The path.
        path: PathBuf,
        /// What was done to the file.
        how: &'static str,
    },
    /// The linked SQLite has a bug that can corrupt the database.
    #[error("SQLite {found} can corrupt a database in WAL mode; 3.51.3 or newer is needed")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// The disk is full, or the file cannot be written any more.
    #[error(
        "cannot write the database: {0}\n\
         hint: make room on the disk, then run the same command again; all that was stored is kept"
    )]
    Disk(String),
    /// Another process holds the database for too long.
    #[error(
        "the database is busy: {0}\nhint: another process writes to it; run again when it is done"
    )]
    Busy(String),
    /// What is in the database is not what the program wrote.
    #[error(
        "the database is damaged: {0}\nhint: restore a backup, or start anew with another --db"
    )]
    Corrupt(String),
    /// The file for what the database cannot take cannot be used.
    #[error(
        "cannot use the spool {}: {cause}\n\
         hint: it keeps answers when the disk is full; see that its folder can be written and that \
         it is no link", path.display()
    )]
    Spool {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The spool beside the database was written for another one.
    #[error(
        "{} keeps answers of another database\n\
         hint: put it beside the database it came from, or remove it when that one has gone", path.display()
    )]
    ForeignSpool {
        /// The file.
        path: PathBuf,
    },
    /// There is no batch of that name.
    #[error("no batch is named \"{name}\"{known}")]
    NoSuchBatch {
        /// The name that was asked for.
        name: String,
        /// A line that names the batches there are.
        known: String,
    },
    /// Any other error of the database.
    #[error("database error: {0}")]
    Other(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let said = error
            .as_database_error()
            .map(sqlx::error::DatabaseError::message);
        let text = said.map_or_else(|| error.to_string(), str::to_owned);
        // A cell that is none of what the program writes there.
        if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        ) {
            return Self::Corrupt(text);
        }
        match primary_code(&error) {
            // SQLITE_BUSY, SQLITE_LOCKED
            Some(5 | 6) => Self::Busy(text),
            // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
            Some(8 | 10 | 13 | 14) => Self::Disk(text),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some(11 | 26) => Self::Corrupt(text),
            _ => Self::Other(error),
        }
    }
}

impl From<failpoint::Hit> for StoreError {
    fn from(hit: failpoint::Hit) -> Self {
        Self::Disk(hit.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Returns the primary result code of SQLite, without the extension in the upper bytes.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
