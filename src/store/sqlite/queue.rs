//! The queue: claiming, settling and recovering jobs.
//!
//! Settlements and the next claim share a transaction, and therefore a commit. A settlement must
//! have the current `claim_no` of its job; otherwise it is stale and has no effect.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::store::error::Result;

use super::columns::{unsigned, unsigned_32};
use super::database::{Database, begin};
use super::settle::settle;
use crate::store::settlement::{Claim, ClaimResult, ClaimedJob, QueueUpdate, Settlement};

/// Number of consecutive crashes with a job in flight after which the job is considered their
/// cause, if no other job was in flight at the last crash.
const MAX_CRASHES: i64 = 5;

/// Maximum size of a request that is read together with others, in bytes. Larger requests are read
/// individually, so that the combined result stays small.
const MAX_PACKED_REQUEST: usize = 64 * 1024;

pub(crate) async fn settle_and_claim(
    database: &Database,
    settlements: &[Settlement],
    claims: &[Claim],
    now: Timestamp,
) -> Result<QueueUpdate> {
    database.check_path()?;
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let settled = settle(&mut transaction, settlements, now).await?;
    let mut results = Vec::with_capacity(claims.len());
    for claim in claims {
        let allowed = database.allowed_jobs(claim.batch);
        results.push(execute_claim(&mut transaction, *claim, allowed.as_deref(), now).await?);
    }
    failpoint::hit("turn-commit")?;
    transaction.commit().await?;
    failpoint::hit("turn-done")?;
    Ok(QueueUpdate {
        claims: results,
        stale: settlements.len() as u64 - settled,
    })
}

pub(crate) async fn data_version(database: &Database) -> Result<i64> {
    let mut writer = database.writer.lock().await;
    Ok(sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut *writer)
        .await?)
}

pub(crate) async fn has_suspects(database: &Database, batch: i64) -> Result<bool> {
    if database.allowed_jobs(batch).is_some() {
        return Ok(false);
    }
    let mut writer = database.writer.lock().await;
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM jobs
                        WHERE batch_id = ?1 AND state = 0 AND crashes >= 2
                          AND position IS NOT NULL)",
    )
    .bind(batch)
    .fetch_one(&mut *writer)
    .await?)
}

pub(crate) async fn claim_suspect(database: &Database, batch: i64) -> Result<Option<ClaimedJob>> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let ids: String = sqlx::query_scalar(
        "SELECT json_group_array(id) FROM (
             SELECT id FROM jobs
             WHERE batch_id = ?1 AND state = 0 AND crashes >= 2 AND position IS NOT NULL
             ORDER BY id LIMIT 1)",
    )
    .bind(batch)
    .fetch_one(&mut *transaction)
    .await?;
    let claimed = claim_by_id(&mut transaction, &ids).await?.pop();
    transaction.commit().await?;
    Ok(claimed)
}

pub(crate) async fn claimable(database: &Database, batch: i64) -> Result<u64> {
    let allowed = database.allowed_jobs(batch);
    let count = match allowed.as_deref() {
        None => sqlx::query_scalar(
            "SELECT count(*) FROM jobs
             WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL AND twin_of IS NULL",
        )
        .bind(batch),
        Some(allowed) => sqlx::query_scalar(
            "SELECT count(*) FROM jobs
             WHERE id IN (SELECT value FROM json_each(?2)) AND batch_id = ?1 AND state = 0
               AND position IS NOT NULL",
        )
        .bind(batch)
        .bind(allowed),
    };
    Ok(unsigned(count.fetch_one(&database.readers).await?))
}

pub(crate) async fn recover(database: &Database, now: Timestamp) -> Result<u64> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let unknown = sqlx::query(
        "INSERT INTO attempts (job_id, claim_no, outcome, scope, rule, message, request_id,
                               key_label, ended_at)
         SELECT id, claim_no, 'unknown', 'transient',
                CASE WHEN crashes + 1 >= ?2 AND alone THEN 'crash-loop'
                     ELSE 'crashed-in-flight' END,
                'the program ended while this request was in flight', '', '', ?1
         FROM jobs, (SELECT count(*) = 1 AS alone FROM jobs WHERE state = 1)
         WHERE state = 1",
    )
    .bind(now.as_millis())
    .bind(MAX_CRASHES)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if unknown > 0 {
        sqlx::query(
            "UPDATE jobs SET state = iif(crashes + 1 >= ?1 AND ?2 = 1, 3, 0), crashes = crashes + 1,
                             requests = requests + 1, not_before = 0
             WHERE state = 1",
        )
        .bind(MAX_CRASHES)
        .bind(i64::try_from(unknown).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
    }
    failpoint::hit("rescue-commit")?;
    transaction.commit().await?;
    Ok(unknown)
}

/// Claims jobs, and returns when the next one is due.
async fn execute_claim(
    connection: &mut SqliteConnection,
    claim: Claim,
    allowed: Option<&str>,
    now: Timestamp,
) -> Result<ClaimResult> {
    let jobs = match claim.limit {
        0 => Vec::new(),
        _ => claim_due(connection, claim, allowed, now).await?,
    };
    let next_due = next_due(connection, claim.batch, allowed).await?;
    Ok(ClaimResult { jobs, next_due })
}

