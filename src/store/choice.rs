//! Acting on chosen rows of a batch: failed ones are made pending again, pending ones are cancelled.
//! What was chosen is named by rule, by whose fault it was, or row by row.

use sqlx::Row;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{CANCELLED, Scope};

use super::batches::unsigned;
use super::error::StoreError;
use super::open::{Store, begin};

/// Which failed rows of a batch are meant; what is empty or `None` does not narrow the choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Rules, any of which was the last to judge the row.
    pub rules: Vec<String>,
    /// Whose fault the last failure was, any of these.
    pub scopes: Vec<Scope>,
    /// These rows alone.
    pub jobs: Option<Vec<JobId>>,
    /// The most rows, the first ones in input order.
    pub most: Option<u64>,
}

/// What became of rows that were to be cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Rows that were pending and are cancelled.
    pub cancelled: u64,
    /// Rows that were claimed by a run, and stay so.
    pub running: u64,
    /// Rows that had their answer or had failed before.
    pub settled: u64,
}

impl Store {
    /// Makes chosen failed jobs of a batch pending again, with all their chances. Returns how many.
    pub async fn reopen(&self, batch: i64, choice: &Choice) -> Result<u64, StoreError> {
        let (rules, scopes, jobs) = (
            list(&choice.rules)?,
            list(&choice.scopes)?,
            choice
                .jobs
                .as_ref()
                .map(serde_json::to_string)
                .transpose()?,
        );
        let most = choice
            .most
            .map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX));
        let mut writer = self.writer.lock().await;
        let reopened = sqlx::query(
            "UPDATE jobs SET state = 0, not_before = 0, spent = 0, crashes = 0,
                             history_from = claim_no
             WHERE id IN (
                 SELECT j.id FROM jobs AS j
                 LEFT JOIN attempts AS last
                   ON last.id = (SELECT max(a.id) FROM attempts AS a WHERE a.job_id = j.id)
                 WHERE j.batch_id = ?1 AND j.state = 3 AND j.position IS NOT NULL
                   AND (?2 IS NULL OR last.rule IN (SELECT value FROM json_each(?2)))
                   AND (?3 IS NULL OR last.scope IN (SELECT value FROM json_each(?3)))
                   AND (?4 IS NULL OR j.id IN (SELECT value FROM json_each(?4)))
                 ORDER BY j.position LIMIT ?5)",
        )
        .bind(batch)
        .bind(rules)
        .bind(scopes)
        .bind(jobs)
        .bind(most)
        .execute(&mut *writer)
        .await?;
        Ok(reopened.rows_affected())
    }

    /// Makes all failed jobs of a batch pending again, with all their chances. Returns how many.
    pub async fn reopen_failed(&self, batch: i64) -> Result<u64, StoreError> {
        self.reopen(batch, &Choice::default()).await
    }

    /// Cancels pending jobs of a batch, all or these: they fail by the rule `cancelled`, so that no
    /// run asks them until they are made pending again. What a run has claimed is left to it.
    pub async fn cancel(
        &self,
        batch: i64,
        jobs: Option<&[JobId]>,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        let jobs = jobs.map(serde_json::to_string).transpose()?;
        let mut writer = self.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        let counts = sqlx::query(
            "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state >= 2)
             FROM jobs
             WHERE batch_id = ?1 AND position IS NOT NULL
               AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
        )
        .bind(batch)
        .bind(&jobs)
        .fetch_one(&mut *transaction)
        .await?;
        let cancelled = sqlx::query(
            "INSERT INTO attempts (job_id, claim_no, outcome, scope, rule, message, request_id,
                                   key_label, ended_at)
             SELECT id, claim_no + 1, 'failed', 'request', ?3, 'this row was cancelled', '', '', ?4
             FROM jobs
             WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
               AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
        )
        .bind(batch)
        .bind(&jobs)
        .bind(CANCELLED.0)
        .bind(now.as_millis())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        sqlx::query(
            "UPDATE jobs SET state = 3, claim_no = claim_no + 1, not_before = 0
             WHERE batch_id = ?1 AND state = 0 AND position IS NOT NULL
               AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
        )
        .bind(batch)
        .bind(&jobs)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Cancelled {
            cancelled,
            running: unsigned(counts.try_get(0)?),
            settled: unsigned(counts.try_get(1)?),
        })
    }

    /// Finds rows by what people call them: the key of the row (its id, where the recipe has an id
    /// column), else its number in the input, from 1, with or without a `#` before it. Returns the
    /// job of each name in order; `None` where there is no such row.
    pub async fn find_rows(
        &self,
        batch: i64,
        names: &[String],
    ) -> Result<Vec<Option<JobId>>, StoreError> {
        let wanted: Vec<_> = names
            .iter()
            .map(|name| (name, number(name).map(|number| number - 1)))
            .collect();
        let found: Vec<Option<i64>> = sqlx::query_scalar(
            "SELECT coalesce(
                 (SELECT j.id FROM rows AS r JOIN jobs AS j ON j.id = r.job_id
                  WHERE r.batch_id = ?1 AND r.key = v.value ->> 0 AND j.position IS NOT NULL),
                 (SELECT j.id FROM jobs AS j
                  WHERE j.batch_id = ?1 AND j.position = v.value ->> 1))
             FROM json_each(?2) AS v ORDER BY v.key",
        )
        .bind(batch)
        .bind(serde_json::to_string(&wanted)?)
        .fetch_all(&self.readers)
        .await?;
        Ok(found.into_iter().map(|id| id.map(JobId)).collect())
    }
}

/// Writes what is to be one of these as JSON; nothing where any will do.
pub(super) fn list<T: serde::Serialize>(any: &[T]) -> Result<Option<String>, StoreError> {
    (!any.is_empty())
        .then(|| serde_json::to_string(any))
        .transpose()
        .map_err(StoreError::from)
}

/// Reads a row's number, from 1.
fn number(name: &str) -> Option<i64> {
    let digits = name.strip_prefix('#').unwrap_or(name);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| digits.parse().ok())?
        .filter(|number| *number > 0)
}
