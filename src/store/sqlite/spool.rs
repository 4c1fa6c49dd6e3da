//! The spool: a file next to the database that stores settlements when the database cannot be
//! written, for example because the disk is full. The next run imports them without sending the
//! requests again.
//!
//! Its disk space is reserved before the first request is sent, while space is still available. A
//! spool belongs to one database. Its settlements are fenced by `claim_no` like all others, so
//! importing them twice has no effect.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::failpoint;

use super::error::StoreError;
use super::open::{Store, begin};
use super::settle::{Settlement, settle};

/// Maximum number of settlements per transaction. A response can have several megabytes.
const GROUP_SIZE: usize = 64;

/// The first line of a spool.
#[derive(Debug, Serialize, Deserialize)]
struct SpoolHeader {
    /// The fingerprint of the database that the spool belongs to.
    spool_of: String,
    /// When the first settlement was appended.
    at: Timestamp,
}

/// A spool open for writing. It stays empty unless the database fails.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    file: File,
    database: String,
    /// The end of the last complete line.
    end: u64,
}

/// The number of settlements that were spooled or lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolOutcome {
    /// Settlements that are in the spool, on disk.
    pub spooled: u64,
    /// Settlements that could not be spooled either.
    pub lost: u64,
}

impl Store {
    /// Returns whether a spool exists. During a run it can be empty.
    #[must_use]
    pub fn has_spool(&self) -> bool {
        spool_path(self.path()).exists()
    }

    /// Creates an empty spool next to the database and reserves disk space for it, if the file
    /// system supports that. The caller holds the run lock and has settled any earlier spool.
    pub async fn reserve_spool(&self, bytes: u64) -> Result<Spool, StoreError> {
        let path = spool_path(self.path());
        let failed = |cause| unusable(&path, cause);
        let file = open(&path, true).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        if let Err(cause) = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            tracing::info!(%cause, "cannot reserve disk space for the spool");
        }
        Ok(Spool {
            file,
            database: self.fingerprint().await?,
            end: 0,
            path,
        })
    }

    /// Imports the spool of an earlier run, and removes the file. Returns the number of settled
    /// jobs. The caller holds the run lock and has not called [`recover`](Self::recover) yet.
    pub async fn settle_spool(&self) -> Result<u64, StoreError> {
        let path = spool_path(self.path());
        let file = match open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened.map_err(|cause| unusable(&path, cause))?,
        };
        let mut lines = BufReader::new(file);
        let mut settled = 0;
        if let Some(header) = next_line::<SpoolHeader>(&mut lines) {
            if header.spool_of != self.fingerprint().await? {
                return Err(StoreError::ForeignSpool { path });
            }
            loop {
                let group: Vec<Settlement> = std::iter::from_fn(|| next_line(&mut lines))
                    .take(GROUP_SIZE)
                    .collect();
                if group.is_empty() {
                    break;
                }
                let mut writer = self.writer.lock().await;
                let mut transaction = begin(&mut writer).await?;
                settled += settle(&mut transaction, &group, header.at).await?;
                failpoint::hit("spool-commit")?;
                transaction.commit().await?;
            }
        }
        failpoint::hit("spool-taken")?;
        fs::remove_file(&path).map_err(|cause| unusable(&path, cause))?;
        Ok(settled)
    }

    /// Returns a string that identifies this database.
    async fn fingerprint(&self) -> Result<String, StoreError> {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.salt().await?);
        let bytes = digest.as_ref().iter().take(8);
        Ok(bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
    }
}

impl Spool {
    /// Returns the path of the spool.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends settlements. When this method returns, the spooled ones are on disk.
    pub fn append(&mut self, settlements: &[Settlement], now: Timestamp) -> SpoolOutcome {
        let mut outcome = SpoolOutcome::default();
        if settlements.is_empty() {
            return outcome;
        }
        let header = SpoolHeader {
            spool_of: self.database.clone(),
            at: now,
        };
        let has_header = self.end > 0 || self.write(&header).is_ok();
        let start = self.end;
        for settlement in settlements {
            if has_header && self.write(settlement).is_ok() {
                outcome.spooled += 1;
            } else {
                outcome.lost += 1;
            }
        }
        if self.end > start
            && let Err(cause) = self.file.sync_all()
        {
            tracing::warn!(%cause, "cannot sync the spool to disk");
            (outcome.lost, outcome.spooled) = (outcome.lost + outcome.spooled, 0);
        }
        outcome
    }

    /// Removes an empty spool.
    pub fn remove(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|cause| unusable(&self.path, cause))
    }

    /// Writes a line after the last complete one. A partially written line is overwritten by the
    /// next one, or ignored by the reader because it has no line end.
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        failpoint::hit("spool-write")?;
        self.file.write_all_at(&text, self.end)?;
        self.end += text.len() as u64;
        Ok(())
    }
}

/// Returns the path of a database's spool.
pub(super) fn spool_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".spool");
    PathBuf::from(name)
}

/// Opens a regular file; symbolic links are rejected because they can point anywhere.
fn open(path: &Path, create: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(create)
        .create(create)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Reads a complete line; `None` at the end or at a partially written line.
fn next_line<T: for<'de> Deserialize<'de>>(lines: &mut BufReader<File>) -> Option<T> {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).ok()?;
    line.ends_with(b"\n")
        .then(|| serde_json::from_slice(&line).ok())?
}

fn unusable(path: &Path, cause: io::Error) -> StoreError {
    StoreError::Spool {
        path: path.to_owned(),
        cause,
    }
}
