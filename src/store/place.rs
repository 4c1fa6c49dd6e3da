//! The place of the database: that its path leads to the file that was opened, before it is opened
//! and as long as it is used.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::open::Store;

/// The length from which on a file can be a database; SQLite takes one of a single byte for empty.
const SHORTEST: u64 = 512;
/// From here on the write-ahead log has grown because something reads without an end, in bytes.
const LONG_LOG: u64 = 256 << 20;

/// Which file a path led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Returns which file a path leads to; `None` when it leads to none.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }

    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }
}

impl Store {
    /// Tells whether the path still leads to the file that is open. What is written to a file that
    /// was removed or replaced is gone with the last connection.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        match fs::symlink_metadata(self.path()) {
            Ok(file) if Identity::of(&file) == self.identity => Ok(()),
            Ok(_) => Err(self.gone("replaced")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.gone("removed")),
            // Whatever else keeps us from looking says nothing of the file.
            Err(_) => Ok(()),
        }
    }

    /// Returns the length of the write-ahead log where it is so long that somebody should know.
    #[must_use]
    pub fn long_log(&self) -> Option<u64> {
        let length = self.log_length();
        (length > LONG_LOG).then_some(length)
    }

    /// Returns the length of the write-ahead log in bytes; 0 when there is none.
    pub(super) fn log_length(&self) -> u64 {
        let mut log = self.path().as_os_str().to_owned();
        log.push("-wal");
        fs::metadata(log).map_or(0, |log| log.len())
    }

    fn gone(&self, how: &'static str) -> StoreError {
        StoreError::Gone {
            path: self.path().to_owned(),
            how,
        }
    }
}

/// Creates the file with mode 0600 before SQLite sees it, as the WAL takes its mode from it, or looks
/// at the one that is there. Returns which file it is.
pub(super) fn settle_at(path: &Path) -> Result<Identity, StoreError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let refused = |cause: &str, hint| StoreError::Open {
        path: path.to_owned(),
        cause: cause.to_owned(),
        hint,
    };
    match created {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => {
                    "make the directory first, or name another file with --db"
                }
                _ => "name a file that you may write with --db",
            };
            return Err(refused(&error.to_string(), hint));
        }
    }
    let unread = |error: io::Error| refused(&error.to_string(), "name another file with --db");
    let file = fs::symlink_metadata(path).map_err(unread)?;
    if file.is_symlink() {
        // The log stands beside the file, the lock beside the link: two runs would not see each other.
        return Err(refused("it is a link", "name the file itself with --db"));
    }
    if file.is_dir() {
        return Err(refused(
            "it is a directory",
            "this is a directory; name a file with --db",
        ));
    }
    if !file.is_file() || (1..SHORTEST).contains(&file.len()) {
        return Err(StoreError::Foreign {
            path: PathBuf::from(path),
        });
    }
    Ok(Identity::of(&file))
}
