//! The run lock: only one run at a time can claim and settle jobs.
//!
//! It is an OS lock on a separate file next to the database. The operating system releases it when
//! the process dies, so if the lock is free, no run is alive.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The run lock, held until this value is dropped or the process dies.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// Why the lock could not be acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error(
        "another run is using the database ({holder})\n\
         hint: wait for it to finish, or stop it; `promptmill status` shows its progress"
    )]
    Held {
        /// The content of the lock file, such as `process 123`.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock file {}: {cause}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
}

impl RunLock {
    /// Acquires the lock of a database, or fails with its current holder. `holder` is written to
    /// the lock file to identify this process.
    pub fn acquire(database: &Path, holder: &str) -> Result<Self, LockError> {
        let path = lock_path(database);
        let failed = |cause| LockError::Io {
            path: path.clone(),
            cause,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // If the holder cannot be read, the lock is still held.
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held {
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        write_holder(&mut file, holder).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Keep the file: if it were removed, two processes could lock two different files.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

pub(super) fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn write_holder(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{holder}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acquiring_a_held_lock_fails_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("q.db");
        let first = RunLock::acquire(&database, "process 7").unwrap();
        match RunLock::acquire(&database, "process 8") {
            Err(LockError::Held { holder }) => assert_eq!(holder, "process 7"),
            other => panic!("expected the lock to be held, got {other:?}"),
        }
        drop(first);
        RunLock::acquire(&database, "process 8").unwrap();
    }
}
