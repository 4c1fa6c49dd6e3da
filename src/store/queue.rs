//! The queue: jobs are claimed, settled, released and rescued.
//!
//! A turn of the queue is one transaction that settles what has come back and claims what is to be
//! sent next, so that both cost one commit. A settlement must name the job's current `claim_no`;
//! one that does not is stale and changes nothing.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::domain::job::{Answer, JobId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

use super::batches::unsigned;
use super::error::StoreError;
use super::open::{Store, begin};

/// Times the program may die with a job in flight before the job counts as the cause.
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

/// What becomes of a claimed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The job.
    pub id: JobId,
    /// The claim that it was held under.
    pub claim_no: i64,
    /// HTTP requests made under this claim: 0 or 1.
    pub requests: u32,
    /// The job's new standing.
    pub settled_as: SettledAs,
    /// What went wrong, when something did.
    pub attempt: Option<AttemptRecord>,
    /// The label of the key that was used; empty when none was.
    pub key_label: String,
}

/// A job's standing after a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettledAs {
    /// It has its answer.
    Done(Answer),
    /// It goes back to the queue.
    Requeued {
        /// Not to be claimed before.
        not_before: Timestamp,
        /// Whether the attempt counts against the job's limit.
        counted: bool,
    },
    /// It has failed for good.
    Failed,
}

/// A request that did not end in an answer, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Whether the end is unknown: the request was given up while in flight.
    pub unknown: bool,
    /// Whose fault it was.
    pub scope: Scope,
    /// The rule that said so.
    pub rule: String,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// What was said, redacted, at most 2 KiB.
    pub message: String,
    /// The provider's id of the request; empty when it told none.
    pub request_id: String,
    /// How long the provider asked to wait, in milliseconds.
    pub wait_ms: Option<u64>,
    /// Milliseconds from sending to the end.
    pub latency_ms: Option<u64>,
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

impl Store {
    /// Settles and claims in one transaction. When it returns, both are on disk.
    pub async fn turn(
        &self,
        settlements: &[Settlement],
        claim: Claim,
        now: Timestamp,
    ) -> Result<Turn, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        let settled = settle(&mut transaction, settlements, now).await?;
        let claimed = match claim.limit {
            0 => Vec::new(),
            _ => claim_jobs(&mut transaction, claim, now).await?,
        };
        let next_due = next_due(&mut transaction, claim.batch).await?;
        transaction.commit().await?;
        Ok(Turn {
            claimed,
            stale: settlements.len() as u64 - settled,
            next_due,
        })
    }

    /// Makes the failed jobs of a batch pending again, with all their chances. Returns how many.
    pub async fn reopen_failed(&self, batch: i64) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let reopened = sqlx::query(
            "UPDATE jobs SET state = 0, not_before = 0, spent = 0, crashes = 0,
                             history_from = claim_no
             WHERE batch_id = ?1 AND state = 3 AND position IS NOT NULL",
        )
        .bind(batch)
        .execute(&mut *writer)
        .await?;
        Ok(reopened.rows_affected())
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
                    CASE WHEN crashes + 1 >= ?2 THEN 'crash-loop' ELSE 'crashed-in-flight' END,
                    'the program ended while this request was in flight', '', '', ?1
             FROM jobs WHERE state = 1",
        )
        .bind(now.as_millis())
        .bind(MAX_CRASHES)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if unknown > 0 {
            sqlx::query(
                "UPDATE jobs SET state = iif(crashes + 1 >= ?1, 3, 0), crashes = crashes + 1,
                                 requests = requests + 1, not_before = 0
                 WHERE state = 1",
            )
            .bind(MAX_CRASHES)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(unknown)
    }
}

/// One settlement as the statements read it.
#[derive(Serialize)]
struct Line<'a>(
    JobId,
    i64,
    /* state */ u8,
    /* not_before */ i64,
    /* spent */ u8,
    /* requests */ u32,
    /* key */ &'a str,
    Option<AnswerLine<'a>>,
    Option<AttemptLine<'a>>,
);

#[derive(Serialize)]
struct AnswerLine<'a>(&'a str, &'a str, &'a str, Option<u64>, Option<u64>, u64);

#[derive(Serialize)]
struct AttemptLine<'a>(
    &'static str,
    Scope,
    &'a str,
    Option<u16>,
    &'a str,
    &'a str,
    Option<u64>,
    Option<u64>,
);

impl Settlement {
    fn line(&self) -> Line<'_> {
        let (state, not_before, counted, answer) = match &self.settled_as {
            SettledAs::Done(answer) => (2, 0, true, Some(answer)),
            SettledAs::Requeued {
                not_before,
                counted,
            } => (0, not_before.as_millis(), *counted, None),
            SettledAs::Failed => (3, 0, true, None),
        };
        Line(
            self.id,
            self.claim_no,
            state,
            not_before,
            u8::from(counted),
            self.requests,
            &self.key_label,
            answer.map(answer_line),
            self.attempt.as_ref().map(attempt_line),
        )
    }
}

fn answer_line(answer: &Answer) -> AnswerLine<'_> {
    AnswerLine(
        &answer.body,
        &answer.model,
        &answer.finish_reason,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.latency_ms,
    )
}

