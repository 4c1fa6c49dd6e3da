//! Reopening failed rows and canceling pending ones, selected by rule, by scope, or individually.

use sqlx::Row;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CANCELLED;
use crate::store::error::{Result, StoreError};
use crate::store::row::{CancelReport, RowFilter};

use super::columns::unsigned;
use super::database::{Database, begin};

pub(crate) async fn reopen(database: &Database, batch: i64, filter: &RowFilter) -> Result<u64> {
    let (rules, scopes, jobs) = (
        json_list(&filter.rules)?,
        json_list(&filter.scopes)?,
        filter
            .jobs
            .as_ref()
            .map(serde_json::to_string)
            .transpose()?,
    );
    let limit = filter
        .limit
        .map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let mut writer = database.writer.lock().await;
    let reopened = sqlx::query(
        "UPDATE jobs SET state = 0, not_before = 0, spent = 0, crashes = 0,
                         history_from = claim_no
         WHERE id IN (
             SELECT j.id FROM jobs AS j
             LEFT JOIN attempts AS last
               ON last.id = (SELECT max(a.id) FROM attempts AS a WHERE a.job_id = j.id)
             WHERE j.batch_id = ?1 AND j.state = 3 AND j.position IS NOT NULL
               AND (?2 IS NULL OR last.rule IN (SELECT value FROM json_each(?2)))
               AND (?3 IS NULL OR last.scope IN (SELECT value FROM json_each(?3)))
               AND (?4 IS NULL OR j.id IN (SELECT value FROM json_each(?4)))
             ORDER BY j.position LIMIT ?5)",
    )
    .bind(batch)
    .bind(rules)
    .bind(scopes)
    .bind(jobs)
    .bind(limit)
    .execute(&mut *writer)
    .await?;
    Ok(reopened.rows_affected())
}

pub(crate) async fn cancel(
    database: &Database,
    batch: i64,
    jobs: Option<&[JobId]>,
    now: Timestamp,
) -> Result<CancelReport> {
    let jobs = jobs.map(serde_json::to_string).transpose()?;
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let counts = sqlx::query(
        "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state >= 2)
         FROM jobs
         WHERE batch_id = ?1 AND position IS NOT NULL
           AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
    )
    .bind(batch)
    .bind(&jobs)
    .fetch_one(&mut *transaction)
    .await?;
    let canceled = sqlx::query(
        "INSERT INTO attempts (job_id, claim_no, outcome, scope, rule, message, request_id,
                               key_label, ended_at)
         SELECT id, claim_no + 1, 'failed', 'request', ?3, 'this row was canceled', '', '', ?4
         FROM jobs
         WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
           AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
    )
    .bind(batch)
    .bind(&jobs)
    .bind(CANCELLED.0)
    .bind(now.as_millis())
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    sqlx::query(
        "UPDATE jobs SET state = 3, claim_no = claim_no + 1, not_before = 0
         WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
           AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
    )
    .bind(batch)
    .bind(&jobs)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(CancelReport {
        canceled,
        running: unsigned(counts.try_get(0)?),
        settled: unsigned(counts.try_get(1)?),
    })
}

pub(crate) async fn find_rows(
    database: &Database,
    batch: i64,
    names: &[String],
) -> Result<Vec<Option<JobId>>> {
    let candidates: Vec<_> = names
        .iter()
        .map(|name| (name, number(name).map(|number| number - 1)))
        .collect();
    let found: Vec<Option<i64>> = sqlx::query_scalar(
        "SELECT coalesce(
             (SELECT j.id FROM rows AS r JOIN jobs AS j ON j.id = r.job_id
              WHERE r.batch_id = ?1 AND r.key = v.value ->> 0 AND j.position IS NOT NULL),
             (SELECT j.id FROM jobs AS j
              WHERE j.batch_id = ?1 AND j.position = v.value ->> 1))
         FROM json_each(?2) AS v ORDER BY v.key",
    )
    .bind(batch)
    .bind(serde_json::to_string(&candidates)?)
    .fetch_all(&database.readers)
    .await?;
    Ok(found.into_iter().map(|id| id.map(JobId)).collect())
}

/// Serializes a list of alternatives as JSON; `None` if it is empty and does not restrict the
/// selection.
pub(super) fn json_list<T: serde::Serialize>(alternatives: &[T]) -> Result<Option<String>> {
    (!alternatives.is_empty())
        .then(|| serde_json::to_string(alternatives))
        .transpose()
        .map_err(StoreError::from)
}

/// Parses a row number, starting at 1.
fn number(name: &str) -> Option<i64> {
    let digits = name.strip_prefix('#').unwrap_or(name);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| digits.parse().ok())?
        .filter(|number| *number > 0)
}
