//! Reading rows for exports and summaries, also during a run. Read transactions are short, because
//! an open one prevents checkpoints of the WAL.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::{ExportRow, RowData};
use crate::domain::run_stats::Cause;
use crate::domain::verdict;
use crate::store::error::Result;
use crate::store::row::Page;

use super::columns::{completion_at, read_page, scope, state, unsigned, unsigned_32};
use super::database::Database;

pub(crate) async fn page(
    database: &Database,
    batch: i64,
    after: Option<i64>,
    limit: u32,
) -> Result<Page<ExportRow>> {
    let sql = "SELECT j.position, j.state, j.requests, r.cells, x.body, x.model, x.finish_reason,
                x.prompt_tokens, x.completion_tokens, x.latency_ms,
                CASE WHEN j.state <> 2 AND j.claim_no > j.history_from THEN (
                    SELECT a.scope || ': ' || a.message || ' (' || a.rule || ')'
                    FROM attempts AS a
                    WHERE a.job_id = j.id AND a.claim_no > j.history_from
                    ORDER BY a.id DESC LIMIT 1
                ) END,
                x.request_id
         FROM jobs AS j
         JOIN rows AS r ON r.job_id = j.id
         LEFT JOIN results AS x ON x.job_id = j.id
         WHERE j.batch_id = ?1 AND j.position > ?2
         ORDER BY j.position LIMIT ?3";
    read_page(database, sql, (batch, after, limit), export_row).await
}

pub(crate) async fn failed_causes(
    database: &Database,
    batch: i64,
    limit: u32,
) -> Result<Vec<Cause>> {
    let sql = "SELECT last.scope, last.rule, last.message, count(*) AS jobs, max(last.id)
         FROM jobs AS j
         JOIN attempts AS last
           ON last.id = (SELECT max(a.id) FROM attempts AS a WHERE a.job_id = j.id)
         WHERE j.batch_id = ?1 AND j.position IS NOT NULL AND j.state = 3
         GROUP BY last.scope, last.rule ORDER BY jobs DESC, last.rule LIMIT ?2";
    read_causes(database, sql, batch, limit).await
}

pub(crate) async fn causes(database: &Database, batch: i64, limit: u32) -> Result<Vec<Cause>> {
    let sql = "SELECT last.scope, last.rule, last.message, count(*) AS jobs, max(last.id)
         FROM jobs AS j
         JOIN attempts AS last
           ON last.id = (SELECT max(a.id) FROM attempts AS a WHERE a.job_id = j.id)
         WHERE j.batch_id = ?1 AND j.position IS NOT NULL AND last.claim_no > j.history_from
           AND (j.state = 3 OR (j.state = 0 AND last.outcome = 'failed'))
         GROUP BY last.scope, last.rule ORDER BY jobs DESC, last.rule LIMIT ?2";
    read_causes(database, sql, batch, limit).await
}

fn export_row(row: &SqliteRow) -> Result<ExportRow> {
    let completion = completion_at(row, 4, 11)?;
    Ok(ExportRow {
        input: cells(row.try_get(3)?)?,
        state: state(row.try_get(1)?),
        attempts: unsigned_32(row.try_get(2)?),
        completion,
        error: row.try_get(10)?,
    })
}

fn cells(stored: &str) -> Result<RowData> {
    Ok(if stored.starts_with('{') {
        RowData::Object(stored.to_owned())
    } else {
        RowData::Cells(serde_json::from_str(stored)?)
    })
}

async fn read_causes(
    database: &Database,
    sql: &'static str,
    batch: i64,
    limit: u32,
) -> Result<Vec<Cause>> {
    let rows = sqlx::query(sql).bind(batch).bind(limit);
    rows.fetch_all(&database.readers)
        .await?
        .iter()
        .map(cause)
        .collect()
}

fn cause(row: &SqliteRow) -> Result<Cause> {
    let rule: String = row.try_get(1)?;
    Ok(Cause {
        scope: scope(row.try_get(0)?)?,
        message: row.try_get(2)?,
        hint: verdict::hint_of(&rule).to_owned(),
        rule,
        jobs: unsigned(row.try_get(3)?),
    })
}
