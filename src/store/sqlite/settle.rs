//! Settling claimed jobs, many at a time in a few statements.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;

use crate::domain::job::{Completion, JobId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

use super::error::StoreError;
use super::text_blob::TextBlob;

/// The outcome of a claimed job. It is only applied if `claim_no` is the current claim of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The job.
    pub id: JobId,
    /// The claim under which the job was held.
    pub claim_no: i64,
    /// Number of HTTP requests sent under this claim: 0 or 1.
    pub requests: u32,
    /// The outcome.
    #[serde(rename = "settled_as")]
    pub outcome: JobOutcome,
    /// The failed attempt, if the request did not succeed.
    pub attempt: Option<AttemptRecord>,
    /// The label of the API key; empty if none was used.
    pub key_label: String,
}

/// The state of a job after a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobOutcome {
    /// Completed.
    Done(Completion),
    /// Pending again.
    Requeued {
        /// The earliest time of the next claim.
        not_before: Timestamp,
        /// Whether the attempt counts against the job's limit.
        counted: bool,
    },
    /// Failed permanently.
    Failed,
}

/// A failed attempt, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Whether the result is unknown, because the request was abandoned in flight.
    pub unknown: bool,
    /// The scope of the failure.
    pub scope: Scope,
    /// The rule that classified the failure.
    pub rule: String,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The redacted error message, at most 2 KiB.
    pub message: String,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
    /// The wait requested by the provider, in milliseconds.
    pub wait_ms: Option<u64>,
    /// The duration of the request in milliseconds.
    pub latency_ms: Option<u64>,
}

/// A parameter row of the statement that updates jobs.
#[derive(Serialize)]
struct JobUpdate(
    JobId,
    i64,
    /* state */ u8,
    /* not_before */ i64,
    /* spent */ u8,
    /* requests */ u32,
);

/// A parameter row of the statement that inserts results.
#[derive(Serialize)]
struct ResultRow<'a>(
    JobId,
    i64,
    /* body: start and length */ usize,
    usize,
    /* model */ &'a str,
    /* finish reason */ &'a str,
    Option<u64>,
    Option<u64>,
    /* latency */ u64,
    /* key */ &'a str,
    /* request ID */ &'a str,
);

/// A parameter row of the statement that inserts attempts.
#[derive(Serialize)]
struct AttemptRow<'a>(
    JobId,
    i64,
    /* outcome */ &'static str,
    Scope,
    /* rule */ &'a str,
    /* status */ Option<u16>,
    /* message */ &'a str,
    /* request ID */ &'a str,
    /* wait */ Option<u64>,
    /* latency */ Option<u64>,
    /* key */ &'a str,
);

impl Settlement {
    fn job_update(&self) -> JobUpdate {
        let (state, not_before, counted) = match &self.outcome {
            JobOutcome::Done(_) => (2, 0, true),
            JobOutcome::Requeued {
                not_before,
                counted,
            } => (0, not_before.as_millis(), *counted),
            JobOutcome::Failed => (3, 0, true),
        };
        let counted = u8::from(counted);
        JobUpdate(
            self.id,
            self.claim_no,
            state,
            not_before,
            counted,
            self.requests,
        )
    }

    fn result_row(&self, bodies: &mut TextBlob) -> Option<ResultRow<'_>> {
        let JobOutcome::Done(completion) = &self.outcome else {
            return None;
        };
        let (start, length) = bodies.add(&completion.body);
        Some(ResultRow(
            self.id,
            self.claim_no,
            start,
            length,
            &completion.model,
            &completion.finish_reason,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.latency_ms,
            &self.key_label,
            &completion.request_id,
        ))
    }

    fn attempt_row(&self) -> Option<AttemptRow<'_>> {
        let attempt = self.attempt.as_ref()?;
        Some(AttemptRow(
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

    /// Returns the approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.outcome {
            JobOutcome::Done(completion) => completion.body.len(),
            JobOutcome::Requeued { .. } | JobOutcome::Failed => 0,
        }
    }
}

/// Writes the settlements whose claim is current; returns their number. The jobs are updated last,
/// because both inserts select jobs that are still running.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<u64, StoreError> {
    if settlements.is_empty() {
        return Ok(0);
    }
    // If a claim has two settlements, the first one is applied.
    let mut seen = HashSet::with_capacity(settlements.len());
    let first: Vec<_> = settlements
        .iter()
        .filter(|settlement| seen.insert((settlement.id, settlement.claim_no)))
        .collect();
    insert_results(connection, &first, now).await?;
    insert_attempts(connection, &first, now).await?;
    let updates: Vec<_> = first
        .iter()
        .map(|settlement| settlement.job_update())
        .collect();
    let settled = sqlx::query(
        "UPDATE jobs SET state = v.value ->> 2, not_before = v.value ->> 3,
                         spent = spent + (v.value ->> 4), requests = requests + (v.value ->> 5),
                         crashes = iif(v.value ->> 5 > 0, 0, crashes)
         FROM jsonb_each(?1) AS v
         WHERE jobs.id = v.value ->> 0 AND jobs.claim_no = v.value ->> 1 AND jobs.state = 1",
    )
    .bind(serde_json::to_string(&updates)?)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(settled)
}

async fn insert_results(
    connection: &mut SqliteConnection,
    settlements: &[&Settlement],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut bodies = TextBlob::default();
    let parameters = settlements.iter();
    let parameters: Vec<_> = parameters
        .filter_map(|settlement| settlement.result_row(&mut bodies))
        .collect();
    if parameters.is_empty() {
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
    .bind(serde_json::to_string(&parameters)?)
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
    let parameters = settlements.iter();
    let parameters: Vec<_> = parameters
        .filter_map(|settlement| settlement.attempt_row())
        .collect();
    if parameters.is_empty() {
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
    .bind(serde_json::to_string(&parameters)?)
    .bind(now.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
