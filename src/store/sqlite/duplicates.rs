//! Rows with identical requests: one of them (the leader) is sent, and the others (the duplicates)
//! receive copies of its result.
//!
//! Duplicates are parked until the end of the run. If the program dies before that, the next run
//! first copies the results.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::domain::time::Timestamp;
use crate::domain::verdict::CANCELLED;
use crate::failpoint;
use crate::store::error::Result;

use super::columns::unsigned;
use super::database::{Database, begin};

/// Maximum number of duplicates per transaction.
const GROUP_SIZE: i64 = 5_000;

/// Stored as the API key label of copies. Copies have no token counts, because the tokens are
/// counted for the leader.
const KEY_LABEL: &str = "copied";

pub(crate) async fn park_duplicates(database: &Database, batch: i64, any: bool) -> Result<u64> {
    let mut writer = database.writer.lock().await;
    sqlx::query("CREATE INDEX IF NOT EXISTS rows_digest ON rows (batch_id, digest)")
        .execute(&mut *writer)
        .await?;
    let mut transaction = begin(&mut writer).await?;
    let parked = sqlx::query(
        "WITH same AS MATERIALIZED (
             SELECT r.digest AS digest,
                    coalesce(min(j.id) FILTER (WHERE j.state = 2), min(j.id)) AS leader
             FROM rows AS r CROSS JOIN jobs AS j ON j.id = r.job_id
             WHERE r.batch_id = ?1 AND j.position IS NOT NULL AND j.state IN (0, 2)
             GROUP BY r.digest HAVING count(*) > 1),
         twin AS MATERIALIZED (
             SELECT r.job_id AS job, same.leader AS leader
             FROM same
             CROSS JOIN rows AS l ON l.job_id = same.leader
             CROSS JOIN rows AS r ON r.batch_id = ?1 AND r.digest = same.digest
             WHERE r.job_id <> same.leader AND (?2 OR l.request ->> '$.temperature' = 0))
         UPDATE jobs SET twin_of = twin.leader FROM twin
         WHERE jobs.id = twin.job AND jobs.state = 0 AND jobs.position IS NOT NULL",
    )
    .bind(batch)
    .bind(any)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    failpoint::hit("park-commit")?;
    transaction.commit().await?;
    Ok(parked)
}

pub(crate) async fn copy_to_duplicates(
    database: &Database,
    batch: i64,
    now: Timestamp,
) -> Result<u64> {
    let mut writer = database.writer.lock().await;
    let (mut after, mut copied) = (0, 0);
    loop {
        let mut transaction = begin(&mut writer).await?;
        let jobs: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM jobs
             WHERE batch_id = ?1 AND twin_of IS NOT NULL AND id > ?2
             ORDER BY id LIMIT ?3",
        )
        .bind(batch)
        .bind(after)
        .bind(GROUP_SIZE)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(last) = jobs.last() else {
            return Ok(copied);
        };
        after = *last;
        copied += copy(&mut transaction, &serde_json::to_string(&jobs)?, now).await?;
        failpoint::hit("copy-commit")?;
        transaction.commit().await?;
    }
}

pub(crate) async fn release_duplicates(database: &Database, batch: i64) -> Result<u64> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let parked = sqlx::query(
        "SELECT count(*) FROM jobs
         WHERE batch_id = ?1 AND twin_of IS NOT NULL AND state = 0 AND position IS NOT NULL",
    )
    .bind(batch)
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE jobs SET twin_of = NULL
         WHERE id IN (SELECT id FROM jobs WHERE batch_id = ?1 AND twin_of IS NOT NULL)",
    )
    .bind(batch)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(unsigned(parked.try_get(0)?))
}

/// Copies responses and failures of leaders, except cancellations, to these jobs.
async fn copy(connection: &mut SqliteConnection, jobs: &str, now: Timestamp) -> Result<u64> {
    let completed = sqlx::query(
        "INSERT INTO results (job_id, body, model, finish_reason, latency_ms, key_label, ended_at,
                              request_id)
         SELECT j.id, x.body, x.model, x.finish_reason, 0, ?2, ?3, x.request_id
         FROM json_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value AND j.state = 0 AND j.twin_of IS NOT NULL
         CROSS JOIN rows AS r ON r.job_id = j.id
         CROSS JOIN rows AS l ON l.job_id = j.twin_of AND l.digest = r.digest
         CROSS JOIN results AS x ON x.job_id = j.twin_of",
    )
    .bind(jobs)
    .bind(KEY_LABEL)
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let failed = sqlx::query(
        "INSERT INTO attempts (job_id, claim_no, outcome, scope, rule, status, message, request_id,
                               key_label, ended_at)
         SELECT j.id, j.claim_no + 1, 'failed', a.scope, a.rule, a.status, a.message, a.request_id,
                ?2, ?3
         FROM json_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value AND j.state = 0 AND j.twin_of IS NOT NULL
         CROSS JOIN jobs AS leader ON leader.id = j.twin_of AND leader.state = 3
         CROSS JOIN rows AS r ON r.job_id = j.id
         CROSS JOIN rows AS l ON l.job_id = j.twin_of AND l.digest = r.digest
         CROSS JOIN attempts AS a
           ON a.id = (SELECT max(id) FROM attempts WHERE job_id = j.twin_of)
         WHERE a.rule <> ?4",
    )
    .bind(jobs)
    .bind(KEY_LABEL)
    .bind(now.as_millis())
    .bind(CANCELLED.0)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    sqlx::query(
        "UPDATE jobs SET state = iif(EXISTS (SELECT 1 FROM results WHERE job_id = jobs.id), 2, 3),
                         claim_no = claim_no + 1, twin_of = NULL
         WHERE id IN (SELECT value FROM json_each(?1)) AND state = 0
           AND (EXISTS (SELECT 1 FROM results WHERE job_id = jobs.id)
                OR EXISTS (SELECT 1 FROM attempts
                           WHERE job_id = jobs.id AND claim_no = jobs.claim_no + 1))",
    )
    .bind(jobs)
    .execute(connection)
    .await?;
    Ok(completed + failed)
}
