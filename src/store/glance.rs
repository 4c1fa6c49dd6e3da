//! A look at a batch for whoever wants to know what an import and a run would do. Nothing is changed.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::JobId;

use super::batches::unsigned;
use super::error::StoreError;
use super::open::Store;

/// Answers that averages are made of, the latest ones.
const LATEST: i64 = 1_000;

/// How rows of an input stand that may be in a batch already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Rows that have an answer to the same request.
    pub answered: u64,
    /// Rows that have failed for good with the same request.
    pub failed: u64,
    /// Rows that wait to be asked, or are being asked.
    pub waiting: u64,
    /// Rows whose request has changed: an import makes them pending.
    pub changed: u64,
}

/// What earlier answers of a batch were like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Averages {
    /// Answers that were looked at.
    pub answers: u64,
    /// Tokens of an answer; `None` when no provider told.
    pub completion_tokens: Option<u64>,
    /// Milliseconds to an answer.
    pub latency_ms: u64,
}

impl Store {
    /// Tells how rows stand, given as key and digest of the request, and for each of them whether a
    /// run would ask it. Rows that are not there are in no count.
    pub async fn standing(
        &self,
        batch: i64,
        rows: &[(&str, &str)],
    ) -> Result<(Standing, Vec<bool>), StoreError> {
        let found = sqlx::query(
            "SELECT j.state, v.value ->> 1 = r.digest
             FROM json_each(?2) AS v
             LEFT JOIN rows AS r ON r.batch_id = ?1 AND r.key = v.value ->> 0
             LEFT JOIN jobs AS j ON j.id = r.job_id
             ORDER BY v.key",
        )
        .bind(batch)
        .bind(serde_json::to_string(rows)?)
        .fetch_all(&self.readers)
        .await?;
        let mut standing = Standing::default();
        let mut is_asked = |row: &SqliteRow| {
            let same = row.try_get::<Option<bool>, _>(1)?.unwrap_or(false);
            Ok::<_, sqlx::Error>(match row.try_get::<Option<i64>, _>(0)? {
                None => true,
                Some(_) if !same => {
                    standing.changed += 1;
                    true
                }
                Some(2) => {
                    standing.answered += 1;
                    false
                }
                Some(3) => {
                    standing.failed += 1;
                    false
                }
                Some(_) => {
                    standing.waiting += 1;
                    true
                }
            })
        };
        let asked = found.iter().map(&mut is_asked).collect::<Result<_, _>>()?;
        Ok((standing, asked))
    }

    /// Returns the pending jobs of a batch at these places among them, counted from 0 in input order.
    pub async fn pending_at(&self, batch: i64, places: &[u64]) -> Result<Vec<JobId>, StoreError> {
        let mut jobs = Vec::with_capacity(places.len());
        for place in places {
            let job: Option<i64> = sqlx::query_scalar(
                "SELECT id FROM jobs WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL AND twin_of IS NULL
                 ORDER BY position LIMIT 1 OFFSET ?2",
            )
            .bind(batch)
            .bind(i64::try_from(*place).unwrap_or(i64::MAX))
            .fetch_optional(&self.readers)
            .await?;
            jobs.extend(job.map(JobId));
        }
        Ok(jobs)
    }

    /// Returns what the latest answers of a batch were like.
    pub async fn averages(&self, batch: i64) -> Result<Averages, StoreError> {
        let row = sqlx::query(
            "SELECT count(*), cast(avg(completion_tokens) AS INTEGER),
                    cast(avg(latency_ms) AS INTEGER)
             FROM (SELECT x.completion_tokens, x.latency_ms
                   FROM jobs AS j JOIN results AS x ON x.job_id = j.id
                   WHERE j.batch_id = ?1 AND j.position IS NOT NULL
                   ORDER BY j.position DESC LIMIT ?2)",
        )
        .bind(batch)
        .bind(LATEST)
        .fetch_one(&self.readers)
        .await?;
        Ok(Averages {
            answers: unsigned(row.try_get(0)?),
            completion_tokens: row.try_get::<Option<i64>, _>(1)?.map(unsigned),
            latency_ms: row.try_get::<Option<i64>, _>(2)?.map_or(0, unsigned),
        })
    }
}
