//! The statements of a sync. Each one processes many rows.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::domain::job::NewRow;
use crate::store::error::Result;

use super::super::text_blob::TextBlob;

/// A row that the batch already has.
pub(super) struct ExistingRow {
    pub(super) job: i64,
    /// Its previous position; `None` if it was withdrawn.
    pub(super) position: Option<i64>,
    pub(super) same_request: bool,
    pub(super) same_cells: bool,
}

/// Finds the rows that the batch already has, in the order of `rows`, with their index in it.
pub(super) async fn look_up(
    connection: &mut SqliteConnection,
    batch: i64,
    rows: &[NewRow],
) -> Result<Vec<(usize, ExistingRow)>> {
    let mut texts = TextBlob::default();
    let keys = rows.iter();
    let keys: Vec<_> = keys
        .map(|row| (&row.key, &row.digest, texts.add(&row.cells)))
        .collect();
    let found = sqlx::query(
        "SELECT v.key, r.job_id, j.position, r.digest = v.value ->> 1,
                r.cells = CAST(substr(?3, v.value ->> '$[2][0]', v.value ->> '$[2][1]') AS TEXT)
         FROM jsonb_each(?1) AS v
         CROSS JOIN rows AS r ON r.batch_id = ?2 AND r.key = v.value ->> 0
         CROSS JOIN jobs AS j ON j.id = r.job_id
         ORDER BY v.key",
    )
    .bind(serde_json::to_string(&keys)?)
    .bind(batch)
    .bind(texts.into_blob())
    .fetch_all(&mut *connection)
    .await?;
    found
        .iter()
        .map(|row| {
            let index = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
            let existing = ExistingRow {
                job: row.try_get(1)?,
                position: row.try_get(2)?,
                same_request: row.try_get(3)?,
                same_cells: row.try_get(4)?,
            };
            Ok((index, existing))
        })
        .collect()
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    batch: i64,
    new: &[(i64, i64, &NewRow)],
) -> Result<()> {
    let jobs: Vec<_> = new
        .iter()
        .map(|(job, position, _)| (job, position))
        .collect();
    sqlx::query(
        "INSERT INTO jobs (id, batch_id, position)
         SELECT v.value ->> 0, ?2, v.value ->> 1 FROM jsonb_each(?1) AS v",
    )
    .bind(serde_json::to_string(&jobs)?)
    .bind(batch)
    .execute(&mut *connection)
    .await?;
    let mut texts = TextBlob::default();
    let rows = new.iter();
    let rows: Vec<_> = rows
        .map(|(job, _, row)| {
            let (cells, request) = (texts.add(&row.cells), texts.add(&row.request));
            let (key, digest) = (&row.key, &row.digest);
            (job, key, digest, cells.0, cells.1, request.0, request.1)
        })
        .collect();
    sqlx::query(
        "INSERT INTO rows (job_id, batch_id, key, cells, request, digest)
         SELECT v.value ->> 0, ?2, v.value ->> 1,
                CAST(substr(?3, v.value ->> 3, v.value ->> 4) AS TEXT),
                CAST(substr(?3, v.value ->> 5, v.value ->> 6) AS TEXT), v.value ->> 2
         FROM jsonb_each(?1) AS v",
    )
    .bind(serde_json::to_string(&rows)?)
    .bind(batch)
    .bind(texts.into_blob())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

pub(super) async fn update_rows(
    connection: &mut SqliteConnection,
    updated: &[(i64, &NewRow)],
) -> Result<()> {
    let mut texts = TextBlob::default();
    let rows = updated.iter();
    let rows: Vec<_> = rows
        .map(|(job, row)| {
            let (cells, request) = (texts.add(&row.cells), texts.add(&row.request));
            (job, &row.digest, cells.0, cells.1, request.0, request.1)
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE rows SET cells = CAST(substr(?2, v.value ->> 2, v.value ->> 3) AS TEXT),
                         request = CAST(substr(?2, v.value ->> 4, v.value ->> 5) AS TEXT),
                         digest = v.value ->> 1
         FROM jsonb_each(?1) AS v WHERE rows.job_id = v.value ->> 0",
    )
    .bind(serde_json::to_string(&rows)?)
    .bind(texts.into_blob())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Makes jobs pending again as if they were new. The increased `claim_no` invalidates a
/// response to the old request that may be in flight.
pub(super) async fn reopen(connection: &mut SqliteConnection, jobs: &[i64]) -> Result<()> {
    execute_with(
        connection,
        "DELETE FROM results WHERE job_id IN (SELECT value FROM json_each(?1))",
        jobs,
    )
    .await?;
    execute_with(
        connection,
        "UPDATE jobs SET state = 0, not_before = 0, requests = 0, spent = 0, crashes = 0,
                         claim_no = claim_no + 1, history_from = claim_no + 1
         WHERE id IN (SELECT value FROM json_each(?1))",
        jobs,
    )
    .await
}

pub(super) async fn execute_with<T: Serialize>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    parameters: &[T],
) -> Result<()> {
    if !parameters.is_empty() {
        let parameters = serde_json::to_string(parameters)?;
        sqlx::query(sql)
            .bind(parameters)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
