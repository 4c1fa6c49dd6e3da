//! The run lock: one run at a time settles jobs.
//!
//! It is an OS lock on a file beside the database, never on the database itself: the system lets
//! go of it when the process dies, so a lock that is free means that no run lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The right to run the queue. It ends when this value is dropped, or the process dies.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// Why the lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error(
        "another run holds the queue ({holder})\n\
         hint: wait for it or end it; `promptmill status` shows how far it is"
    )]
    Held {
        /// Who, as it wrote into the file.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock file {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl RunLock {
    /// Takes the lock beside the database at `database`, or says who has it. `holder` is written
    /// into the file for others to read.
    pub fn take(database: &Path, holder: &str) -> Result<Self, LockError> {
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
                // Who it is, is a courtesy: that it is held, is certain.
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
        // The file stays: removing it would let two processes lock two files of one name.
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
    fn a_second_run_learns_who_holds_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("q.db");
        let first = RunLock::take(&database, "process 7").unwrap();
        match RunLock::take(&database, "process 8") {
            Err(LockError::Held { holder }) => assert_eq!(holder, "process 7"),
            other => panic!("expected the lock to be held, got {other:?}"),
        }
        drop(first);
        RunLock::take(&database, "process 8").unwrap();
    }
}
