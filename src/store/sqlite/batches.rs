//! Batches and their progress.

use sqlx::Row;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};

use crate::domain::request_template::RequestTemplate;
use crate::domain::time::Timestamp;

use super::error::StoreError;
use super::open::Store;

/// A stored batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// The batch ID.
    pub id: i64,
    /// The name of the batch.
    pub name: String,
    /// The template of its requests.
    pub template: RequestTemplate,
    /// The columns of its input file.
    pub columns: Vec<String>,
    /// The path of its input file as given by the user.
    pub source: String,
    /// Size and timestamps of the input file when it was last read, if known.
    pub stamp: Option<String>,
    /// Whether its responses are simulated.
    pub simulated: bool,
    /// The time by which it must be complete, if any.
    pub deadline: Option<Timestamp>,
}

/// The number of rows of a batch by state. Withdrawn rows are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All rows.
    pub total: u64,
    /// Rows with a response.
    pub done: u64,
    /// Rows that failed permanently.
    pub failed: u64,
    /// Rows that have not been sent yet or will be retried.
    pub pending: u64,
    /// Rows claimed by a run.
    pub running: u64,
}

impl Counts {
    /// Counts the rows of a batch.
    pub(super) async fn of(
        batch: i64,
        reader: impl SqliteExecutor<'_>,
    ) -> Result<Self, StoreError> {
        // Filtered sums, because GROUP BY would sort.
        let row = sqlx::query(
            "SELECT count(*), count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1),
                    count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE state = 3)
             FROM jobs WHERE batch_id = ?1 AND position IS NOT NULL",
        )
        .bind(batch)
        .fetch_one(reader)
        .await?;
        let jobs = |at: usize| row.try_get(at).map(unsigned);
        Ok(Self {
            total: jobs(0)?,
            pending: jobs(1)?,
            running: jobs(2)?,
            done: jobs(3)?,
            failed: jobs(4)?,
        })
    }
}

/// The row counts of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatus {
    /// The name of the batch.
    pub name: String,
    /// The number of its rows by state.
    pub counts: Counts,
}

impl Store {
    /// Returns the batch with this name, if it exists.
    pub async fn find_batch(&self, name: &str) -> Result<Option<StoredBatch>, StoreError> {
        let row = sqlx::query(
            "SELECT id, name, recipe, columns, source, stamp, simulated, deadline
             FROM batches WHERE name = ?1",
        )
        .bind(name)
        .fetch_optional(&mut *self.writer.lock().await)
        .await?;
        row.map(|row| stored_batch(&row)).transpose()
    }

    /// Returns the batch with this name. The error lists the existing batches.
    pub async fn batch(&self, name: &str) -> Result<StoredBatch, StoreError> {
        if let Some(batch) = self.find_batch(name).await? {
            return Ok(batch);
        }
        let names: Vec<String> = self
            .batches()
            .await?
            .into_iter()
            .map(|batch| batch.name)
            .collect();
        let hint = if names.is_empty() {
            "\nhint: the database is empty; import a file with `promptmill import FILE`".to_owned()
        } else {
            format!("\nhint: existing batches: {}", names.join(", "))
        };
        Err(StoreError::NoSuchBatch {
            name: name.to_owned(),
            hint,
        })
    }

    /// Returns all batches, oldest first.
    pub async fn batches(&self) -> Result<Vec<StoredBatch>, StoreError> {
        sqlx::query(
            "SELECT id, name, recipe, columns, source, stamp, simulated, deadline
             FROM batches ORDER BY id",
        )
        .fetch_all(&mut *self.writer.lock().await)
        .await?
        .iter()
        .map(stored_batch)
        .collect()
    }

    /// Sets or removes the deadline of a batch. Later imports keep it.
    pub async fn set_deadline(
        &self,
        batch: i64,
        deadline: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE batches SET deadline = ?2 WHERE id = ?1")
            .bind(batch)
            .bind(deadline.map(Timestamp::as_millis))
            .execute(&mut *self.writer.lock().await)
            .await?;
        Ok(())
    }

    /// Counts the rows of a batch.
    pub async fn counts(&self, batch: i64) -> Result<Counts, StoreError> {
        Counts::of(batch, &self.readers).await
    }

    /// Returns the row counts of all batches, oldest first.
    pub async fn statuses(&self) -> Result<Vec<BatchStatus>, StoreError> {
        let mut statuses = Vec::new();
        for batch in self.batches().await? {
            statuses.push(BatchStatus {
                counts: self.counts(batch.id).await?,
                name: batch.name,
            });
        }
        Ok(statuses)
    }
}

fn stored_batch(row: &SqliteRow) -> Result<StoredBatch, StoreError> {
    Ok(StoredBatch {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        template: serde_json::from_str(row.try_get(2)?)?,
        columns: serde_json::from_str(row.try_get(3)?)?,
        source: row.try_get(4)?,
        stamp: row.try_get(5)?,
        simulated: row.try_get(6)?,
        deadline: row
            .try_get::<Option<i64>, _>(7)?
            .map(Timestamp::from_millis),
    })
}

/// Converts a count or size. It is only negative in a damaged database, which must not cause a
/// panic.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads an optional count.
pub(super) fn count_at(row: &SqliteRow, at: usize) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(at)?.map(unsigned))
}

/// Returns the first column of the last row: the position after which the next page starts.
pub(super) fn last_position(rows: &[SqliteRow]) -> Result<Option<i64>, sqlx::Error> {
    rows.last().map(|row| row.try_get(0)).transpose()
}
