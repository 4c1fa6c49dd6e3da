//! Opening the database: connection settings, checks before the first use, and migrations.

use std::path::Path;
use std::time::Duration;

use log::LevelFilter;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tokio_retry::RetryIf;
use tokio_retry::strategy::{ExponentialBackoff, jitter};

use crate::failpoint;
use crate::store::error::{Result, StoreError};

/// "pmil" in the database header identifies promptmill databases.
const APPLICATION_ID: i64 = 0x706d_696c;

/// `SQLITE_NOTADB`.
const NOT_A_DATABASE: i32 = 26;

/// The migrations in order, numbered from 1. Each sets `user_version` to its number.
const MIGRATIONS: [&str; 7] = [
    include_str!("../../../migrations/0001_queue.sql"),
    include_str!("../../../migrations/0002_objects.sql"),
    include_str!("../../../migrations/0003_key_days.sql"),
    include_str!("../../../migrations/0004_request_ids.sql"),
    include_str!("../../../migrations/0005_twins.sql"),
    include_str!("../../../migrations/0006_embeddings.sql"),
    include_str!("../../../migrations/0007_deadlines.sql"),
];

/// SQLite before 3.51.3 can corrupt a database when the WAL is reset.
const _: () = assert!(libsqlite3_sys::SQLITE_VERSION_NUMBER >= 3_051_003);

/// Connects, checks and migrates, and retries for a few seconds while the file is busy: recovery
/// after a crash, switching to WAL mode, and the last close in another process lock the file
/// briefly, and the busy timeout does not apply to them.
pub(super) async fn open_writer(path: &Path) -> Result<SqliteConnection> {
    let backoff = ExponentialBackoff::from_millis(2)
        .factor(10)
        .max_delay(Duration::from_secs(5))
        .map(jitter)
        .take(9);
    let busy = |error: &StoreError| matches!(error, StoreError::Busy(_));
    RetryIf::start(backoff, || try_open_writer(path), busy).await
}

async fn try_open_writer(path: &Path) -> Result<SqliteConnection> {
    let mut writer = connect(path).await?;
    check(&mut writer, path).await?;
    enable_wal(&mut writer).await?;
    migrate(&mut writer, path).await?;
    Ok(writer)
}

async fn connect(path: &Path) -> Result<SqliteConnection> {
    // Adding rows fills the index on their keys in random order, which requires a larger cache (in
    // KiB) than the default to avoid rereading pages. Memory is allocated on demand.
    let options = options(path).pragma("cache_size", "-16384");
    options
        .connect()
        .await
        .map_err(|error| match map_open_error(error, path) {
            StoreError::Disk(cause) => StoreError::Open {
                path: path.to_owned(),
                cause,
                hint: "check the permissions of the file and its directory",
            },
            other => other,
        })
}

/// Returns the settings of all connections.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        // Responses cost money: a commit must be durable when it returns, even after power loss.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Another process can import or export at the same time.
        .busy_timeout(Duration::from_secs(30))
        // The file can come from an untrusted source: do not trust functions in its schema, do not
        // map it into memory, and check its cells.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("mmap_size", "0")
        // Prompts must not end up in temporary files.
        .pragma("temp_store", "MEMORY")
        // Truncate the WAL after a large import.
        .pragma("journal_size_limit", "67108864")
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Debug, Duration::from_secs(1))
}

/// Converts an error, distinguishing files that are not a database from damaged ones.
pub(super) fn map_open_error(error: sqlx::Error, path: &Path) -> StoreError {
    match primary_code(&error) {
        Some(NOT_A_DATABASE) => StoreError::Foreign {
            path: path.to_owned(),
        },
        _ => error.into(),
    }
}

/// Rejects files that are not promptmill databases before anything is written to them.
pub(super) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let row = sqlx::query(
        "SELECT sqlite_version(), (SELECT count(*) FROM sqlite_schema),
                (SELECT application_id FROM pragma_application_id),
                (SELECT user_version FROM pragma_user_version)",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| map_open_error(error, path))?;
    let (sqlite, objects): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (application, version): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    if !is_safe_version(&sqlite) {
        return Err(StoreError::OldSqlite { found: sqlite });
    }
    if application != APPLICATION_ID && (application != 0 || version != 0 || objects != 0) {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    let known = known_version();
    if version > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: version,
            known,
        });
    }
    Ok(())
}

fn is_safe_version(sqlite: &str) -> bool {
    let mut parts = sqlite
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= (3, 51, 3)
}

/// Switches the database to WAL mode. The setting is persistent.
async fn enable_wal(connection: &mut SqliteConnection) -> Result<()> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await?;
    if mode != "wal" {
        sqlx::query("PRAGMA journal_mode = WAL")
            .execute(connection)
            .await?;
    }
    Ok(())
}

fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Migrates the schema to the latest version in one transaction.
async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    if user_version(connection).await? == known_version() {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Read the version again: another process can have migrated while this one waited for the lock.
    let version = user_version(&mut transaction).await?;
    let done = usize::try_from(version).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    failpoint::hit("migrate-commit")?;
    transaction.commit().await?;
    tracing::debug!(path = %path.display(), from = version, to = known_version(), "migrated");
    Ok(())
}

async fn user_version(connection: &mut SqliteConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await?)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let message = error
            .as_database_error()
            .map(sqlx::error::DatabaseError::message);
        let text = message.map_or_else(|| error.to_string(), str::to_owned);
        // A value that the program never writes.
        if matches!(
            error,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        ) {
            return StoreError::Corrupt(text);
        }
        match primary_code(&error) {
            // SQLITE_BUSY, SQLITE_LOCKED
            Some(5 | 6) => StoreError::Busy(text),
            // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
            Some(8 | 10 | 13 | 14) => StoreError::Disk(text),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some(11 | 26) => StoreError::Corrupt(text),
            _ => StoreError::Other(error.to_string()),
        }
    }
}

/// Returns SQLite's primary result code, without the extension in the upper bytes.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_sqlite_versions_are_rejected() {
        for (version, expected) in [
            ("3.51.2", false),
            ("3.50.9", false),
            ("3.9.0", false),
            ("2.99.99", false),
            ("", false),
            ("3.51.3", true),
            ("3.60.0", true),
            ("4.0", true),
        ] {
            assert_eq!(is_safe_version(version), expected, "{version}");
        }
    }
}
