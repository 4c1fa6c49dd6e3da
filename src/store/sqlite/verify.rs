//! Verifying the file and content of the database, and backing it up. Neither operation changes the
//! database or blocks writers.

use std::fs::File;
use std::io;
use std::path::Path;

use sqlx::sqlite::SqliteConnection;

use super::batches::unsigned;
use super::error::StoreError;
use super::open::Store;

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

/// The result of verifying the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrityReport {
    /// Errors in the file; empty if there are none.
    pub file_errors: Vec<String>,
    /// Inconsistencies of the content; empty if there are none.
    pub inconsistencies: Vec<String>,
    /// Number of rows that are claimed by a run, or were claimed by a run that crashed.
    pub in_flight: u64,
    /// Size of the WAL in bytes.
    pub wal_bytes: u64,
    /// Whether a spool exists for the next run to import.
    pub has_spool: bool,
}

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target already exists.
    #[error("{path} already exists\nhint: choose another path; backups never overwrite files")]
    Exists {
        /// The target.
        path: String,
    },
    /// The copy cannot be written.
    #[error(
        "cannot write the backup {path}: {cause}\nhint: choose a writable directory with enough disk space"
    )]
    Io {
        /// The target.
        path: String,
        /// The cause.
        cause: io::Error,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Verifies a snapshot of the whole database. This takes several times as long as reading the
    /// file.
    pub async fn verify(&self) -> Result<IntegrityReport, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        let mut integrity = IntegrityReport {
            file_errors: check_file(&mut snapshot).await?,
            has_spool: self.has_spool(),
            ..IntegrityReport::default()
        };
        integrity.wal_bytes = self.wal_size();
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

    /// Writes a snapshot of the database to a new file (mode 0600). When it returns, the copy is
    /// complete and on disk. Can be called during a run.
    pub async fn back_up(&self, target: &Path) -> Result<(), BackupError> {
        let target_name = target.display().to_string();
        let failed = |cause| BackupError::Io {
            path: target_name.clone(),
            cause,
        };
        if target.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { path: target_name });
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
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
            .execute(&self.readers);
        copied.await.map_err(StoreError::from)?;
        let written = File::open(copy.path()).map_err(failed)?;
        written.sync_all().map_err(failed)?;
        copy.persist_noclobber(target)
            .map_err(|error| failed(error.error))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}

async fn check_file(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
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
