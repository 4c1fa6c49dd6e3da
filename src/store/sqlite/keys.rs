//! The state of API keys between runs. Keys themselves are never stored, only salted fingerprints.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::domain::time::Timestamp;

use crate::store::error::Result;
use crate::store::key_row::KeyRow;

use super::columns::time_at;
use super::database::{Database, begin};

/// Reads the states of all keys, sorted by label.
pub(super) async fn all_keys(reader: &mut SqliteConnection) -> Result<Vec<KeyRow>> {
    let rows = sqlx::query(
        "SELECT fingerprint, base_url, label, state, until, reason, model FROM keys
         ORDER BY base_url, label, model",
    )
    .fetch_all(reader)
    .await?;
    rows.iter().map(key_row).collect()
}

fn key_row(row: &SqliteRow) -> Result<KeyRow> {
    Ok(KeyRow {
        fingerprint: row.try_get(0)?,
        base_url: row.try_get(1)?,
        label: row.try_get(2)?,
        state: row.try_get(3)?,
        until: time_at(row, 4)?,
        reason: row.try_get(5)?,
        model: row.try_get(6)?,
    })
}

pub(crate) async fn salt(database: &Database) -> Result<Vec<u8>> {
    let mut writer = database.writer.lock().await;
    Ok(sqlx::query_scalar("SELECT salt FROM identity")
        .fetch_one(&mut *writer)
        .await?)
}

pub(crate) async fn keys(database: &Database) -> Result<Vec<KeyRow>> {
    all_keys(&mut *database.writer.lock().await).await
}

pub(crate) async fn save_keys(
    database: &Database,
    keys: &[KeyRow],
    model: &str,
    now: Timestamp,
) -> Result<()> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    for key in keys {
        sqlx::query(
            "DELETE FROM keys WHERE fingerprint = ?1 AND base_url = ?2 AND model IN ('', ?3)",
        )
        .bind(&key.fingerprint)
        .bind(&key.base_url)
        .bind(model)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO keys (fingerprint, base_url, model, label, state, until, reason,
                               changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(&key.fingerprint)
        .bind(&key.base_url)
        .bind(&key.model)
        .bind(&key.label)
        .bind(&key.state)
        .bind(key.until.map(Timestamp::as_millis))
        .bind(&key.reason)
        .bind(now.as_millis())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(transaction.commit().await?)
}

pub(crate) async fn count_requests(
    database: &Database,
    fingerprint: &str,
    base_url: &str,
    day: Timestamp,
    requests: u32,
) -> Result<()> {
    let mut writer = database.writer.lock().await;
    let mut transaction = begin(&mut writer).await?;
    sqlx::query("DELETE FROM key_days WHERE fingerprint = ?1 AND base_url = ?2 AND starts_at < ?3")
        .bind(fingerprint)
        .bind(base_url)
        .bind(day.as_millis())
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO key_days (fingerprint, base_url, starts_at, requests)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET requests = requests + ?4",
    )
    .bind(fingerprint)
    .bind(base_url)
    .bind(day.as_millis())
    .bind(requests)
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

pub(crate) async fn requests_on_day(
    database: &Database,
    fingerprint: &str,
    base_url: &str,
    day: Timestamp,
) -> Result<u32> {
    let mut writer = database.writer.lock().await;
    let requests: Option<i64> = sqlx::query_scalar(
        "SELECT requests FROM key_days
         WHERE fingerprint = ?1 AND base_url = ?2 AND starts_at = ?3",
    )
    .bind(fingerprint)
    .bind(base_url)
    .bind(day.as_millis())
    .fetch_optional(&mut *writer)
    .await?;
    Ok(requests.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)))
}

pub(crate) async fn reset_keys(database: &Database, label: Option<&str>) -> Result<u64> {
    let mut writer = database.writer.lock().await;
    let reset = sqlx::query("DELETE FROM keys WHERE ?1 IS NULL OR label = ?1")
        .bind(label)
        .execute(&mut *writer)
        .await?;
    Ok(reset.rows_affected())
}
