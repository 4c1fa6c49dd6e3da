//! The files of a database, and checks that its path refers to the file that was opened.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::store::error::{Result, StoreError};

/// Suffixes of the files of a database; the first is the database itself.
const SUFFIXES: [&str; 5] = ["", "-wal", "-shm", ".lock", ".spool"];

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

    /// Checks that a path still refers to this file.
    pub(super) fn check(self, path: &Path) -> Result<()> {
        let gone = |how| StoreError::Gone {
            path: path.to_owned(),
            how,
        };
        match fs::symlink_metadata(path) {
            Ok(file) if Self::of(&file) == self => Ok(()),
            Ok(_) => Err(gone("replaced")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(gone("removed")),
            // Other errors do not mean that the file was removed.
            Err(_) => Ok(()),
        }
    }

    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }
}

/// Returns the size of the WAL if it is unusually large.
pub(crate) fn oversized_wal(database: &Path) -> Option<u64> {
    let size = wal_size(database);
    (size > LARGE_WAL).then_some(size)
}

/// Returns the size of the WAL in bytes; 0 without one.
pub(super) fn wal_size(database: &Path) -> u64 {
    fs::metadata(with_suffix(database, "-wal")).map_or(0, |wal| wal.len())
}

/// Returns the directory that contains a file.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns the path with a suffix.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns whether a file, at any path, is one of the files of a database.
pub(crate) fn contains(database: &Path, file: &Path) -> bool {
    let file = FileIdentity::at(file);
    let mut files = SUFFIXES.iter().map(|suffix| with_suffix(database, suffix));
    file.is_some() && files.any(|path| FileIdentity::at(&path) == file)
}

/// Returns the files of a database that other users can access.
pub(crate) fn exposed(database: &Path) -> Vec<PathBuf> {
    let files = SUFFIXES.iter().map(|suffix| with_suffix(database, suffix));
    files
        .filter(|file| fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o077 != 0))
        .collect()
}

/// Creates the file with mode 0600 before SQLite opens it, because the WAL inherits its mode, or
/// checks the existing one. Returns its identity.
pub(super) fn create_or_check(path: &Path) -> Result<FileIdentity> {
    let cannot_open = |cause: String, hint| StoreError::Open {
        path: path.to_owned(),
        cause,
        hint,
    };
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let hint = if error.kind() == io::ErrorKind::NotFound {
                "create the directory first, or choose another file with --db"
            } else {
                "choose a writable file with --db"
            };
            return Err(cannot_open(error.to_string(), hint));
        }
        _ => {}
    }
    let file = fs::symlink_metadata(path);
    let file =
        file.map_err(|error| cannot_open(error.to_string(), "choose another file with --db"))?;
    if file.is_symlink() {
        // The lock file is next to the link, not the database: two runs could not exclude each
        // other.
        let hint = "pass the path of the database itself with --db";
        return Err(cannot_open("it is a symbolic link".to_owned(), hint));
    }
    if file.is_dir() {
        let cause = "it is a directory".to_owned();
        return Err(cannot_open(cause, "choose a file with --db"));
    }
    if !file.is_file() || (1..MIN_DATABASE_SIZE).contains(&file.len()) {
        return Err(StoreError::Foreign {
            path: PathBuf::from(path),
        });
    }
    Ok(FileIdentity::of(&file))
}
