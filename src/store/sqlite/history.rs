//! Reading the history of a batch page by page, so that memory usage does not depend on its size.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::history::{CompletedRequest, FailedRequest};
use crate::domain::time::Timestamp;
use crate::store::error::Result;
use crate::store::row::Page;

use super::columns::{count_at, read_page, scope, status_at, unsigned};
use super::database::Database;

pub(crate) async fn completed_requests(
    database: &Database,
    batch: i64,
    after: Option<i64>,
    limit: u32,
) -> Result<Page<CompletedRequest>> {
    let sql = "SELECT j.position, x.model, x.finish_reason, x.prompt_tokens, x.completion_tokens,
                x.latency_ms, x.key_label, x.ended_at
         FROM jobs AS j JOIN results AS x ON x.job_id = j.id
         WHERE j.batch_id = ?1 AND j.position > ?2
         ORDER BY j.position LIMIT ?3";
    read_page(database, sql, (batch, after, limit), completed).await
}

pub(crate) async fn failed_requests(
    database: &Database,
    batch: i64,
    after: Option<i64>,
    limit: u32,
) -> Result<Page<FailedRequest>> {
    let sql =
        "SELECT page.position, a.scope, a.outcome = 'unknown', a.status, a.wait_ms, a.key_label,
                a.ended_at,
                page.state = 3 AND a.claim_no > page.history_from AND a.id = (
                    SELECT max(b.id) FROM attempts AS b WHERE b.job_id = page.id
                )
         FROM (SELECT j.id, j.position, j.state, j.history_from FROM jobs AS j
               WHERE j.batch_id = ?1 AND j.position > ?2
                 AND EXISTS (SELECT 1 FROM attempts AS e WHERE e.job_id = j.id)
               ORDER BY j.position LIMIT ?3) AS page
         CROSS JOIN attempts AS a ON a.job_id = page.id";
    read_page(database, sql, (batch, after, limit), failed).await
}

pub(crate) async fn requests_made(database: &Database, batch: i64) -> Result<u64> {
    let sum: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(requests), 0) FROM jobs
         WHERE batch_id = ?1 AND position IS NOT NULL",
    )
    .bind(batch)
    .fetch_one(&database.readers)
    .await?;
    Ok(unsigned(sum))
}

fn completed(row: &SqliteRow) -> Result<CompletedRequest> {
    Ok(CompletedRequest {
        model: row.try_get(1)?,
        finish_reason: row.try_get(2)?,
        prompt_tokens: count_at(row, 3)?,
        completion_tokens: count_at(row, 4)?,
        latency_ms: unsigned(row.try_get(5)?),
        key_label: row.try_get(6)?,
        ended_at: Timestamp::from_millis(row.try_get(7)?),
    })
}

fn failed(row: &SqliteRow) -> Result<FailedRequest> {
    Ok(FailedRequest {
        scope: scope(row.try_get(1)?)?,
        unknown: row.try_get(2)?,
        status: status_at(row, 3)?,
        wait_ms: count_at(row, 4)?,
        key_label: row.try_get(5)?,
        ended_at: Timestamp::from_millis(row.try_get(6)?),
        is_final: row.try_get(7)?,
    })
}
