//! Reading rows as exchanges with the provider, for files in the form of its Batch API: what came
//! back under which name, and the requests that have no answer yet.

use serde::Deserialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::{Exchange, JobId, RecordedFailure};

use super::batches::last_place;
use super::error::StoreError;
use super::open::Store;
use super::read::answer_at;

/// A fault as the statement writes it.
#[derive(Deserialize)]
struct FaultLine(String, String, Option<u16>, String);

/// A request that has no answer: the key of its row, and the body as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// What tells the row from all others of its batch.
    pub key: String,
    /// The request body.
    pub request: String,
}

impl Store {
    /// Returns up to `limit` exchanges of a batch in input order, those after the place `after`
    /// (`None` from the start), with the place of the last one.
    pub async fn exchanges(
        &self,
        batch: i64,
        after: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<Exchange>, Option<i64>), StoreError> {
        let rows = sqlx::query(
            "SELECT j.position, j.id, r.key, j.state = 3, x.body, x.model, x.finish_reason,
                    x.prompt_tokens, x.completion_tokens, x.latency_ms, x.request_id,
                    CASE WHEN j.state <> 2 AND j.claim_no > j.history_from THEN (
                        SELECT json_array(a.rule, a.message, a.status, a.request_id)
                        FROM attempts AS a
                        WHERE a.job_id = j.id AND a.claim_no > j.history_from
                        ORDER BY a.id DESC LIMIT 1
                    ) END
             FROM jobs AS j
             JOIN rows AS r ON r.job_id = j.id
             LEFT JOIN results AS x ON x.job_id = j.id
             WHERE j.batch_id = ?1 AND j.position > ?2
             ORDER BY j.position LIMIT ?3",
        )
        .bind(batch)
        .bind(after.unwrap_or(-1))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let last = last_place(&rows)?;
        let exchanges = rows.iter().map(exchange).collect::<Result<_, _>>()?;
        Ok((exchanges, last))
    }

    /// Returns up to `limit` requests of a batch that have no answer, in input order, those after
    /// the place `after` (`None` from the start), with the place of the last one.
    pub async fn open_requests(
        &self,
        batch: i64,
        after: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<OpenRequest>, Option<i64>), StoreError> {
        let rows = sqlx::query(
            "SELECT j.position, r.key, r.request
             FROM jobs AS j
             JOIN rows AS r ON r.job_id = j.id
             WHERE j.batch_id = ?1 AND j.position > ?2 AND j.state <> 2
             ORDER BY j.position LIMIT ?3",
        )
        .bind(batch)
        .bind(after.unwrap_or(-1))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let last = last_place(&rows)?;
        let open = |row: &SqliteRow| {
            Ok::<_, sqlx::Error>(OpenRequest {
                key: row.try_get(1)?,
                request: row.try_get(2)?,
            })
        };
        let requests = rows.iter().map(open).collect::<Result<_, _>>()?;
        Ok((requests, last))
    }
}

fn exchange(row: &SqliteRow) -> Result<Exchange, StoreError> {
    let completion = answer_at(row, 4, 10)?;
    let failure: Option<&str> = row.try_get(11)?;
    let failure = failure.map(serde_json::from_str).transpose()?;
    Ok(Exchange {
        id: JobId(row.try_get(1)?),
        key: row.try_get(2)?,
        completion,
        failed: row.try_get(3)?,
        failure: failure.map(
            |FaultLine(rule, message, status, request_id)| RecordedFailure {
                rule,
                message,
                status,
                request_id,
            },
        ),
    })
}
