//! Batches: what there is, and how far it is.

use sqlx::Row;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};

use crate::domain::request_template::RequestTemplate;

use super::error::StoreError;
use super::open::Store;

/// A batch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its number in the database.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How its rows become requests.
    pub template: RequestTemplate,
    /// The header of its input.
    pub columns: Vec<String>,
    /// The path of its input, as it was given.
    pub source: String,
    /// Size and times of the input when it was last read; `None` when that is not known.
    pub stamp: Option<String>,
    /// Whether the simulated provider answers it.
    pub simulated: bool,
}

/// How many rows of a batch stand where. Withdrawn rows are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All rows.
    pub total: u64,
    /// Rows with an answer.
    pub done: u64,
    /// Rows that failed for good.
    pub failed: u64,
    /// Rows that wait to be asked.
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
        // Sums, not groups: groups would be sorted first.
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

/// A batch's name with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatus {
    /// The batch's name.
    pub name: String,
    /// Its counts.
    pub counts: Counts,
}

impl Store {
    /// Returns the batch of that name, if there is one.
    pub async fn find_batch(&self, name: &str) -> Result<Option<StoredBatch>, StoreError> {
        let row = sqlx::query(
            "SELECT id, name, recipe, columns, source, stamp, simulated FROM batches WHERE name = ?1",
        )
        .bind(name)
        .fetch_optional(&mut *self.writer.lock().await)
        .await?;
        row.map(|row| stored_batch(&row)).transpose()
    }

    /// Returns the batch of that name; an error names those that there are.
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
        let known = if names.is_empty() {
            "\nhint: the database is empty; `promptmill import FILE` fills it".to_owned()
        } else {
            format!("\nhint: there are: {}", names.join(", "))
        };
        Err(StoreError::NoSuchBatch {
            name: name.to_owned(),
            known,
        })
    }

    /// Returns all batches, the oldest first.
    pub async fn batches(&self) -> Result<Vec<StoredBatch>, StoreError> {
        sqlx::query(
            "SELECT id, name, recipe, columns, source, stamp, simulated FROM batches ORDER BY id",
        )
        .fetch_all(&mut *self.writer.lock().await)
        .await?
        .iter()
        .map(stored_batch)
        .collect()
    }

    /// Counts the rows of a batch.
    pub async fn counts(&self, batch: i64) -> Result<Counts, StoreError> {
        Counts::of(batch, &self.readers).await
    }

    /// Returns name and counts of every batch, the oldest first.
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
    })
}

/// Counts and sizes are never negative in the database; a damaged one must not bring a panic.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads a count that may be missing.
pub(super) fn count_at(row: &SqliteRow, at: usize) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(at)?.map(unsigned))
}

/// Reads the first column of the last row, by which the next page begins.
pub(super) fn last_place(rows: &[SqliteRow]) -> Result<Option<i64>, sqlx::Error> {
    rows.last().map(|row| row.try_get(0)).transpose()
}
