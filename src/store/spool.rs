//! The spool: a file beside the database that takes what has come back when the database takes no
//! more, because the disk is full or has failed. The next run settles from it, without asking again.
//!
//! Its room on the disk is reserved before the first request is sent: when the disk is full, there
//! is none to be had. It belongs to one database, and what it holds is fenced by `claim_no` as any
//! settlement is, so that taking it in twice changes nothing.

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

/// Settlements of one transaction when a spool is taken in: an answer may have megabytes.
const GROUP: usize = 64;

/// The first line of a spool.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The print of the database that it belongs to.
    spool_of: String,
    /// When the first settlement was kept.
    at: Timestamp,
}

/// A spool that is ready to be written. It is empty unless something went wrong.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    file: File,
    database: String,
    /// Where the last whole line ends.
    end: u64,
}

/// What became of settlements that the database did not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolOutcome {
    /// Those that are in the spool, on disk.
    pub kept: u64,
    /// Those that had no room there either.
    pub lost: u64,
}

impl Store {
    /// Tells whether results wait in a spool; those of a run that is under way may be none.
    #[must_use]
    pub fn has_spool(&self) -> bool {
        spool_path(self.path()).exists()
    }

    /// Makes an empty spool beside the database and reserves so many bytes for it where the file
    /// system can. The caller holds the run lock and has taken in what an earlier spool held.
    pub async fn reserve_spool(&self, bytes: u64) -> Result<Spool, StoreError> {
        let path = spool_path(self.path());
        let failed = |cause| unusable(&path, cause);
        let file = open(&path, true).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        if let Err(cause) = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            tracing::info!(%cause, "no room is reserved for answers that the database cannot take");
        }
        Ok(Spool {
            file,
            database: self.print().await?,
            end: 0,
            path,
        })
    }

    /// Settles what the spool of an earlier run holds, and removes it. Returns how many jobs were
    /// settled. The caller holds the run lock and has not rescued anything yet.
    pub async fn take_in_spool(&self) -> Result<u64, StoreError> {
        let path = spool_path(self.path());
        let file = match open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened.map_err(|cause| unusable(&path, cause))?,
        };
        let mut lines = BufReader::new(file);
        let mut taken = 0;
        if let Some(header) = next_line::<Header>(&mut lines) {
            if header.spool_of != self.print().await? {
                return Err(StoreError::ForeignSpool { path });
            }
            loop {
                let group: Vec<Settlement> = std::iter::from_fn(|| next_line(&mut lines))
                    .take(GROUP)
                    .collect();
                if group.is_empty() {
                    break;
                }
                let mut writer = self.writer.lock().await;
                let mut transaction = begin(&mut writer).await?;
                taken += settle(&mut transaction, &group, header.at).await?;
                failpoint::hit("spool-commit")?;
                transaction.commit().await?;
            }
        }
        failpoint::hit("spool-taken")?;
        fs::remove_file(&path).map_err(|cause| unusable(&path, cause))?;
        Ok(taken)
    }

    /// Returns what tells this database from all others, for files beside it.
    async fn print(&self) -> Result<String, StoreError> {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.salt().await?);
        let bytes = digest.as_ref().iter().take(8);
        Ok(bytes.fold(String::new(), |print, byte| print + &format!("{byte:02x}")))
    }
}

impl Spool {
    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds settlements. When it returns, those it counts as kept are on disk.
    pub fn keep(&mut self, settlements: &[Settlement], now: Timestamp) -> SpoolOutcome {
        let mut kept = SpoolOutcome::default();
        if settlements.is_empty() {
            return kept;
        }
        let header = Header {
            spool_of: self.database.clone(),
            at: now,
        };
        let began = self.end > 0 || self.write(&header).is_ok();
        let from = self.end;
        for settlement in settlements {
            let is_kept = began && self.write(settlement).is_ok();
            *(if is_kept {
                &mut kept.kept
            } else {
                &mut kept.lost
            }) += 1;
        }
        if self.end > from
            && let Err(cause) = self.file.sync_all()
        {
            tracing::warn!(%cause, "the spool may not be on disk");
            (kept.lost, kept.kept) = (kept.lost + kept.kept, 0);
        }
        kept
    }

    /// Ends a spool that nothing was kept in.
    pub fn remove(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|cause| unusable(&self.path, cause))
    }

    /// Writes a line behind the last whole one. Half a line is none: the next one is written over
    /// it, and what is left of it has no line end.
    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        failpoint::hit("spool-write")?;
        self.file.write_all_at(&text, self.end)?;
        self.end += text.len() as u64;
        Ok(())
    }
}

/// Returns where the spool of a database is.
pub(super) fn spool_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".spool");
    PathBuf::from(name)
}

/// Opens the file if it is one: a link might lead anywhere.
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
        Err(io::Error::other("it is not a file"))
    }
}

/// Reads a whole line; `None` at the end, and where a write broke off.
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