fn attempt_line(attempt: &AttemptRecord) -> AttemptLine<'_> {
    AttemptLine(
        if attempt.unknown { "unknown" } else { "failed" },
        attempt.scope,
        &attempt.rule,
        attempt.status,
        &attempt.message,
        &attempt.request_id,
        attempt.wait_ms,
        attempt.latency_ms,
    )
}

/// Writes the settlements whose claim still holds; returns how many those were. The jobs are
/// updated last, because the two inserts look for jobs that are still running.
async fn settle(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<u64, StoreError> {
    if settlements.is_empty() {
        return Ok(0);
    }
    let lines: Vec<_> = settlements.iter().map(Settlement::line).collect();
    let lines = serde_json::to_string(&lines)?;
    if settlements
        .iter()
        .any(|settlement| matches!(settlement.settled_as, SettledAs::Done(_)))
    {
        sqlx::query(
            "INSERT INTO results (job_id, body, model, finish_reason, prompt_tokens,
                                  completion_tokens, latency_ms, key_label, ended_at)
             SELECT j.id, v.value ->> '$[7][0]', v.value ->> '$[7][1]', v.value ->> '$[7][2]',
                    v.value ->> '$[7][3]', v.value ->> '$[7][4]', v.value ->> '$[7][5]',
                    v.value ->> 6, ?2
             FROM json_each(?1) AS v
             CROSS JOIN jobs AS j ON j.id = v.value ->> 0 AND j.claim_no = v.value ->> 1
                                 AND j.state = 1
             WHERE v.value ->> 2 = 2",
        )
        .bind(&lines)
        .bind(now.as_millis())
        .execute(&mut *connection)
        .await?;
    }
    if settlements
        .iter()
        .any(|settlement| settlement.attempt.is_some())
    {
        insert_attempts(connection, &lines, now).await?;
    }
    let settled = sqlx::query(
        "UPDATE jobs SET state = v.value ->> 2, not_before = v.value ->> 3,
                         spent = spent + (v.value ->> 4), requests = requests + (v.value ->> 5)
         FROM json_each(?1) AS v
         WHERE jobs.id = v.value ->> 0 AND jobs.claim_no = v.value ->> 1 AND jobs.state = 1",
    )
    .bind(&lines)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(settled)
}

async fn insert_attempts(
    connection: &mut SqliteConnection,
    lines: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO attempts (job_id, claim_no, outcome, scope, rule, status, message, request_id,
                               wait_ms, latency_ms, key_label, ended_at)
         SELECT j.id, j.claim_no, v.value ->> '$[8][0]', v.value ->> '$[8][1]',
                v.value ->> '$[8][2]', v.value ->> '$[8][3]', v.value ->> '$[8][4]',
                v.value ->> '$[8][5]', v.value ->> '$[8][6]', v.value ->> '$[8][7]',
                v.value ->> 6, ?2
         FROM json_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value ->> 0 AND j.claim_no = v.value ->> 1
                             AND j.state = 1
         WHERE v.value ->> 8 IS NOT NULL",
    )
    .bind(lines)
    .bind(now.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// Claims the jobs that have waited and are due, then those that were never asked, in input order:
/// what was begun is finished first.
async fn claim_jobs(
    connection: &mut SqliteConnection,
    claim: Claim,
    now: Timestamp,
) -> Result<Vec<ClaimedJob>, StoreError> {
    let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
    let ids: Vec<i64> = sqlx::query_scalar(
        "UPDATE jobs SET state = 1, claim_no = claim_no + 1
         WHERE id IN (
             SELECT id FROM (SELECT id FROM jobs
                             WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
                               AND not_before > 0 AND not_before <= ?2
                             ORDER BY not_before, id LIMIT ?3)
             UNION ALL
             SELECT id FROM (SELECT id FROM jobs
                             WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
                               AND not_before = 0
                             ORDER BY id LIMIT ?3)
             LIMIT ?3)
         RETURNING id",
    )
    .bind(claim.batch)
    .bind(now.as_millis())
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(
        "SELECT j.id, j.claim_no, j.spent, r.request,
                CASE WHEN j.requests > 0 THEN (
                    SELECT json_group_array(a.rule ORDER BY a.id) FROM attempts AS a
                    WHERE a.job_id = j.id AND a.claim_no > j.history_from
                ) END
         FROM json_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value
         CROSS JOIN rows AS r ON r.job_id = j.id
         ORDER BY j.id",
    )
    .bind(serde_json::to_string(&ids)?)
    .fetch_all(connection)
    .await?
    .iter()
    .map(claimed_job)
    .collect()
}

fn claimed_job(row: &SqliteRow) -> Result<ClaimedJob, StoreError> {
    let rules: Option<&str> = row.get(4);
    Ok(ClaimedJob {
        id: JobId(row.get(0)),
        claim_no: row.get(1),
        spent: u32::try_from(unsigned(row.get(2))).unwrap_or(u32::MAX),
        request: row.get(3),
        rules: rules
            .map(serde_json::from_str)
            .transpose()?
            .unwrap_or_default(),
    })
}

async fn next_due(
    connection: &mut SqliteConnection,
    batch: i64,
) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(not_before) FROM jobs
         WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL",
    )
    .bind(batch)
    .fetch_one(connection)
    .await?;
    Ok(due.map(Timestamp::from_millis))
}
