//! Conversion of columns.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::job::{Completion, JobState};
use crate::domain::verdict::Scope;
use crate::store::error::Result;

/// Converts a count or size. It is only negative in a damaged database, which must not cause a
/// panic.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads an optional count.
pub(super) fn count_at(row: &SqliteRow, at: usize) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(at)?.map(unsigned))
}

/// Returns the first column of the last row: the position after which the next page starts.
pub(super) fn last_position(rows: &[SqliteRow]) -> Result<Option<i64>, sqlx::Error> {
    rows.last().map(|row| row.try_get(0)).transpose()
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
