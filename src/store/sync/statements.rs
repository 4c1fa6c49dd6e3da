//! The statements that write and look up rows, many at once.

use serde::Serialize;
use sqlx::Row;

use crate::domain::job::NewRow;
use crate::store::error::StoreError;
use crate::store::pack::Pack;

use super::{Known, LARGE, Syncing};

impl Syncing<'_> {
    /// Finds the rows that the batch has, in the order of `rows`, with their index.
    pub(super) async fn look_up(
        &mut self,
        rows: &[NewRow],
    ) -> Result<Vec<(usize, Known)>, StoreError> {
        let mut texts = Pack::default();
        let asked = rows.iter();
        let asked: Vec<_> = asked
            .map(|row| (&row.key, &row.digest, texts.add(&row.cells)))
            .collect();
        let found = sqlx::query(
            "SELECT v.key, r.job_id, j.position, r.digest = v.value ->> 1,
                    r.cells = CAST(substr(?3, v.value ->> '$[2][0]', v.value ->> '$[2][1]') AS TEXT)
             FROM jsonb_each(?1) AS v
             CROSS JOIN rows AS r ON r.batch_id = ?2 AND r.key = v.value ->> 0
             CROSS JOIN jobs AS j ON j.id = r.job_id
             ORDER BY v.key",
        )
        .bind(serde_json::to_string(&asked)?)
        .bind(self.batch)
        .bind(texts.into_blob())
        .fetch_all(&mut *self.connection)
        .await?;
        found
            .iter()
            .map(|row| {
                let index = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
                let known = Known {
                    job: row.try_get(1)?,
                    position: row.try_get(2)?,
                    same_request: row.try_get(3)?,
                    same_cells: row.try_get(4)?,
                };
                Ok((index, known))
            })
            .collect()
    }

    pub(super) async fn insert(&mut self, new: &[(i64, i64, &NewRow)]) -> Result<(), StoreError> {
        if new.is_empty() {
            return Ok(());
        }
        self.leave_index().await?;
        let jobs: Vec<_> = new
            .iter()
            .map(|(job, position, _)| (job, position))
            .collect();
        sqlx::query(
            "INSERT INTO jobs (id, batch_id, position)
             SELECT v.value ->> 0, ?2, v.value ->> 1 FROM jsonb_each(?1) AS v",
        )
        .bind(serde_json::to_string(&jobs)?)
        .bind(self.batch)
        .execute(&mut *self.connection)
        .await?;
        let mut texts = Pack::default();
        let rows = new.iter();
        let rows: Vec<_> = rows
            .map(|(job, _, row)| {
                let (cells, request) = (texts.add(&row.cells), texts.add(&row.request));
                let (key, digest) = (&row.key, &row.digest);
                (job, key, digest, cells.0, cells.1, request.0, request.1)
            })
            .collect();
        sqlx::query(
            "INSERT INTO rows (job_id, batch_id, key, cells, request, digest)
             SELECT v.value ->> 0, ?2, v.value ->> 1,
                    CAST(substr(?3, v.value ->> 3, v.value ->> 4) AS TEXT),
                    CAST(substr(?3, v.value ->> 5, v.value ->> 6) AS TEXT), v.value ->> 2
             FROM jsonb_each(?1) AS v",
        )
        .bind(serde_json::to_string(&rows)?)
        .bind(self.batch)
        .bind(texts.into_blob())
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Leaves the index over the keys for the end, when this is the first input of the database and
    /// a large one: filled in no order, it costs more than all the rest.
    pub(super) async fn leave_index(&mut self) -> Result<(), StoreError> {
        if self.is_first && !self.index_left && self.report.added > LARGE {
            sqlx::query("DROP INDEX rows_key")
                .execute(&mut *self.connection)
                .await?;
            self.index_left = true;
        }
        Ok(())
    }

    pub(super) async fn rewrite(&mut self, rewritten: &[(i64, &NewRow)]) -> Result<(), StoreError> {
        let mut texts = Pack::default();
        let rows = rewritten.iter();
        let rows: Vec<_> = rows
            .map(|(job, row)| {
                let (cells, request) = (texts.add(&row.cells), texts.add(&row.request));
                (job, &row.digest, cells.0, cells.1, request.0, request.1)
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE rows SET cells = CAST(substr(?2, v.value ->> 2, v.value ->> 3) AS TEXT),
                             request = CAST(substr(?2, v.value ->> 4, v.value ->> 5) AS TEXT),
                             digest = v.value ->> 1
             FROM jsonb_each(?1) AS v WHERE rows.job_id = v.value ->> 0",
        )
        .bind(serde_json::to_string(&rows)?)
        .bind(texts.into_blob())
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// Makes jobs pending again as if they were new. The higher `claim_no` shuts out an answer to
    /// the old question that may be in flight.
    pub(super) async fn reopen(&mut self, jobs: &[i64]) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM results WHERE job_id IN (SELECT value FROM json_each(?1))",
            jobs,
        )
        .await?;
        self.run(
            "UPDATE jobs SET state = 0, not_before = 0, requests = 0, spent = 0, crashes = 0,
                             claim_no = claim_no + 1, history_from = claim_no + 1
             WHERE id IN (SELECT value FROM json_each(?1))",
            jobs,
        )
        .await
    }

    pub(super) async fn run<T: Serialize>(
        &mut self,
        sql: &'static str,
        many: &[T],
    ) -> Result<(), StoreError> {
        if !many.is_empty() {
            let many = serde_json::to_string(many)?;
            sqlx::query(sql)
                .bind(many)
                .execute(&mut *self.connection)
                .await?;
        }
        Ok(())
    }
}
