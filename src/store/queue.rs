//! The queue: jobs are claimed, settled, released and rescued.
//!
//! A turn of the queue is one transaction that settles what has come back and claims what is to be
//! sent next, so that both cost one commit. A settlement must name the job's current `claim_no`;
//! one that does not is stale and changes nothing.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;
use crate::failpoint;

use super::batches::unsigned;
use super::error::StoreError;
use super::open::{Store, begin};
use super::settle::{Settlement, settle};

/// Times in a row that the program may die with a job in flight, the last time with no other, before
/// the job counts as the cause.
const MAX_CRASHES: i64 = 5;

/// What to claim: at most `limit` jobs of a batch that may be sent now, in input order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The batch's number.
    pub batch: i64,
    /// The most jobs to claim; 0 claims none.
    pub limit: usize,
}

/// A claimed job: the right to send its request and to settle it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job.
    pub id: JobId,
    /// The number of this claim; a settlement must name it.
    pub claim_no: i64,
    /// Attempts that count against the job's limit, so far.
    pub spent: u32,
    /// The rules by which earlier attempts failed, the oldest first.
    pub rules: Vec<String>,
    /// The request body.
    pub request: String,
}

/// What a turn of the queue has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The claimed jobs, in input order.
    pub claimed: Vec<ClaimedJob>,
    /// Settlements that changed nothing, because the job was no longer held under their claim.
    pub stale: u64,
    /// When the next job may be claimed, as of after this turn; `None` when none is pending.
    pub next_due: Option<Timestamp>,
}

/// A longer request is read by itself, so that what is read at once stays small.
const PACKED_BYTES: usize = 64 * 1024;

impl Store {
    /// Settles and claims in one transaction. When it returns, both are on disk.
    pub async fn turn(
        &self,
        settlements: &[Settlement],
        claim: Claim,
        now: Timestamp,
    ) -> Result<Turn, StoreError> {
        self.check_place()?;
        let mut writer = self.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        let settled = settle(&mut transaction, settlements, now).await?;
        let claimed = match claim.limit {
            0 => Vec::new(),
            _ => match self.only.get() {
                None => claim_jobs(&mut transaction, claim, now).await?,
                Some(only) => claim_only(&mut transaction, claim, only, now).await?,
            },
        };
        let next_due = match self.only.get() {
            None => next_due(&mut transaction, claim.batch).await?,
            Some(only) => next_due_of(&mut transaction, claim.batch, only).await?,
        };
        failpoint::hit("turn-commit")?;
        transaction.commit().await?;
        failpoint::hit("turn-done")?;
        Ok(Turn {
            claimed,
            stale: settlements.len() as u64 - settled,
            next_due,
        })
    }

    /// Tells whether a batch has jobs that were in flight at the last two crashes or more.
    pub async fn has_suspects(&self, batch: i64) -> Result<bool, StoreError> {
        if self.only.get().is_some() {
            return Ok(false);
        }
        let mut writer = self.writer.lock().await;
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM jobs
                            WHERE batch_id = ?1 AND state = 0 AND crashes >= 2
                              AND position IS NOT NULL)",
        )
        .bind(batch)
        .fetch_one(&mut *writer)
        .await?)
    }

    /// Claims one job that was in flight at the last two crashes or more, whenever it is due. It is
    /// to be sent alone: if the program dies again, it is the cause.
    pub async fn claim_suspect(&self, batch: i64) -> Result<Option<ClaimedJob>, StoreError> {
        let mut writer = self.writer.lock().await;
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
        let claimed = claim_these(&mut transaction, &ids).await?.pop();
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Lets only these jobs be claimed through this store from now on; what was narrowed stays so.
    pub fn narrow(&self, jobs: &[JobId]) {
        self.only
            .get_or_init(|| serde_json::json!(jobs).to_string());
    }

    /// Counts the jobs that wait and may be claimed, now or later.
    pub async fn claimable(&self, batch: i64) -> Result<u64, StoreError> {
        let Some(only) = self.only.get() else {
            let count = sqlx::query_scalar(
                "SELECT count(*) FROM jobs
                 WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL AND twin_of IS NULL",
            )
            .bind(batch)
            .fetch_one(&self.readers)
            .await?;
            return Ok(unsigned(count));
        };
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM jobs
             WHERE id IN (SELECT value FROM json_each(?2)) AND batch_id = ?1 AND state = 0
               AND position IS NOT NULL",
        )
        .bind(batch)
        .bind(only)
        .fetch_one(&self.readers)
        .await?;
        Ok(unsigned(count))
    }

    /// Takes back the jobs that a dead run left in flight, at once: the caller holds the run lock,
    /// so no other run lives. Their requests count as unknown. Returns how many there were.
    pub async fn rescue(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
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
}

