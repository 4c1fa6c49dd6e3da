//! Conversion of columns.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::{Completion, JobState};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;
use crate::store::error::Result;
use crate::store::row::Page;

use super::database::Database;

/// Converts a count or size. It is only negative in a damaged database, which must not cause a
/// panic.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Converts a count that the program limits to 32 bits.
pub(super) fn unsigned_32(number: i64) -> u32 {
    u32::try_from(unsigned(number)).unwrap_or(u32::MAX)
}

/// Reads an optional count.
pub(super) fn count_at(row: &SqliteRow, at: usize) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(at)?.map(unsigned))
}

/// Reads a page of a batch. The parameters of the statement are the batch, the position after which
/// the page starts, and the maximum number of rows; its first column is the position.
pub(super) async fn read_page<T>(
    database: &Database,
    sql: &'static str,
    (batch, after, limit): (i64, Option<i64>, u32),
    convert: fn(&SqliteRow) -> Result<T>,
) -> Result<Page<T>> {
    let rows = sqlx::query(sql)
        .bind(batch)
        .bind(after.unwrap_or(-1))
        .bind(limit);
    let rows = rows.fetch_all(&database.readers).await?;
    let positions: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let items = rows.iter().map(convert).collect::<Result<_>>()?;
    Ok((items, positions.into_iter().max()))
}

/// Reads an HTTP status.
pub(super) fn status_at(row: &SqliteRow, at: usize) -> Result<Option<u16>, sqlx::Error> {
    let status: Option<i64> = row.try_get(at)?;
    Ok(status.and_then(|status| u16::try_from(status).ok()))
}

/// Reads an optional time.
pub(super) fn time_at(row: &SqliteRow, at: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row
        .try_get::<Option<i64>, _>(at)?
        .map(Timestamp::from_millis))
}

/// Reads a completion. Its columns start at `body` in the order of the table, except for the
/// request ID.
pub(super) fn completion_at(
    row: &SqliteRow,
    body: usize,
    request_id: usize,
) -> Result<Option<Completion>> {
    let Some(text) = row.try_get(body)? else {
        return Ok(None);
    };
    Ok(Some(Completion {
        body: text,
        model: row.try_get(body + 1)?,
        finish_reason: row.try_get(body + 2)?,
        prompt_tokens: count_at(row, body + 3)?,
        completion_tokens: count_at(row, body + 4)?,
        latency_ms: count_at(row, body + 5)?.unwrap_or(0),
        request_id: row.try_get(request_id)?,
    }))
}

/// Converts the stored state of a job.
pub(super) fn state(number: i64) -> JobState {
    match number {
        0 => JobState::Pending,
        1 => JobState::Running,
        2 => JobState::Done,
        _ => JobState::Failed,
    }
}

/// Converts the stored scope of a failure.
pub(super) fn scope(text: String) -> Result<Scope> {
    Ok(serde_json::from_value(serde_json::Value::String(text))?)
}
