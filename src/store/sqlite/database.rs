//! The open database.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions};
use tokio::sync::Mutex;

use crate::domain::job::JobId;
use crate::failpoint;
use crate::store::error::Result;

use super::files::{self, FileIdentity};
use super::open;

/// The open database.
#[derive(Debug)]
pub(crate) struct Database {
    /// The only connection that writes. Locked for one transaction at a time.
    pub(super) writer: Mutex<SqliteConnection>,
    /// Read-only connections for exports and counts during a run.
    pub(super) readers: SqlitePool,
    /// The only jobs that can be claimed, as a JSON array, by batch.
    restrictions: std::sync::Mutex<HashMap<i64, Arc<str>>>,
    path: PathBuf,
    /// The file that was opened.
    identity: FileIdentity,
}

impl Database {
    /// Opens or creates the database at `path` (mode 0600), and migrates it to the latest schema.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let identity = files::create_or_check(path)?;
        let writer = open::open_writer(path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_lazy_with(open::options(path).read_only(true));
        Ok(Self {
            writer: Mutex::new(writer),
            readers,
            restrictions: std::sync::Mutex::default(),
            path: path.to_owned(),
            identity,
        })
    }

    /// Returns the path as given by the caller.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the path still refers to the open file. Changes to a removed or replaced file
    /// are lost when the last connection closes.
    pub(super) fn check_path(&self) -> Result<()> {
        self.identity.check(&self.path)
    }

    /// Restricts later claims on a batch to these jobs.
    pub(crate) fn restrict_to(&self, batch: i64, jobs: &[JobId]) {
        let jobs = serde_json::json!(jobs).to_string();
        self.restrictions().insert(batch, jobs.into());
    }

    /// Returns the jobs to which claims on a batch are restricted, as a JSON array.
    pub(super) fn allowed_jobs(&self, batch: i64) -> Option<Arc<str>> {
        self.restrictions().get(&batch).cloned()
    }

    fn restrictions(&self) -> MutexGuard<'_, HashMap<i64, Arc<str>>> {
        let restrictions = self.restrictions.lock();
        restrictions.unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections. Closing the last one checkpoints the WAL.
    pub(crate) async fn close(self) -> Result<()> {
        self.readers.close().await;
        failpoint::hit("close")?;
        self.writer.into_inner().close().await?;
        Ok(())
    }
}

/// Begins a write transaction. It acquires the write lock immediately, so that no later statement
/// of the transaction can fail with `SQLITE_BUSY`.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}
