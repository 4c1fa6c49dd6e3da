//! Repeated read-only snapshots of the queue from another process, which tolerate that the file is
//! missing, busy, or replaced.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row};

use crate::domain::time::Timestamp;
use crate::store::error::Result;
use crate::store::location::Location;
use crate::store::snapshot::{QueueSnapshot, RecentCompletion, RecentFailure};

use super::batches::read_statuses;
use super::columns::{count_at, unsigned};
use super::files::FileIdentity;
use super::keys::all_keys;
use super::open::{check, map_open_error, options};

/// How long a snapshot waits for a busy file.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Takes repeated snapshots of the queue.
#[derive(Debug)]
pub struct SnapshotReader {
    path: PathBuf,
    open: Option<(SqliteConnection, FileIdentity)>,
}

impl SnapshotReader {
    /// Creates a reader. The database is opened by the first snapshot.
    pub fn new(location: &Location) -> Result<Self> {
        Ok(Self {
            path: location.file()?.to_owned(),
            open: None,
        })
    }

    /// Takes a snapshot; `None` if the database does not exist. After an error, the next snapshot
    /// opens the database again.
    pub async fn read(&mut self) -> Result<Option<QueueSnapshot>> {
        let Some(identity) = FileIdentity::at(&self.path) else {
            self.open = None;
            return Ok(None);
        };
        let (mut connection, opened) = match self.open.take() {
            Some((connection, opened)) if opened == identity => (connection, opened),
            _ => (self.connect().await?, identity),
        };
        let snapshot = read_snapshot(&mut connection).await?;
        self.open = Some((connection, opened));
        Ok(Some(snapshot))
    }

    /// Closes the database.
    pub async fn close(self) {
        if let Some((connection, _)) = self.open {
            // Closing a read-only connection cannot lose data.
            let _ = connection.close().await;
        }
    }

    async fn connect(&self) -> Result<SqliteConnection> {
        let options = options(&self.path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT);
        let connected = options.connect().await;
        let mut connection = connected.map_err(|error| map_open_error(error, &self.path))?;
        check(&mut connection, &self.path).await?;
        Ok(connection)
    }
}

async fn read_snapshot(connection: &mut SqliteConnection) -> Result<QueueSnapshot> {
    Ok(QueueSnapshot {
        batches: read_statuses(connection).await?,
        keys: all_keys(connection).await?,
        failures: failures(connection).await?,
        completions: completions(connection).await?,
    })
}

async fn failures(connection: &mut SqliteConnection) -> Result<Vec<RecentFailure>> {
    let rows = sqlx::query(
        "SELECT b.name, j.position, a.rule, a.message, a.ended_at
         FROM attempts AS a
         CROSS JOIN jobs AS j ON j.id = a.job_id
         CROSS JOIN batches AS b ON b.id = j.batch_id
         WHERE a.id > (SELECT coalesce(max(id), 0) FROM attempts) - 100
           AND a.outcome = 'failed'
         ORDER BY a.id DESC LIMIT 30",
    )
    .fetch_all(connection)
    .await?;
    let failure = |row: &SqliteRow| {
        Ok(RecentFailure {
            batch: row.try_get(0)?,
            row: count_at(row, 1)?.map(|position| position + 1),
            rule: row.try_get(2)?,
            message: row.try_get(3)?,
            ended_at: Timestamp::from_millis(row.try_get(4)?),
        })
    };
    rows.iter().map(failure).collect()
}

async fn completions(connection: &mut SqliteConnection) -> Result<Vec<RecentCompletion>> {
    let rows = sqlx::query(
        "SELECT ended_at, latency_ms, key_label FROM results
         WHERE job_id > (SELECT coalesce(max(job_id), 0) FROM results) - 400
         ORDER BY job_id DESC LIMIT 200",
    )
    .fetch_all(connection)
    .await?;
    let completion = |row: &SqliteRow| {
        Ok(RecentCompletion {
            ended_at: Timestamp::from_millis(row.try_get(0)?),
            latency_ms: unsigned(row.try_get(1)?),
            key_label: row.try_get(2)?,
        })
    };
    rows.iter().map(completion).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::database::{Database, begin};
    use super::*;
    use crate::store::error::StoreError;

    #[tokio::test]
    async fn the_file_can_be_created_removed_and_replaced_between_snapshots() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let mut reader = SnapshotReader::new(&Location::File(path.clone())).unwrap();
        assert_eq!(reader.read().await.unwrap(), None);
        let store = Database::open(&path).await.unwrap();
        assert_eq!(reader.read().await.unwrap(), Some(QueueSnapshot::default()));
        store.close().await.unwrap();
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("q.db{end}")));
        }
        assert_eq!(reader.read().await.unwrap(), None);
        fs::write(&path, "not a database, but long enough".repeat(100)).unwrap();
        let error = reader.read().await.unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        fs::remove_file(&path).unwrap();
        let store = Database::open(&path).await.unwrap();
        assert_eq!(reader.read().await.unwrap(), Some(QueueSnapshot::default()));
        store.close().await.unwrap();
        reader.close().await;
    }

    #[tokio::test]
    async fn snapshots_and_writers_do_not_block_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let store = Database::open(&path).await.unwrap();
        let mut reader = SnapshotReader::new(&Location::File(path.clone())).unwrap();
        let mut writer = store.writer.lock().await;
        let transaction = begin(&mut writer).await.unwrap();
        assert!(reader.read().await.unwrap().is_some());
        transaction.commit().await.unwrap();
        drop(writer);
        let error = sqlx::query("PRAGMA user_version = 9")
            .execute(&mut reader.open.as_mut().unwrap().0)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("readonly"), "{error}");
        reader.close().await;
        store.close().await.unwrap();
    }
}
