//! Read-only previews of an import and of a run, for `estimate`.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::JobId;
use crate::store::batch::{CompletionAverages, ImportPreview};
use crate::store::error::Result;

use super::columns::{count_at, unsigned};
use super::database::Database;

/// The number of recent completions that are averaged.
const SAMPLE_SIZE: i64 = 1_000;

pub(crate) async fn preview_import(
    database: &Database,
    batch: i64,
    rows: &[(&str, &str)],
) -> Result<(ImportPreview, Vec<bool>)> {
    let found = sqlx::query(
        "SELECT j.state, v.value ->> 1 = r.digest
         FROM json_each(?2) AS v
         LEFT JOIN rows AS r ON r.batch_id = ?1 AND r.key = v.value ->> 0
         LEFT JOIN jobs AS j ON j.id = r.job_id
         ORDER BY v.key",
    )
    .bind(batch)
    .bind(serde_json::to_string(rows)?)
    .fetch_all(&database.readers)
    .await?;
    let mut preview = ImportPreview::default();
    let mut is_sent = |row: &SqliteRow| {
        let same = row.try_get::<Option<bool>, _>(1)?.unwrap_or(false);
        Ok::<_, sqlx::Error>(match row.try_get::<Option<i64>, _>(0)? {
            None => true,
            Some(_) if !same => {
                preview.changed += 1;
                true
            }
            Some(2) => {
                preview.completed += 1;
                false
            }
            Some(3) => {
                preview.failed += 1;
                false
            }
            Some(_) => {
                preview.pending += 1;
                true
            }
        })
    };
    let sent = found.iter().map(&mut is_sent).collect::<Result<_, _>>()?;
    Ok((preview, sent))
}

pub(crate) async fn pending_at(
    database: &Database,
    batch: i64,
    indices: &[u64],
) -> Result<Vec<JobId>> {
    let mut jobs = Vec::with_capacity(indices.len());
    for index in indices {
        let job: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM jobs WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL AND twin_of IS NULL
             ORDER BY position LIMIT 1 OFFSET ?2",
        )
        .bind(batch)
        .bind(i64::try_from(*index).unwrap_or(i64::MAX))
        .fetch_optional(&database.readers)
        .await?;
        jobs.extend(job.map(JobId));
    }
    Ok(jobs)
}

pub(crate) async fn completion_averages(
    database: &Database,
    batch: i64,
) -> Result<CompletionAverages> {
    let row = sqlx::query(
        "SELECT count(*), cast(avg(completion_tokens) AS INTEGER),
                cast(avg(latency_ms) AS INTEGER)
         FROM (SELECT x.completion_tokens, x.latency_ms
               FROM jobs AS j JOIN results AS x ON x.job_id = j.id
               WHERE j.batch_id = ?1 AND j.position IS NOT NULL
               ORDER BY j.position DESC LIMIT ?2)",
    )
    .bind(batch)
    .bind(SAMPLE_SIZE)
    .fetch_one(&database.readers)
    .await?;
    Ok(CompletionAverages {
        completions: unsigned(row.try_get(0)?),
        completion_tokens: count_at(&row, 1)?,
        latency_ms: count_at(&row, 2)?.unwrap_or(0),
    })
}
