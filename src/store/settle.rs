//! Settling: what becomes of claimed jobs is written, many in a few statements.
//!
//! A settlement must name the job's current `claim_no`; one that does not is stale and changes
//! nothing.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;

use crate::domain::job::{Completion, JobId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

use super::error::StoreError;
use super::pack::Pack;

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
    Done(Completion),
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

/// The new standing of a job, as its statement reads it.
#[derive(Serialize)]
struct Standing(
    JobId,
    i64,
    /* state */ u8,
    /* not_before */ i64,
    /* spent */ u8,
    /* requests */ u32,
);

/// An answer, as its statement reads it.
#[derive(Serialize)]
struct AnswerLine<'a>(
    JobId,
    i64,
    /* body: where and how long */ usize,
    usize,
    /* model */ &'a str,
    /* finish reason */ &'a str,
    Option<u64>,
    Option<u64>,
    /* latency */ u64,
    /* key */ &'a str,
    /* request id */ &'a str,
);

/// What went wrong, as its statement reads it.
#[derive(Serialize)]
struct AttemptLine<'a>(
    JobId,
    i64,
    /* outcome */ &'static str,
    Scope,
    /* rule */ &'a str,
    /* status */ Option<u16>,
    /* message */ &'a str,
    /* request id */ &'a str,
    /* wait */ Option<u64>,
    /* latency */ Option<u64>,
    /* key */ &'a str,
);

impl Settlement {
    fn standing(&self) -> Standing {
        let (state, not_before, counted) = match &self.settled_as {
            SettledAs::Done(_) => (2, 0, true),
            SettledAs::Requeued {
                not_before,
                counted,
            } => (0, not_before.as_millis(), *counted),
            SettledAs::Failed => (3, 0, true),
        };
        let counted = u8::from(counted);
        Standing(
            self.id,
            self.claim_no,
            state,
            not_before,
            counted,
            self.requests,
        )
    }

    fn answer_line(&self, bodies: &mut Pack) -> Option<AnswerLine<'_>> {
        let SettledAs::Done(completion) = &self.settled_as else {
            return None;
        };
        let (place, bytes) = bodies.add(&completion.body);
        Some(AnswerLine(
            self.id,
            self.claim_no,
            place,
            bytes,
            &completion.model,
            &completion.finish_reason,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.latency_ms,
            &self.key_label,
            &completion.request_id,
        ))
    }

    fn attempt_line(&self) -> Option<AttemptLine<'_>> {
        let attempt = self.attempt.as_ref()?;
        Some(AttemptLine(
            self.id,
            self.claim_no,
            if attempt.unknown { "unknown" } else { "failed" },
            attempt.scope,
            &attempt.rule,
            attempt.status,
            &attempt.message,
            &attempt.request_id,
            attempt.wait_ms,
            attempt.latency_ms,
            &self.key_label,
        ))
    }

    /// Returns how many bytes of it are written, nearly.
    pub(crate) fn size(&self) -> usize {
        match &self.settled_as {
            SettledAs::Done(completion) => completion.body.len(),
            SettledAs::Requeued { .. } | SettledAs::Failed => 0,
        }
    }
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
    let first: Vec<_> = settlements
        .iter()
        .filter(|settlement| seen.insert((settlement.id, settlement.claim_no)))
        .collect();
    insert_answers(connection, &first, now).await?;
    insert_attempts(connection, &first, now).await?;
    let standings: Vec<_> = first.iter().map(|one| one.standing()).collect();
    let settled = sqlx::query(
        "UPDATE jobs SET state = v.value ->> 2, not_before = v.value ->> 3,
                         spent = spent + (v.value ->> 4), requests = requests + (v.value ->> 5),
                         crashes = iif(v.value ->> 5 > 0, 0, crashes)
         FROM jsonb_each(?1) AS v
         WHERE jobs.id = v.value ->> 0 AND jobs.claim_no = v.value ->> 1 AND jobs.state = 1",
    )
    .bind(serde_json::to_string(&standings)?)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(settled)
}

async fn insert_answers(
    connection: &mut SqliteConnection,
    settlements: &[&Settlement],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut bodies = Pack::default();
    let lines = settlements.iter();
    let lines: Vec<_> = lines
        .filter_map(|one| one.answer_line(&mut bodies))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO results (job_id, body, model, finish_reason, prompt_tokens,
                              completion_tokens, latency_ms, key_label, ended_at, request_id)
         SELECT j.id, CAST(substr(?3, v.value ->> 2, v.value ->> 3) AS TEXT), v.value ->> 4,
                v.value ->> 5, v.value ->> 6, v.value ->> 7, v.value ->> 8, v.value ->> 9, ?2,
                v.value ->> 10
         FROM jsonb_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value ->> 0 AND j.claim_no = v.value ->> 1
                             AND j.state = 1",
    )
    .bind(serde_json::to_string(&lines)?)
    .bind(now.as_millis())
    .bind(bodies.into_blob())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_attempts(
    connection: &mut SqliteConnection,
    settlements: &[&Settlement],
    now: Timestamp,
) -> Result<(), StoreError> {
    let lines = settlements.iter();
    let lines: Vec<_> = lines.filter_map(|one| one.attempt_line()).collect();
    if lines.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO attempts (job_id, claim_no, outcome, scope, rule, status, message, request_id,
                               wait_ms, latency_ms, key_label, ended_at)
         SELECT j.id, j.claim_no, v.value ->> 2, v.value ->> 3, v.value ->> 4, v.value ->> 5,
                v.value ->> 6, v.value ->> 7, v.value ->> 8, v.value ->> 9, v.value ->> 10, ?2
         FROM jsonb_each(?1) AS v
         CROSS JOIN jobs AS j ON j.id = v.value ->> 0 AND j.claim_no = v.value ->> 1
                             AND j.state = 1",
    )
    .bind(serde_json::to_string(&lines)?)
    .bind(now.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
