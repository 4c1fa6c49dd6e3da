//! The state of API keys between runs. Keys themselves are never stored, only salted fingerprints.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::domain::time::Timestamp;

use super::error::StoreError;
use super::open::{Store, begin};

/// The stored state of a key for one base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The fingerprint of the key, with the salt of this database.
    pub fingerprint: String,
    /// The base URL that the state applies to.
    pub base_url: String,
    /// The model that the state applies to; empty for all models.
    pub model: String,
    /// The label of the key.
    pub label: String,
    /// The name of the state: healthy, cooling, quarantined, exhausted or dead.
    pub state: String,
    /// When the key can be used again; `None` if the state does not expire.
    pub until: Option<Timestamp>,
    /// The redacted message of the provider; empty for a healthy key.
    pub reason: String,
}

impl KeyRow {
    /// Returns whether the state applies to a key at a base URL with a model.
    #[must_use]
    pub fn applies_to(&self, fingerprint: &str, base_url: &str, model: &str) -> bool {
        let this_model = self.model.is_empty() || self.model == model;
        self.fingerprint == fingerprint && self.base_url == base_url && this_model
    }

    /// The statement that selects all keys, sorted by label.
    pub(super) const ALL: &str =
        "SELECT fingerprint, base_url, label, state, until, reason, model FROM keys
         ORDER BY base_url, label, model";

    /// Reads a row of [`Self::ALL`].
    pub(super) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(Self {
            fingerprint: row.try_get(0)?,
            base_url: row.try_get(1)?,
            label: row.try_get(2)?,
            state: row.try_get(3)?,
            until: row
                .try_get::<Option<i64>, _>(4)?
                .map(Timestamp::from_millis),
            reason: row.try_get(5)?,
            model: row.try_get(6)?,
        })
    }
}

impl Store {
    /// Returns the salt for key fingerprints: 16 random bytes, generated with the database.
    pub async fn salt(&self) -> Result<Vec<u8>, StoreError> {
        let mut writer = self.writer.lock().await;
        Ok(sqlx::query_scalar("SELECT salt FROM identity")
            .fetch_one(&mut *writer)
            .await?)
    }

    /// Returns the states of all keys, sorted by label.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        let rows = sqlx::query(KeyRow::ALL)
            .fetch_all(&mut *self.writer.lock().await)
            .await?;
        rows.iter().map(KeyRow::read).collect()
    }

    /// Saves the states of keys, which apply to `model` or to all models, and replaces their
    /// previous states for either.
    pub async fn save_keys(
        &self,
        keys: &[KeyRow],
        model: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
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

    /// Adds to the number of requests sent with a key on the day that began at `day`. The counts of
    /// earlier days are deleted.
    pub async fn count_requests(
        &self,
        fingerprint: &str,
        base_url: &str,
        day: Timestamp,
        requests: u32,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        sqlx::query(
            "DELETE FROM key_days WHERE fingerprint = ?1 AND base_url = ?2 AND starts_at < ?3",
        )
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

    /// Returns the number of requests sent with a key on the day that began at `day`.
    pub async fn requests_on_day(
        &self,
        fingerprint: &str,
        base_url: &str,
        day: Timestamp,
    ) -> Result<u32, StoreError> {
        let mut writer = self.writer.lock().await;
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

    /// Deletes the states of all keys, or of those with this label. Returns their number.
    pub async fn reset_keys(&self, label: Option<&str>) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let reset = sqlx::query("DELETE FROM keys WHERE ?1 IS NULL OR label = ?1")
            .bind(label)
            .execute(&mut *writer)
            .await?;
        Ok(reset.rows_affected())
    }
}
