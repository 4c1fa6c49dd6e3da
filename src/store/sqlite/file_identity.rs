//! Checks that the path of the database refers to the file that was opened, before opening it and
//! while it is in use.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::open::Store;

/// Minimum size of a database, in bytes. SQLite treats a file of one byte as empty.
const MIN_DATABASE_SIZE: u64 = 512;
/// WAL size in bytes that indicates a long-running reader.
const LARGE_WAL: u64 = 256 << 20;

/// Identifies a file independently of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file at a path, if it exists.
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
    /// Checks that the path still refers to the open file. Changes to a removed or replaced file
    /// are lost when the last connection closes.
    pub(super) fn check_path(&self) -> Result<(), StoreError> {
        match fs::symlink_metadata(self.path()) {
            Ok(file) if FileIdentity::of(&file) == self.identity => Ok(()),
            Ok(_) => Err(self.gone("replaced")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.gone("removed")),
            // Other errors do not mean that the file was removed.
            Err(_) => Ok(()),
        }
    }

    /// Returns the size of the WAL if it is unusually large.
    #[must_use]
    pub fn oversized_wal(&self) -> Option<u64> {
        let size = self.wal_size();
        (size > LARGE_WAL).then_some(size)
    }

    /// Returns the size of the WAL in bytes; 0 without one.
    pub(super) fn wal_size(&self) -> u64 {
        let mut wal = self.path().as_os_str().to_owned();
        wal.push("-wal");
        fs::metadata(wal).map_or(0, |wal| wal.len())
    }

    fn gone(&self, how: &'static str) -> StoreError {
        StoreError::Gone {
            path: self.path().to_owned(),
            how,
        }
    }
}

/// Creates the file with mode 0600 before SQLite opens it, because the WAL inherits its mode, or
/// checks the existing one. Returns its identity.
pub(super) fn create_or_check(path: &Path) -> Result<FileIdentity, StoreError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let cannot_open = |cause: &str, hint| StoreError::Open {
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
                    "create the directory first, or choose another file with --db"
                }
                _ => "choose a writable file with --db",
            };
            return Err(cannot_open(&error.to_string(), hint));
        }
    }
    let unreadable =
        |error: io::Error| cannot_open(&error.to_string(), "choose another file with --db");
    let file = fs::symlink_metadata(path).map_err(unreadable)?;
    if file.is_symlink() {
        // The lock file is next to the link, not the database: two runs could not exclude each
        // other.
        return Err(cannot_open(
            "it is a symbolic link",
            "pass the path of the database itself with --db",
        ));
    }
    if file.is_dir() {
        return Err(cannot_open("it is a directory", "choose a file with --db"));
    }
    if !file.is_file() || (1..MIN_DATABASE_SIZE).contains(&file.len()) {
        return Err(StoreError::Foreign {
            path: PathBuf::from(path),
        });
    }
    Ok(FileIdentity::of(&file))
}
