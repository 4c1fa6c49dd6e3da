//! Importing results of the Batch API in one transaction: all of them or none.
//!
//! The caller holds the run lock and has recovered the jobs of a crashed run. Each result gets its
//! own claim, so that it is fenced and written like any other.

use std::collections::HashSet;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::mpsc;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::store::error::{Result, StoreError};
use crate::store::imported::{ImportReport, ImportedOutcome, ImportedResult};
use crate::store::settlement::{JobOutcome, Settlement};

use super::database::{Database, begin};
use super::settle::settle;

/// Maximum number of unknown keys that are returned for the error message.
const MAX_UNKNOWN_KEYS: usize = 5;

/// Stored as the API key label of imported results.
const KEY_LABEL: &str = "batch file";

pub(crate) async fn import_results<E>(
    database: &Database,
    batch: i64,
    mut chunks: mpsc::Receiver<Result<Vec<ImportedResult>, E>>,
    now: Timestamp,
) -> Result<Result<ImportReport, E>> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    let mut report = ImportReport::default();
    loop {
        match chunks.recv().await {
            Some(Ok(chunk)) if chunk.is_empty() => break,
            Some(Ok(chunk)) => {
                for group in split_repeats(&chunk) {
                    import_group(&mut transaction, batch, group, now, &mut report).await?;
                }
            }
            Some(Err(bad_input)) => return Ok(Err(bad_input)),
            None => return Err(StoreError::incomplete_input()),
        }
    }
    if report.unknown == 0 {
        failpoint::hit("take-in-commit")?;
        transaction.commit().await?;
    }
    Ok(Ok(report))
}

/// Splits a chunk into groups in which no row occurs twice. An earlier result of a row must be
/// written before a later one is processed.
fn split_repeats(chunk: &[ImportedResult]) -> Vec<&[ImportedResult]> {
    let mut groups = Vec::new();
    let (mut start, mut seen) = (0, HashSet::new());
    for (at, result) in chunk.iter().enumerate() {
        if !seen.insert(&result.key) {
            groups.push(&chunk[start..at]);
            start = at;
            seen = HashSet::from([&result.key]);
        }
    }
    groups.push(&chunk[start..]);
    groups
}

async fn import_group(
    connection: &mut SqliteConnection,
    batch: i64,
    group: &[ImportedResult],
    now: Timestamp,
    report: &mut ImportReport,
) -> Result<()> {
    let mut settled = Vec::new();
    for (result, found) in group.iter().zip(look_up(connection, batch, group).await?) {
        let Some((job, state)) = found else {
            report.unknown += 1;
            if report.unknown_keys.len() < MAX_UNKNOWN_KEYS {
                report.unknown_keys.push(result.key.clone());
            }
            continue;
        };
        match (&result.outcome, state) {
            (ImportedOutcome::Unchanged, _) => {}
            (ImportedOutcome::Completed(completion), 0 | 3) => {
                report.completed += 1;
                settled.push((job, JobOutcome::Done(completion.clone()), None));
            }
            (ImportedOutcome::Failed(attempt), 0) => {
                report.failed += 1;
                settled.push((job, JobOutcome::Failed, Some(attempt.clone())));
            }
            _ => report.already_settled += 1,
        }
    }
    let jobs: Vec<_> = settled.iter().map(|(job, ..)| *job).collect();
    let claims = claim(connection, &jobs).await?;
    let settlements: Vec<_> = settled
        .into_iter()
        .zip(claims)
        .map(|((job, outcome, attempt), claim_no)| Settlement {
            id: JobId(job),
            claim_no,
            requests: 1,
            outcome,
            attempt,
            key_label: KEY_LABEL.to_owned(),
        })
        .collect();
    settle(connection, &settlements, now).await?;
    Ok(())
}

/// Returns the ID and state of each row's job; `None` if the row does not exist.
async fn look_up(
    connection: &mut SqliteConnection,
    batch: i64,
    group: &[ImportedResult],
) -> Result<Vec<Option<(i64, i64)>>> {
    let keys: Vec<_> = group.iter().map(|result| &result.key).collect();
    let found = sqlx::query(
        "SELECT j.id, j.state
         FROM json_each(?1) AS v
         LEFT JOIN rows AS r ON r.batch_id = ?2 AND r.key = v.value
         LEFT JOIN jobs AS j ON j.id = r.job_id
         ORDER BY v.key",
    )
    .bind(serde_json::to_string(&keys)?)
    .bind(batch)
    .fetch_all(connection)
    .await?;
    let job = |row: &SqliteRow| {
        let job: Option<i64> = row.try_get(0)?;
        Ok(job.zip(row.try_get(1)?))
    };
    found.iter().map(job).collect()
}

/// Claims these jobs regardless of `not_before`; returns the claim numbers in the same order.
async fn claim(connection: &mut SqliteConnection, jobs: &[i64]) -> Result<Vec<i64>> {
    let jobs = serde_json::to_string(jobs)?;
    sqlx::query(
        "UPDATE jobs SET state = 1, claim_no = claim_no + 1
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(&jobs)
    .execute(&mut *connection)
    .await?;
    Ok(sqlx::query_scalar(
        "SELECT j.claim_no FROM json_each(?1) AS v CROSS JOIN jobs AS j ON j.id = v.value
         ORDER BY v.key",
    )
    .bind(&jobs)
    .fetch_all(connection)
    .await?)
}
