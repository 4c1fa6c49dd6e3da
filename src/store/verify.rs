//! Verifying and copying the database: is the file sound, does what is in it hold together, and a
//! copy of it to go back to. Nothing is changed here, and no writer is held up.

use std::fs::File;
use std::io;
use std::path::Path;

use sqlx::sqlite::SqliteConnection;

use super::batches::unsigned;
use super::error::StoreError;
use super::open::Store;

/// Faults of the file that are told.
const MAX_FAULTS: usize = 20;

/// What must never be found: a count of rows, and what they would be.
const NEVER: [(&str, &str); 9] = [
    (
        "SELECT count(*) FROM jobs AS j WHERE NOT EXISTS (SELECT 1 FROM rows WHERE job_id = j.id)",
        "jobs without a row",
    ),
    (
        "SELECT count(*) FROM rows AS r JOIN jobs AS j ON j.id = r.job_id
         WHERE j.batch_id <> r.batch_id",
        "rows in another batch than their job",
    ),
    (
        "SELECT count(*) FROM jobs AS j
         WHERE state = 2 AND NOT EXISTS (SELECT 1 FROM results WHERE job_id = j.id)",
        "answered rows without an answer",
    ),
    (
        "SELECT count(*) FROM results AS x
         WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = x.job_id AND state = 2)",
        "answers of rows that are not answered",
    ),
    (
        "SELECT count(*) FROM jobs AS j
         WHERE state = 2 AND (claim_no < 1 OR requests < 1)
           AND NOT EXISTS (SELECT 1 FROM results WHERE job_id = j.id AND key_label = 'copied')",
        "answered rows that were never asked",
    ),
    (
        "SELECT count(*) FROM attempts AS a
         WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = a.job_id AND claim_no >= a.claim_no)",
        "failures of claims that never were",
    ),
    (
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE position IS NOT NULL
                               GROUP BY batch_id, position HAVING count(*) > 1)",
        "rows at the place of another",
    ),
    (
        "SELECT coalesce(sum(gap), 0) FROM (
             SELECT max(position) + 1 - count(*) AS gap FROM jobs
             WHERE position IS NOT NULL GROUP BY batch_id)",
        "places without a row",
    ),
    (
        "SELECT count(*) FROM results WHERE NOT json_valid(body)",
        "answers that are not what a provider sent",
    ),
];

/// What a look at the whole database has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soundness {
    /// What is wrong with the file; empty when it is sound.
    pub file: Vec<String>,
    /// What does not hold together; empty when all does.
    pub content: Vec<String>,
    /// Rows that are claimed by a run, or were when it died.
    pub in_flight: u64,
    /// Bytes of the write-ahead log that are not folded back.
    pub log: u64,
    /// Whether a spool waits to be taken in by the next run.
    pub has_spool: bool,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target is there.
    #[error("{path} is there already\nhint: name a new file; a backup replaces nothing")]
    Exists {
        /// The target.
        path: String,
    },
    /// The copy cannot be written.
    #[error(
        "cannot write the backup {path}: {cause}\nhint: name a file in a folder that has room and that you may write"
    )]
    Io {
        /// The target.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Reads the whole database, as it is at one moment, and returns what is wrong with it. It takes
    /// some times as long as reading the file does.
    pub async fn verify(&self) -> Result<Soundness, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        let mut soundness = Soundness {
            file: unsound(&mut snapshot).await?,
            has_spool: self.has_spool(),
            ..Soundness::default()
        };
        soundness.log = self.log_length();
        if soundness.file.is_empty() {
            for (sql, what) in NEVER {
                let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut *snapshot).await?;
                if found != 0 {
                    soundness.content.push(format!("{what}: {found}"));
                }
            }
            let running = "SELECT count(*) FROM jobs WHERE state = 1";
            let running = sqlx::query_scalar(running)
                .fetch_one(&mut *snapshot)
                .await?;
            soundness.in_flight = unsigned(running);
        }
        Ok(soundness)
    }

    /// Writes a copy of the database, as it is at one moment, to a new file (mode 0600). When it
    /// returns, the copy is whole and on disk. Works beside a run.
    pub async fn back_up(&self, target: &Path) -> Result<(), BackupError> {
        let shown = target.display().to_string();
        let failed = |cause| BackupError::Io {
            path: shown.clone(),
            cause,
        };
        if target.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { path: shown });
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
        // An empty file may be there: it has the mode that the copy is to have.
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

async fn unsound(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let said = sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut *connection);
    let mut faults: Vec<String> = match said.await.map_err(StoreError::from) {
        // Where it cannot even be read, that is what is wrong.
        Err(StoreError::Corrupt(what)) => return Ok(vec![what]),
        said => said?,
    };
    faults.retain(|line| line != "ok");
    let orphans = "SELECT 'row ' || rowid || ' of ' || \"table\" || ' belongs to no ' || parent
                   FROM pragma_foreign_key_check";
    let orphans: Vec<String> = sqlx::query_scalar(orphans).fetch_all(connection).await?;
    faults.extend(orphans);
    faults.truncate(MAX_FAULTS);
    Ok(faults)
}
