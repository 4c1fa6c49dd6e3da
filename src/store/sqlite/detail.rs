//! Reading individual rows with their request, attempts and response, and listing failed rows.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;
use crate::store::error::Result;
use crate::store::row::{AttemptDetail, FailedRow, RowDetail, RowFilter};

use super::columns::{completion_at, count_at, scope, state, status_at, unsigned, unsigned_32};
use super::database::Database;
use super::row_filter::json_list;

pub(crate) async fn row_detail(database: &Database, job: JobId) -> Result<Option<RowDetail>> {
    let row = sqlx::query(
        "SELECT j.position, r.key, j.state, j.requests, j.spent, j.not_before, r.request,
                x.body, x.model, x.finish_reason, x.prompt_tokens, x.completion_tokens,
                x.latency_ms, x.key_label, x.ended_at, x.request_id
         FROM jobs AS j
         JOIN rows AS r ON r.job_id = j.id
         LEFT JOIN results AS x ON x.job_id = j.id
         WHERE j.id = ?1",
    )
    .bind(job.0)
    .fetch_optional(&database.readers)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let attempts = sqlx::query(
        "SELECT a.ended_at, a.key_label, a.outcome, a.scope, a.rule, a.status, a.message,
                a.request_id, a.latency_ms, a.claim_no <= j.history_from
         FROM attempts AS a JOIN jobs AS j ON j.id = a.job_id
         WHERE a.job_id = ?1 ORDER BY a.id",
    )
    .bind(job.0)
    .fetch_all(&database.readers)
    .await?;
    let attempts = attempts.iter().map(attempt).collect::<Result<_, _>>()?;
    Ok(Some(detail(&row, attempts)?))
}

pub(crate) async fn failed_rows(
    database: &Database,
    batch: i64,
    filter: &RowFilter,
    after: u64,
    limit: u32,
) -> Result<Vec<FailedRow>> {
    let (rules, scopes) = (json_list(&filter.rules)?, json_list(&filter.scopes)?);
    sqlx::query(
        "SELECT j.position, r.key, last.scope, last.rule, last.message, j.requests
         FROM jobs AS j
         JOIN rows AS r ON r.job_id = j.id
         LEFT JOIN attempts AS last
           ON last.id = (SELECT max(a.id) FROM attempts AS a WHERE a.job_id = j.id)
         WHERE j.batch_id = ?1 AND j.state = 3 AND j.position >= ?2
           AND (?3 IS NULL OR last.rule IN (SELECT value FROM json_each(?3)))
           AND (?4 IS NULL OR last.scope IN (SELECT value FROM json_each(?4)))
         ORDER BY j.position LIMIT ?5",
    )
    .bind(batch)
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(rules)
    .bind(scopes)
    .bind(limit)
    .fetch_all(&database.readers)
    .await?
    .iter()
    .map(failed_row)
    .collect()
}

fn detail(row: &SqliteRow, attempts: Vec<AttemptDetail>) -> Result<RowDetail> {
    let completion = completion_at(row, 7, 15)?.map(|completion| {
        let ended_at = Timestamp::from_millis(row.try_get(14)?);
        Ok::<_, sqlx::Error>((completion, row.try_get(13)?, ended_at))
    });
    Ok(RowDetail {
        row: row_number(row.try_get(0)?),
        key: row.try_get(1)?,
        state: state(row.try_get(2)?),
        requests: unsigned_32(row.try_get(3)?),
        spent: unsigned_32(row.try_get(4)?),
        not_before: Timestamp::from_millis(row.try_get(5)?),
        request: row.try_get(6)?,
        attempts,
        completion: completion.transpose()?,
    })
}

/// Returns the row number, which starts at 1, of a position, which starts at 0.
fn row_number(position: Option<i64>) -> u64 {
    position.map_or(0, |position| unsigned(position) + 1)
}

fn attempt(row: &SqliteRow) -> Result<AttemptDetail> {
    Ok(AttemptDetail {
        ended_at: Timestamp::from_millis(row.try_get(0)?),
        key_label: row.try_get(1)?,
        unknown: row.try_get::<&str, _>(2)? == "unknown",
        scope: scope(row.try_get(3)?)?,
        rule: row.try_get(4)?,
        status: status_at(row, 5)?,
        message: row.try_get(6)?,
        request_id: row.try_get(7)?,
        latency_ms: count_at(row, 8)?,
        is_past: row.try_get(9)?,
    })
}

fn failed_row(row: &SqliteRow) -> Result<FailedRow> {
    let text = |at: usize| row.try_get::<Option<String>, _>(at);
    Ok(FailedRow {
        row: row_number(row.try_get(0)?),
        key: row.try_get(1)?,
        scope: text(2)?.map(scope).transpose()?,
        rule: text(3)?.unwrap_or_default(),
        message: text(4)?.unwrap_or_default(),
        requests: unsigned_32(row.try_get(5)?),
    })
}
