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
use super::settlement::Settlement;

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

/// A spool of an earlier run.
#[derive(Debug)]
pub(super) struct SpoolReader {
    path: PathBuf,
    lines: BufReader<File>,
    header: Option<SpoolHeader>,
}

impl Spool {
    /// Creates an empty spool and reserves disk space for it, if the file system supports that.
    /// `database` is the fingerprint of the database.
    pub(super) fn create(path: PathBuf, database: String, bytes: u64) -> Result<Self, StoreError> {
        let failed = |cause| unusable(&path, cause);
        let file = open(&path, true).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        if let Err(cause) = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            tracing::info!(%cause, "cannot reserve disk space for the spool");
        }
        Ok(Self {
            path,
            file,
            database,
            end: 0,
        })
    }

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

impl SpoolReader {
    /// Opens a spool, if it exists. It must belong to the database with this fingerprint.
    pub(super) fn open(path: PathBuf, database: &str) -> Result<Option<Self>, StoreError> {
        let file = match open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|cause| unusable(&path, cause))?,
        };
        let mut lines = BufReader::new(file);
        let header = next_line::<SpoolHeader>(&mut lines);
        let is_foreign = |header: &SpoolHeader| header.spool_of != database;
        if header.as_ref().is_some_and(is_foreign) {
            return Err(StoreError::ForeignSpool { path });
        }
        Ok(Some(Self {
            path,
            lines,
            header,
        }))
    }

    /// Reads the next settlements, with the time of the first settlement of the spool; `None` at
    /// the end.
    pub(super) fn next_group(&mut self) -> Option<(Vec<Settlement>, Timestamp)> {
        let at = self.header.as_ref()?.at;
        let settlements = std::iter::from_fn(|| next_line(&mut self.lines));
        let group: Vec<_> = settlements.take(GROUP_SIZE).collect();
        (!group.is_empty()).then_some((group, at))
    }

    /// Removes the spool.
    pub(super) fn remove(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|cause| unusable(&self.path, cause))
    }
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