/// Claims the jobs that have waited and are due, then those that were never asked, in input order:
/// what was begun is finished first.
async fn claim_jobs(
    connection: &mut SqliteConnection,
    claim: Claim,
    now: Timestamp,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
    let ids: String = sqlx::query_scalar(
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
             LIMIT ?3)",
    )
    .bind(claim.batch)
    .bind(now.as_millis())
    .bind(limit)
    .fetch_one(&mut *connection)
    .await?;
    claim_these(connection, &ids).await
}

/// Claims of these jobs those that are due, in the order of the list.
async fn claim_only(
    connection: &mut SqliteConnection,
    claim: Claim,
    only: &str,
    now: Timestamp,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let ids: String = sqlx::query_scalar(
        "SELECT json_group_array(id) FROM (
             SELECT j.id FROM json_each(?4) AS v CROSS JOIN jobs AS j ON j.id = v.value
             WHERE j.batch_id = ?1 AND j.state = 0 AND j.position IS NOT NULL
               AND j.not_before <= ?2
             LIMIT ?3)",
    )
    .bind(claim.batch)
    .bind(now.as_millis())
    .bind(i64::try_from(claim.limit).unwrap_or(i64::MAX))
    .bind(only)
    .fetch_one(&mut *connection)
    .await?;
    claim_these(connection, &ids).await
}

/// Claims jobs by their numbers, a JSON array. The transaction holds the write lock: they are still
/// as they were when they were chosen.
async fn claim_these(
    connection: &mut SqliteConnection,
    ids: &str,
) -> Result<Vec<ClaimedJob>, StoreError> {
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

/// Reads what a worker has to know of claimed jobs, in input order. All of it comes as one row: a row
/// for each job would cost more than reading it.
async fn read_claimed(
    connection: &mut SqliteConnection,
    ids: &str,
) -> Result<Vec<ClaimedJob>, StoreError> {
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
    .bind(i64::try_from(PACKED_BYTES).unwrap_or(i64::MAX))
    .fetch_one(&mut *connection)
    .await?;
    let claims: Vec<(i64, i64, i64, usize, Vec<String>)> = serde_json::from_str(read.try_get(0)?)?;
    let mut requests: &str = read.try_get::<Option<&str>, _>(1)?.unwrap_or_default();
    let mut jobs = Vec::with_capacity(claims.len());
    for (id, claim_no, spent, bytes, rules) in claims {
        let request = if bytes <= PACKED_BYTES {
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
            spent: u32::try_from(unsigned(spent)).unwrap_or(u32::MAX),
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
) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(not_before) FROM jobs
         WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL AND twin_of IS NULL",
    )
    .bind(batch)
    .fetch_one(connection)
    .await?;
    Ok(due.map(Timestamp::from_millis))
}

async fn next_due_of(
    connection: &mut SqliteConnection,
    batch: i64,
    only: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(j.not_before) FROM json_each(?2) AS v CROSS JOIN jobs AS j ON j.id = v.value
         WHERE j.batch_id = ?1 AND j.state = 0 AND j.position IS NOT NULL",
    )
    .bind(batch)
    .bind(only)
    .fetch_one(connection)
    .await?;
    Ok(due.map(Timestamp::from_millis))
}
