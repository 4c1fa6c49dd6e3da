//! Looking at the queue from another process, again and again: read only, without a write lock,
//! and without giving up when the file is not there, busy, or replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row};

use crate::domain::time::Timestamp;

use super::batches::{BatchStatus, Counts, unsigned};
use super::error::StoreError;
use super::keys::KeyRow;
use super::open::{check, not_ours, options};
use super::place::Identity;

/// How long a look waits for a file that is busy.
const PATIENCE: Duration = Duration::from_millis(500);

/// What there is to see of the queue at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The batches with their counts, the oldest first.
    pub batches: Vec<BatchStatus>,
    /// How the keys stand.
    pub keys: Vec<KeyRow>,
    /// The latest failed attempts, the last one first.
    pub failures: Vec<SeenFailure>,
    /// The answers of the last jobs, in no order.
    pub answers: Vec<SeenAnswer>,
}

/// A failed attempt, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFailure {
    /// The batch's name.
    pub batch: String,
    /// The row's number in the input, from 1; `None` for one that was withdrawn.
    pub row: Option<u64>,
    /// The rule that judged it.
    pub rule: String,
    /// What was said, redacted.
    pub message: String,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAnswer {
    /// When it came.
    pub ended_at: Timestamp,
    /// Milliseconds from sending to the last byte.
    pub latency_ms: u64,
    /// The label of the key that was used.
    pub key_label: String,
}

/// Looks at the queue of one database file.
#[derive(Debug)]
pub struct Lookout {
    path: PathBuf,
    open: Option<(SqliteConnection, Identity)>,
}

impl Lookout {
    /// Makes a lookout; nothing is opened before the first look.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: None,
        }
    }

    /// Looks; `None` when there is no database yet. After an error the next look opens anew.
    pub async fn look(&mut self) -> Result<Option<Sight>, StoreError> {
        let Some(identity) = Identity::at(&self.path) else {
            self.open = None;
            return Ok(None);
        };
        let (mut connection, opened) = match self.open.take() {
            Some((connection, opened)) if opened == identity => (connection, opened),
            _ => (self.connect().await?, identity),
        };
        let sight = look(&mut connection).await?;
        self.open = Some((connection, opened));
        Ok(Some(sight))
    }

    /// Closes the file.
    pub async fn close(self) {
        if let Some((connection, _)) = self.open {
            // It has written nothing: there is nothing to lose.
            let _ = connection.close().await;
        }
    }

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let options = options(&self.path).read_only(true).busy_timeout(PATIENCE);
        let connected = options.connect().await;
        let mut connection = connected.map_err(|error| not_ours(error, &self.path))?;
        check(&mut connection, &self.path).await?;
        Ok(connection)
    }
}

async fn look(connection: &mut SqliteConnection) -> Result<Sight, StoreError> {
    Ok(Sight {
        batches: batches(connection).await?,
        keys: keys(connection).await?,
        failures: failures(connection).await?,
        answers: answers(connection).await?,
    })
}

async fn batches(connection: &mut SqliteConnection) -> Result<Vec<BatchStatus>, StoreError> {
    let found: Vec<(i64, String)> = sqlx::query_as("SELECT id, name FROM batches ORDER BY id")
        .fetch_all(&mut *connection)
        .await?;
    let mut batches = Vec::with_capacity(found.len());
    for (id, name) in found {
        let counts = Counts::of(id, &mut *connection).await?;
        batches.push(BatchStatus { name, counts });
    }
    Ok(batches)
}

async fn keys(connection: &mut SqliteConnection) -> Result<Vec<KeyRow>, StoreError> {
    let rows = sqlx::query(KeyRow::ALL).fetch_all(connection).await?;
    rows.iter().map(KeyRow::read).collect()
}

async fn failures(connection: &mut SqliteConnection) -> Result<Vec<SeenFailure>, StoreError> {
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
    rows.iter().map(failure).collect()
}

fn failure(row: &SqliteRow) -> Result<SeenFailure, StoreError> {
    let position: Option<i64> = row.try_get(1)?;
    Ok(SeenFailure {
        batch: row.try_get(0)?,
        row: position.map(|position| unsigned(position).saturating_add(1)),
        rule: row.try_get(2)?,
        message: row.try_get(3)?,
        ended_at: Timestamp::from_millis(row.try_get(4)?),
    })
}

async fn answers(connection: &mut SqliteConnection) -> Result<Vec<SeenAnswer>, StoreError> {
    let rows = sqlx::query(
        "SELECT ended_at, latency_ms, key_label FROM results
         WHERE job_id > (SELECT coalesce(max(job_id), 0) FROM results) - 400
         ORDER BY job_id DESC LIMIT 200",
    )
    .fetch_all(connection)
    .await?;
    let completion = |row: &SqliteRow| {
        Ok(SeenAnswer {
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

    use super::super::open::Store;
    use super::*;

    #[tokio::test]
    async fn a_lookout_sees_a_file_come_go_and_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let mut lookout = Lookout::new(&path);
        assert_eq!(lookout.look().await.unwrap(), None);
        let store = Store::open(&path).await.unwrap();
        assert_eq!(lookout.look().await.unwrap(), Some(Sight::default()));
        store.close().await.unwrap();
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("q.db{end}")));
        }
        assert_eq!(lookout.look().await.unwrap(), None);
        fs::write(&path, "no database, and of some length".repeat(100)).unwrap();
        let error = lookout.look().await.unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        fs::remove_file(&path).unwrap();
        let store = Store::open(&path).await.unwrap();
        assert_eq!(lookout.look().await.unwrap(), Some(Sight::default()));
        store.close().await.unwrap();
        lookout.close().await;
    }

    #[tokio::test]
    async fn a_look_holds_up_no_writer_and_no_writer_holds_up_a_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let store = Store::open(&path).await.unwrap();
        let mut lookout = Lookout::new(&path);
        let mut writer = store.writer.lock().await;
        let transaction = super::super::open::begin(&mut writer).await.unwrap();
        assert!(lookout.look().await.unwrap().is_some());
        transaction.commit().await.unwrap();
        drop(writer);
        let error = sqlx::query("PRAGMA user_version = 9")
            .execute(&mut lookout.open.as_mut().unwrap().0)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("readonly"), "{error}");
        lookout.close().await;
        store.close().await.unwrap();
    }
}
