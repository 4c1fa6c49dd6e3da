//! Verifying the file and content of the database, and backing it up. Neither operation changes the
//! database or blocks writers.

use std::fs::File;
use std::io;
use std::path::Path;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::store::error::{Result, StoreError};
use crate::store::health::{BackupError, IntegrityReport, Versions};

use super::columns::unsigned;
use super::database::Database;
use super::files::{directory, wal_size};
use super::spool::has_spool;

/// Maximum number of file errors that are returned.
const MAX_ERRORS: usize = 20;

/// Statements that count inconsistent rows, with a description of these rows.
const CONSISTENCY_CHECKS: [(&str, &str); 9] = [
    (
        "SELECT count(*) FROM jobs AS j WHERE NOT EXISTS (SELECT 1 FROM rows WHERE job_id = j.id)",
        "jobs without a row",
    ),
    (
        "SELECT count(*) FROM rows AS r JOIN jobs AS j ON j.id = r.job_id
         WHERE j.batch_id <> r.batch_id",
        "rows in a different batch than their job",
    ),
    (
        "SELECT count(*) FROM jobs AS j
         WHERE state = 2 AND NOT EXISTS (SELECT 1 FROM results WHERE job_id = j.id)",
        "completed rows without a response",
    ),
    (
        "SELECT count(*) FROM results AS x
         WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = x.job_id AND state = 2)",
        "responses of rows that are not completed",
    ),
    (
        "SELECT count(*) FROM jobs AS j
         WHERE state = 2 AND (claim_no < 1 OR requests < 1)
           AND NOT EXISTS (SELECT 1 FROM results WHERE job_id = j.id AND key_label = 'copied')",
        "completed rows that were never sent",
    ),
    (
        "SELECT count(*) FROM attempts AS a
         WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = a.job_id AND claim_no >= a.claim_no)",
        "failed attempts of claims that do not exist",
    ),
    (
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE position IS NOT NULL
                               GROUP BY batch_id, position HAVING count(*) > 1)",
        "rows at the position of another row",
    ),
    (
        "SELECT coalesce(sum(gap), 0) FROM (
             SELECT max(position) + 1 - count(*) AS gap FROM jobs
             WHERE position IS NOT NULL GROUP BY batch_id)",
        "positions without a row",
    ),
    (
        "SELECT count(*) FROM results WHERE NOT json_valid(body)",
        "responses that are not valid JSON",
    ),
];

pub(crate) async fn versions(database: &Database) -> Result<Versions> {
    let row = sqlx::query(
        "SELECT 'SQLite ' || sqlite_version(), (SELECT user_version FROM pragma_user_version)",
    )
    .fetch_one(&database.readers)
    .await?;
    Ok(Versions {
        engine: row.try_get(0)?,
        schema: row.try_get(1)?,
    })
}

pub(crate) async fn quick_check(database: &Database) -> Result<Vec<String>> {
    let mut errors: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(10)")
        .fetch_all(&database.readers)
        .await?;
    errors.retain(|line| line != "ok");
    Ok(errors)
}

pub(crate) async fn verify(database: &Database) -> Result<IntegrityReport> {
    let mut snapshot = database.readers.begin().await?;
    let mut integrity = IntegrityReport {
        file_errors: check_file(&mut snapshot).await?,
        has_spool: has_spool(database),
        ..IntegrityReport::default()
    };
    integrity.wal_bytes = wal_size(database.path());
    if integrity.file_errors.is_empty() {
        for (sql, description) in CONSISTENCY_CHECKS {
            let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut *snapshot).await?;
            if found != 0 {
                integrity
                    .inconsistencies
                    .push(format!("{description}: {found}"));
            }
        }
        let running = "SELECT count(*) FROM jobs WHERE state = 1";
        let running = sqlx::query_scalar(running)
            .fetch_one(&mut *snapshot)
            .await?;
        integrity.in_flight = unsigned(running);
    }
    Ok(integrity)
}

pub(crate) async fn back_up(database: &Database, target: &Path) -> Result<(), BackupError> {
    let target_name = target.display().to_string();
    let failed = |cause| BackupError::Io {
        path: target_name.clone(),
        cause,
    };
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: target_name });
    }
    let folder = directory(target);
    let copy = tempfile::Builder::new()
        .prefix(".promptmill-backup.")
        .suffix(".part")
        .tempfile_in(folder)
        .map_err(failed)?;
    let name = copy.path().to_str().map(str::to_owned);
    let name = name.ok_or_else(|| failed(io::Error::other("its name is not UTF-8")))?;
    // `VACUUM INTO` accepts an empty target file and keeps its mode.
    let copied = sqlx::query("VACUUM INTO ?1")
        .bind(name)
        .execute(&database.readers);
    copied.await.map_err(StoreError::from)?;
    let written = File::open(copy.path()).map_err(failed)?;
    written.sync_all().map_err(failed)?;
    copy.persist_noclobber(target)
        .map_err(|error| failed(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

async fn check_file(connection: &mut SqliteConnection) -> Result<Vec<String>> {
    let check = sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut *connection);
    let mut errors: Vec<String> = match check.await.map_err(StoreError::from) {
        // If the file is too damaged for the check, that is the only error.
        Err(StoreError::Corrupt(error)) => return Ok(vec![error]),
        lines => lines?,
    };
    errors.retain(|line| line != "ok");
    let orphans =
        "SELECT 'row ' || rowid || ' of ' || \"table\" || ' refers to a missing row of ' || parent
                   FROM pragma_foreign_key_check";
    let orphans: Vec<String> = sqlx::query_scalar(orphans).fetch_all(connection).await?;
    errors.extend(orphans);
    errors.truncate(MAX_ERRORS);
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[tokio::test]
    async fn quick_check_reports_damaged_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let database = Database::open(&path).await.unwrap();
        assert_eq!(quick_check(&database).await.unwrap(), Vec::<String>::new());
        let versions = versions(&database).await.unwrap();
        assert!(versions.schema >= 1 && versions.engine.starts_with("SQLite 3."));
        let page: i64 =
            sqlx::query_scalar("SELECT max(rootpage) FROM sqlite_schema WHERE type = 'index'")
                .fetch_one(&database.readers)
                .await
                .unwrap();
        database.close().await.unwrap();

        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        let start = u64::try_from(page - 1).unwrap() * 4096;
        file.seek(SeekFrom::Start(start)).unwrap();
        file.write_all(&[0xa5; 4096]).unwrap();
        drop(file);
        let database = Database::open(&path).await.unwrap();
        let errors = quick_check(&database).await.unwrap();
        assert!(!errors.is_empty());
    }
}
