//! Taking in answers that were got elsewhere, in one transaction: all of them or none.
//!
//! The caller holds the run lock and has rescued what a dead run left. Each answer goes through a
//! claim of its own, so that it is fenced and written as any other.

use std::collections::HashSet;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::mpsc;

use crate::domain::job::{Completion, JobId};
use crate::domain::time::Timestamp;
use crate::failpoint;

use super::error::StoreError;
use super::open::{Store, begin};
use super::settle::{AttemptRecord, SettledAs, Settlement, settle};

/// Names of unknown rows that are kept to be told.
const SHOWN: usize = 5;

/// Under which label the answers stand, where others have that of their key.
const LABEL: &str = "batch file";

/// What was brought for a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The key of the row.
    pub key: String,
    /// What becomes of it.
    pub end: End,
}

/// What becomes of a row for which something was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It has its answer, unless it had one before.
    Answered(Completion),
    /// It has failed for good, unless it had ended before.
    Failed(AttemptRecord),
    /// It is left as it is.
    Open,
}

/// What taking in has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Rows that have their answer by this.
    pub answered: u64,
    /// Rows that have failed by this.
    pub failed: u64,
    /// Rows that had ended before.
    pub before: u64,
    /// Names that no row has. When there are any, nothing was taken in.
    pub unknown: u64,
    /// The first of these names.
    pub unknown_names: Vec<String>,
}

impl Store {
    /// Takes in what was brought for rows of a batch. It comes in chunks; an empty one is the end.
    ///
    /// When a name is unknown, or the input turns out bad, the batch is as it was.
    pub async fn take_in<E>(
        &self,
        batch: i64,
        mut chunks: mpsc::Receiver<Result<Vec<Delivery>, E>>,
        now: Timestamp,
    ) -> Result<Result<Delivered, E>, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        let mut done = Delivered::default();
        loop {
            match chunks.recv().await {
                Some(Ok(chunk)) if chunk.is_empty() => break,
                Some(Ok(chunk)) => {
                    for group in groups(&chunk) {
                        take(&mut transaction, batch, group, now, &mut done).await?;
                    }
                }
                Some(Err(bad_input)) => return Ok(Err(bad_input)),
                None => return Err(StoreError::Other(sqlx::Error::WorkerCrashed)),
            }
        }
        if done.unknown == 0 {
            failpoint::hit("take-in-commit")?;
            transaction.commit().await?;
        }
        Ok(Ok(done))
    }
}

/// Splits a chunk so that no row stands twice in a group: a later word on it finds the earlier one
/// written.
fn groups(chunk: &[Delivery]) -> Vec<&[Delivery]> {
    let mut groups = Vec::new();
    let (mut from, mut seen) = (0, HashSet::new());
    for (at, delivery) in chunk.iter().enumerate() {
        if !seen.insert(&delivery.key) {
            groups.push(&chunk[from..at]);
            from = at;
            seen = HashSet::from([&delivery.key]);
        }
    }
    groups.push(&chunk[from..]);
    groups
}

async fn take(
    connection: &mut SqliteConnection,
    batch: i64,
    group: &[Delivery],
    now: Timestamp,
    done: &mut Delivered,
) -> Result<(), StoreError> {
    let mut settled = Vec::new();
    for (delivery, found) in group.iter().zip(look_up(connection, batch, group).await?) {
        let Some((job, state)) = found else {
            done.unknown += 1;
            if done.unknown_names.len() < SHOWN {
                done.unknown_names.push(delivery.key.clone());
            }
            continue;
        };
        match (&delivery.end, state) {
            (End::Open, _) => {}
            (End::Answered(completion), 0 | 3) => {
                done.answered += 1;
                settled.push((job, SettledAs::Done(completion.clone()), None));
            }
            (End::Failed(attempt), 0) => {
                done.failed += 1;
                settled.push((job, SettledAs::Failed, Some(attempt.clone())));
            }
            _ => done.before += 1,
        }
    }
    let jobs: Vec<_> = settled.iter().map(|(job, ..)| *job).collect();
    let claims = claim(connection, &jobs).await?;
    let settlements: Vec<_> = settled
        .into_iter()
        .zip(claims)
        .map(|((job, settled_as, attempt), claim_no)| Settlement {
            id: JobId(job),
            claim_no,
            requests: 1,
            settled_as,
            attempt,
            key_label: LABEL.to_owned(),
        })
        .collect();
    settle(connection, &settlements, now).await?;
    Ok(())
}

/// Finds the job of each row and how it stands; `None` where there is no such row.
async fn look_up(
    connection: &mut SqliteConnection,
    batch: i64,
    group: &[Delivery],
) -> Result<Vec<Option<(i64, i64)>>, StoreError> {
    let keys: Vec<_> = group.iter().map(|delivery| &delivery.key).collect();
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
    let place = |row: &SqliteRow| {
        let job: Option<i64> = row.try_get(0)?;
        Ok(job.zip(row.try_get(1)?))
    };
    found.iter().map(place).collect()
}

/// Claims these jobs, whatever they wait for; returns the numbers of the claims, in order.
async fn claim(connection: &mut SqliteConnection, jobs: &[i64]) -> Result<Vec<i64>, StoreError> {
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