/// Claims retries that are due, then jobs that were never sent, in input order; or those of the
/// allowed jobs that are due, in the order of the list.
async fn claim_due(
    connection: &mut SqliteConnection,
    claim: Claim,
    allowed: Option<&str>,
    now: Timestamp,
) -> Result<Vec<ClaimedJob>> {
    let sql = match allowed {
        None => {
            "SELECT json_group_array(id) FROM (
                 SELECT id FROM (SELECT id FROM jobs
                                 WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
                                   AND twin_of IS NULL AND not_before > 0 AND not_before <= ?2
                                 ORDER BY not_before, id LIMIT ?3)
                 UNION ALL
                 SELECT id FROM (SELECT id FROM jobs
                                 WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
                                   AND twin_of IS NULL AND not_before = 0
                                 ORDER BY id LIMIT ?3)
                 LIMIT ?3)"
        }
        Some(_) => {
            "SELECT json_group_array(id) FROM (
                 SELECT j.id FROM json_each(?4) AS v CROSS JOIN jobs AS j ON j.id = v.value
                 WHERE j.batch_id = ?1 AND j.state = 0 AND j.position IS NOT NULL
                   AND j.not_before <= ?2
                 LIMIT ?3)"
        }
    };
    let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
    let query = sqlx::query_scalar(sql)
        .bind(claim.batch)
        .bind(now.as_millis())
        .bind(limit);
    let query = match allowed {
        None => query,
        Some(allowed) => query.bind(allowed),
    };
    let ids: String = query.fetch_one(&mut *connection).await?;
    claim_by_id(connection, &ids).await
}

/// Claims jobs by ID, given as a JSON array. The transaction holds the write lock, so their state
/// has not changed since they were selected.
async fn claim_by_id(connection: &mut SqliteConnection, ids: &str) -> Result<Vec<ClaimedJob>> {
    if ids == "[]" {
        return Ok(Vec::new());
    }
    sqlx::query(
        "UPDATE jobs SET state = 1, claim_no = claim_no + 1
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(ids)
    .execute(&mut *connection)
    .await?;
    read_claimed(connection, ids).await
}

/// Reads claimed jobs in input order. The statement returns a single row, because one row per job
/// would take more time than reading the data.
async fn read_claimed(connection: &mut SqliteConnection, ids: &str) -> Result<Vec<ClaimedJob>> {
    let read = sqlx::query(
        "SELECT json_group_array(json_array(
                    j.id, j.claim_no, j.spent, octet_length(r.request),
                    json(CASE WHEN j.claim_no > j.history_from + 1 THEN (
                        SELECT json_group_array(a.rule ORDER BY a.id) FROM attempts AS a
                        WHERE a.job_id = j.id AND a.claim_no > j.history_from
                    ) ELSE '[]' END))),
                group_concat(CASE WHEN octet_length(r.request) <= ?2 THEN r.request ELSE '' END, '')
         FROM jsonb_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value
         CROSS JOIN rows AS r ON r.job_id = j.id",
    )
    .bind(ids)
    .bind(i64::try_from(MAX_PACKED_REQUEST).unwrap_or(i64::MAX))
    .fetch_one(&mut *connection)
    .await?;
    let claims: Vec<(i64, i64, i64, usize, Vec<String>)> = serde_json::from_str(read.try_get(0)?)?;
    let mut requests: &str = read.try_get::<Option<&str>, _>(1)?.unwrap_or_default();
    let mut jobs = Vec::with_capacity(claims.len());
    for (id, claim_no, spent, bytes, rules) in claims {
        let request = if bytes <= MAX_PACKED_REQUEST {
            let request;
            (request, requests) = requests.split_at(bytes);
            request.to_owned()
        } else {
            sqlx::query_scalar("SELECT request FROM rows WHERE job_id = ?1")
                .bind(id)
                .fetch_one(&mut *connection)
                .await?
        };
        jobs.push(ClaimedJob {
            id: JobId(id),
            claim_no,
            spent: unsigned_32(spent),
            request,
            rules,
        });
    }
    jobs.sort_unstable_by_key(|job| job.id);
    Ok(jobs)
}

async fn next_due(
    connection: &mut SqliteConnection,
    batch: i64,
    allowed: Option<&str>,
) -> Result<Option<Timestamp>> {
    let query = match allowed {
        None => sqlx::query_scalar(
            "SELECT min(not_before) FROM jobs
             WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL AND twin_of IS NULL",
        )
        .bind(batch),
        Some(allowed) => sqlx::query_scalar(
            "SELECT min(j.not_before) FROM json_each(?2) AS v CROSS JOIN jobs AS j ON j.id = v.value
             WHERE j.batch_id = ?1 AND j.state = 0 AND j.position IS NOT NULL",
        )
        .bind(batch)
        .bind(allowed),
    };
    let due: Option<i64> = query.fetch_one(connection).await?;
    Ok(due.map(Timestamp::from_millis))
}
