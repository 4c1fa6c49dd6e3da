//! Settling claimed jobs, many at a time in a few statements.

use std::collections::HashSet;

use sqlx::sqlite::SqliteConnection;

use crate::domain::time::Timestamp;
use crate::store::error::Result;
use crate::store::settlement::{JobOutcome, Settlement};

use super::text_blob::TextBlob;

/// Writes the settlements whose claim is current; returns their number. The jobs are updated last,
/// because both inserts select jobs that are still running.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<u64> {
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
    let updates = first.iter().map(|settlement| {
        let (state, not_before, counted) = match &settlement.outcome {
            JobOutcome::Done(_) => (2, 0, true),
            JobOutcome::Requeued {
                not_before,
                counted,
            } => (0, not_before.as_millis(), *counted),
            JobOutcome::Failed => (3, 0, true),
        };
        let (id, claim_no, requests) = (settlement.id, settlement.claim_no, settlement.requests);
        (id, claim_no, state, not_before, u8::from(counted), requests)
    });
    let updates: Vec<_> = updates.collect();
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
) -> Result<()> {
    let mut bodies = TextBlob::default();
    let parameters = settlements.iter().filter_map(|settlement| {
        let JobOutcome::Done(completion) = &settlement.outcome else {
            return None;
        };
        let (start, length) = bodies.add(&completion.body);
        Some((
            settlement.id,
            settlement.claim_no,
            start,
            length,
            &completion.model,
            &completion.finish_reason,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.latency_ms,
            &settlement.key_label,
            &completion.request_id,
        ))
    });
    let parameters: Vec<_> = parameters.collect();
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
) -> Result<()> {
    let parameters = settlements.iter().filter_map(|settlement| {
        let attempt = settlement.attempt.as_ref()?;
        Some((
            settlement.id,
            settlement.claim_no,
            if attempt.unknown { "unknown" } else { "failed" },
            attempt.scope,
            &attempt.rule,
            attempt.status,
            &attempt.message,
            &attempt.request_id,
            attempt.wait_ms,
            attempt.latency_ms,
            &settlement.key_label,
        ))
    });
    let parameters: Vec<_> = parameters.collect();
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
