//! Opening the database: every pragma with its reason, the checks before the first use, migration.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use log::LevelFilter;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::Mutex;
use tokio_retry::RetryIf;
use tokio_retry::strategy::{ExponentialBackoff, jitter};

use crate::failpoint;

use super::error::{StoreError, primary_code};
use super::place::{self, Identity};

/// "pmil", in the database's header: tells our files from all others.
const APPLICATION_ID: i64 = 0x706d_696c;

/// `SQLITE_NOTADB`.
const NOT_A_DATABASE: i32 = 26;

/// The migrations in order; the number of one is its place, from 1. Each sets `user_version`.
const MIGRATIONS: [&str; 6] = [
    include_str!("../../migrations/0001_queue.sql"),
    include_str!("../../migrations/0002_objects.sql"),
    include_str!("../../migrations/0003_key_days.sql"),
    include_str!("../../migrations/0004_request_ids.sql"),
    include_str!("../../migrations/0005_twins.sql"),
    include_str!("../../migrations/0006_embeddings.sql"),
];

/// SQLite before 3.51.3 can corrupt a database when the WAL is reset.
const _: () = assert!(libsqlite3_sys::SQLITE_VERSION_NUMBER >= 3_051_003);

/// The queue's database, opened and checked.
#[derive(Debug)]
pub struct Store {
    /// The one connection that writes. Held for one transaction at a time.
    pub(super) writer: Mutex<SqliteConnection>,
    /// Read-only connections, for exports and counts beside a run.
    pub(super) readers: SqlitePool,
    /// The only jobs that may be claimed, as a JSON array; not set: any.
    pub(super) only: OnceLock<String>,
    path: PathBuf,
    /// Which file the path led to.
    pub(super) identity: Identity,
}

impl Store {
    /// Opens the database at `path`, or creates it (mode 0600), and brings it to the newest schema.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let identity = place::settle_at(path)?;
        let writer = make_ready(path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_lazy_with(options(path).read_only(true));
        Ok(Self {
            writer: Mutex::new(writer),
            readers,
            only: OnceLock::new(),
            path: path.to_owned(),
            identity,
        })
    }

    /// Opens the database at `path` if there is one; creates nothing.
    pub async fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        if path.exists() {
            Self::open(path).await.map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns the database's path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes all connections; the last one folds the WAL into the database.
    pub async fn close(self) -> Result<(), StoreError> {
        self.readers.close().await;
        failpoint::hit("close")?;
        self.writer.into_inner().close().await?;
        Ok(())
    }
}

/// Begins a write transaction: the write lock is taken at once, so that no later statement of the
/// transaction can fail for it.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, StoreError> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// Connects, checks, prepares and migrates, and begins anew for some seconds while the file is
/// busy: recovery after a crash, the last close of another process and its turning on of the
/// write-ahead log hold the file for a moment, and SQLite does not wait for any of them.
async fn make_ready(path: &Path) -> Result<SqliteConnection, StoreError> {
    let waits = ExponentialBackoff::from_millis(2)
        .factor(10)
        .max_delay(Duration::from_secs(5))
        .map(jitter)
        .take(9);
    let busy = |error: &StoreError| matches!(error, StoreError::Busy(_));
    RetryIf::start(waits, || try_to_make_ready(path), busy).await
}

async fn try_to_make_ready(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut writer = connect(path).await?;
    check(&mut writer, path).await?;
    prepare(&mut writer).await?;
    migrate(&mut writer, path).await?;
    Ok(writer)
}

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    // KiB: where rows join others, the index over their keys is filled in no order, and what has no
    // room is written and read again many times over. The memory is taken only when it is needed.
    let options = options(path).pragma("cache_size", "-16384");
    options
        .connect()
        .await
        .map_err(|error| match not_ours(error, path) {
            StoreError::Disk(cause) => StoreError::Open {
                path: path.to_owned(),
                cause,
                hint: "check that you may read and write the file and its directory",
            },
            other => other,
        })
}

/// The settings of every connection.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        // An answer costs money: a commit is on disk when it returns, power loss included.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Another process may import or export meanwhile.
        .busy_timeout(Duration::from_secs(30))
        // The file may come from someone else: no function in its schema is trusted, nothing of it
        // is mapped into memory, and its cells are checked.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("mmap_size", "0")
        // Prompts must not spill into a temporary folder.
        .pragma("temp_store", "MEMORY")
        // A large import must not leave a large WAL behind for good.
        .pragma("journal_size_limit", "67108864")
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Debug, Duration::from_secs(1))
}

/// Tells a file that is no database at all from one that is damaged.
pub(super) fn not_ours(error: sqlx::Error, path: &Path) -> StoreError {
    match primary_code(&error) {
        Some(NOT_A_DATABASE) => StoreError::Foreign {
            path: path.to_owned(),
        },
        _ => error.into(),
    }
}

/// Refuses what is not ours, before anything is written to it.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), StoreError> {
    let facts = sqlx::query(
        "SELECT sqlite_version(), (SELECT count(*) FROM sqlite_schema),
                (SELECT application_id FROM pragma_application_id),
                (SELECT user_version FROM pragma_user_version)",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| not_ours(error, path))?;
    let (sqlite, objects): (String, i64) = (facts.try_get(0)?, facts.try_get(1)?);
    let (application, version): (i64, i64) = (facts.try_get(2)?, facts.try_get(3)?);
    if !is_sound(&sqlite) {
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

fn is_sound(sqlite: &str) -> bool {
    let mut parts = sqlite
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= (3, 51, 3)
}

/// Turns on the write-ahead log; the file remembers it.
async fn prepare(connection: &mut SqliteConnection) -> Result<(), StoreError> {
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

/// Brings the schema to the newest version, all in one transaction: a process that dies in it
/// leaves the old version.
async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    if user_version(connection).await? == known_version() {
        return Ok(());
    }
    let mut transaction = begin(connection).await?;
    // Read again: another process may have migrated while this one waited for the lock.
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

async fn user_version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_not_sound() {
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
            assert_eq!(is_sound(version), expected, "{version}");
        }
    }
}
