//! Batches and their progress.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteExecutor, SqliteRow};

use crate::domain::time::Timestamp;
use crate::store::batch::{BatchStatus, Counts, StoredBatch};
use crate::store::error::{Result, StoreError};

use super::columns::{time_at, unsigned};
use super::database::Database;

async fn count_rows(batch: i64, reader: impl SqliteExecutor<'_>) -> Result<Counts> {
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
    Ok(Counts {
        total: jobs(0)?,
        pending: jobs(1)?,
        running: jobs(2)?,
        done: jobs(3)?,
        failed: jobs(4)?,
    })
}

pub(crate) async fn find_batch(database: &Database, name: &str) -> Result<Option<StoredBatch>> {
    let row = sqlx::query(
        "SELECT id, name, recipe, columns, source, stamp, simulated, deadline
         FROM batches WHERE name = ?1",
    )
    .bind(name)
    .fetch_optional(&mut *database.writer.lock().await)
    .await?;
    row.map(|row| stored_batch(&row)).transpose()
}

pub(crate) async fn batch(database: &Database, name: &str) -> Result<StoredBatch> {
    if let Some(batch) = find_batch(database, name).await? {
        return Ok(batch);
    }
    let names: Vec<String> = batches(database)
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

pub(crate) async fn batches(database: &Database) -> Result<Vec<StoredBatch>> {
    sqlx::query(
        "SELECT id, name, recipe, columns, source, stamp, simulated, deadline
         FROM batches ORDER BY id",
    )
    .fetch_all(&mut *database.writer.lock().await)
    .await?
    .iter()
    .map(stored_batch)
    .collect()
}

pub(crate) async fn set_deadline(
    database: &Database,
    batch: i64,
    deadline: Option<Timestamp>,
) -> Result<()> {
    sqlx::query("UPDATE batches SET deadline = ?2 WHERE id = ?1")
        .bind(batch)
        .bind(deadline.map(Timestamp::as_millis))
        .execute(&mut *database.writer.lock().await)
        .await?;
    Ok(())
}

pub(crate) async fn counts(database: &Database, batch: i64) -> Result<Counts> {
    count_rows(batch, &database.readers).await
}

pub(crate) async fn statuses(database: &Database) -> Result<Vec<BatchStatus>> {
    read_statuses(&mut *database.readers.acquire().await?).await
}

/// Reads the row counts of all batches, oldest first.
pub(super) async fn read_statuses(connection: &mut SqliteConnection) -> Result<Vec<BatchStatus>> {
    let batches: Vec<(i64, String)> = sqlx::query_as("SELECT id, name FROM batches ORDER BY id")
        .fetch_all(&mut *connection)
        .await?;
    let mut statuses = Vec::with_capacity(batches.len());
    for (id, name) in batches {
        let counts = count_rows(id, &mut *connection).await?;
        statuses.push(BatchStatus { name, counts });
    }
    Ok(statuses)
}

fn stored_batch(row: &SqliteRow) -> Result<StoredBatch> {
    Ok(StoredBatch {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        template: serde_json::from_str(row.try_get(2)?)?,
        columns: serde_json::from_str(row.try_get(3)?)?,
        source: row.try_get(4)?,
        stamp: row.try_get(5)?,
        simulated: row.try_get(6)?,
        deadline: time_at(row, 7)?,
    })
}
