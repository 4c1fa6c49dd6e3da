//! Where the queue is stored, and what can be found out without opening it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::{LockError, StoreError};
use super::server_url::ServerUrl;
use super::sqlite::{Disk, DiskError, file_system, files, lock};

/// Where the queue is stored. Its display form never contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite database.
    File(PathBuf),
    /// A database server.
    Server(ServerUrl),
}

impl Location {
    /// Parses a path or a URL.
    #[must_use]
    pub fn new(location: impl Into<PathBuf>) -> Self {
        let path = location.into();
        match ServerUrl::parse(&path.to_string_lossy()) {
            Some(url) => Self::Server(url),
            None => Self::File(path),
        }
    }

    /// Returns an error if this build does not support databases of this kind.
    pub fn check_supported(&self) -> Result<(), StoreError> {
        self.file().map(|_| ())
    }

    /// Returns the file of a SQLite database.
    pub(super) fn file(&self) -> Result<&Path, StoreError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Server(url) => Err(StoreError::Unsupported(*url)),
        }
    }

    /// Returns whether the database exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.file().is_ok_and(Path::exists)
    }

    /// Returns whether a file is part of the database.
    #[must_use]
    pub fn contains(&self, file: &Path) -> bool {
        self.file().is_ok_and(|path| files::contains(path, file))
    }

    /// Returns a path relative to the directory of the database if it is below it.
    #[must_use]
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        let directory = self.file().ok().map(files::directory);
        let directory = directory.and_then(|directory| directory.canonicalize().ok());
        directory
            .and_then(|directory| path.strip_prefix(directory).ok())
            .unwrap_or(path)
    }

    /// Returns the disk of the database, or of its directory if there is no database yet; `None`
    /// for a server.
    pub fn disk(&self) -> Result<Option<Disk>, DiskError> {
        self.file().ok().map(file_system::disk).transpose()
    }

    /// Returns the files of the database that other users can access.
    #[must_use]
    pub fn exposed_files(&self) -> Vec<PathBuf> {
        self.file().map_or_else(|_| Vec::new(), files::exposed)
    }

    /// Returns the holder of the run lock, such as `process 123`; `None` if it is free.
    pub fn run_lock_holder(&self) -> Result<Option<String>, LockError> {
        self.file().map_or(Ok(None), lock::holder)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_files_of_a_database_are_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("q.db"));
        for (name, expected) in [
            ("q.db", true),
            ("q.db-wal", true),
            ("q.db-shm", true),
            ("q.db.lock", true),
            ("q.db.spool", true),
            ("q.db.csv", false),
            ("other.db", false),
        ] {
            let file = folder.path().join(name);
            assert!(!location.contains(&file), "{name} does not exist");
            fs::write(&file, "").unwrap();
            assert_eq!(location.contains(&file), expected, "{name}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("q.db"), &link).unwrap();
        assert!(location.contains(&link));
        assert!(!Location::new("postgres://db").contains(&link));
    }

    #[test]
    fn paths_below_the_directory_of_the_database_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let file = folder.join("a/b.csv");
        let below = Location::new(folder.join("q.db"));
        assert_eq!(below.relative(&file), Path::new("a/b.csv"));
        assert_eq!(Location::new("q.db").relative(&file), file);
        assert_eq!(Location::new("postgres://db").relative(&file), file);
    }

    #[test]
    fn a_server_is_not_supported() {
        let location = Location::new("postgres://me:hunter2@db/jobs");
        let error = location.check_supported().unwrap_err().to_string();
        assert!(error.starts_with("this build does not support PostgreSQL\nhint: "));
        assert!(!location.exists() && location.exposed_files().is_empty());
        assert!(!format!("{location} {location:?} {error}").contains("hunter2"));
        Location::new("q.db").check_supported().unwrap();
    }
}
