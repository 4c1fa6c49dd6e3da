//! Settling: what becomes of claimed jobs is written, many in a few statements.
//!
//! A settlement must name the job's current `claim_no`; one that does not is stale and changes
//! nothing.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;

use crate::domain::job::{Answer, JobId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

use super::error::StoreError;

/// What becomes of a claimed job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
struct AnswerLine<'a>(
    &'a str,
    &'a str,
    &'a str,
    Option<u64>,
    Option<u64>,
    u64,
    /* request id */ &'a str,
);

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
        &answer.request_id,
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
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<u64, StoreError> {
    if settlements.is_empty() {
        return Ok(0);
    }
    // Of two settlements under one claim the first one holds.
    let mut seen = HashSet::with_capacity(settlements.len());
    let lines: Vec<_> = settlements
        .iter()
        .filter(|settlement| seen.insert((settlement.id, settlement.claim_no)))
        .map(Settlement::line)
        .collect();
    let lines = serde_json::to_string(&lines)?;
    if settlements
        .iter()
        .any(|settlement| matches!(settlement.settled_as, SettledAs::Done(_)))
    {
        sqlx::query(
            "INSERT INTO results (job_id, body, model, finish_reason, prompt_tokens,
                                  completion_tokens, latency_ms, key_label, ended_at,
                                  request_id)
             SELECT j.id, v.value ->> '$[7][0]', v.value ->> '$[7][1]', v.value ->> '$[7][2]',
                    v.value ->> '$[7][3]', v.value ->> '$[7][4]', v.value ->> '$[7][5]',
                    v.value ->> 6, ?2, v.value ->> '$[7][6]'
             FROM jsonb_each(?1) AS v
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
                         spent = spent + (v.value ->> 4), requests = requests + (v.value ->> 5),
                         crashes = iif(v.value ->> 5 > 0, 0, crashes)
         FROM jsonb_each(?1) AS v
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
         FROM jsonb_each(?1) AS v
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
