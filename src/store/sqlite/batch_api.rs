//! Reading rows for files in the format of the Batch API: results by row key, and requests that
//! have no response yet.

use serde::Deserialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::{JobId, RecordedFailure, RequestOutcome};
use crate::store::error::Result;
use crate::store::row::{IncompleteRequest, Page};

use super::columns::{completion_at, read_page};
use super::database::Database;

/// A failure as returned by the statement: rule, message, status and request ID.
#[derive(Deserialize)]
struct FailureColumns(String, String, Option<u16>, String);

pub(crate) async fn request_outcomes(
    database: &Database,
    batch: i64,
    after: Option<i64>,
    limit: u32,
) -> Result<Page<RequestOutcome>> {
    let sql = "SELECT j.position, j.id, r.key, j.state = 3, x.body, x.model, x.finish_reason,
                x.prompt_tokens, x.completion_tokens, x.latency_ms, x.request_id,
                CASE WHEN j.state <> 2 AND j.claim_no > j.history_from THEN (
                    SELECT json_array(a.rule, a.message, a.status, a.request_id)
                    FROM attempts AS a
                    WHERE a.job_id = j.id AND a.claim_no > j.history_from
                    ORDER BY a.id DESC LIMIT 1
                ) END
         FROM jobs AS j
         JOIN rows AS r ON r.job_id = j.id
         LEFT JOIN results AS x ON x.job_id = j.id
         WHERE j.batch_id = ?1 AND j.position > ?2
         ORDER BY j.position LIMIT ?3";
    read_page(database, sql, (batch, after, limit), request_outcome).await
}

pub(crate) async fn incomplete_requests(
    database: &Database,
    batch: i64,
    after: Option<i64>,
    limit: u32,
) -> Result<Page<IncompleteRequest>> {
    let sql = "SELECT j.position, r.key, r.request
         FROM jobs AS j
         JOIN rows AS r ON r.job_id = j.id
         WHERE j.batch_id = ?1 AND j.position > ?2 AND j.state <> 2
         ORDER BY j.position LIMIT ?3";
    read_page(database, sql, (batch, after, limit), |row| {
        Ok(IncompleteRequest {
            key: row.try_get(1)?,
            request: row.try_get(2)?,
        })
    })
    .await
}

fn request_outcome(row: &SqliteRow) -> Result<RequestOutcome> {
    let completion = completion_at(row, 4, 10)?;
    let failure: Option<&str> = row.try_get(11)?;
    let failure = failure.map(serde_json::from_str).transpose()?;
    Ok(RequestOutcome {
        id: JobId(row.try_get(1)?),
        key: row.try_get(2)?,
        completion,
        failed: row.try_get(3)?,
        failure: failure.map(
            |FailureColumns(rule, message, status, request_id)| RecordedFailure {
                rule,
                message,
                status,
                request_id,
            },
        ),
    })
}
