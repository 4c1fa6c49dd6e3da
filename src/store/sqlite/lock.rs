//! The run lock: only one run at a time can claim and settle jobs.
//!
//! It is an OS lock on a separate file next to the database. The operating system releases it when
//! the process dies, so if the lock is free, no run is alive.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::store::error::LockError;

use super::files::with_suffix;

/// Suffix of the lock file.
const SUFFIX: &str = ".lock";

/// Maximum number of bytes to read from the lock file.
const MAX_HOLDER_BYTES: u64 = 256;

/// The run lock, held until this value is dropped or the process dies.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Acquires the lock of a database, or fails with its current holder. `holder` is written to
    /// the lock file to identify this process.
    pub(crate) fn acquire(database: &Path, holder: &str) -> Result<Self, LockError> {
        let path = with_suffix(database, SUFFIX);
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
                return Err(LockError::Held {
                    holder: read_holder(file),
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

/// Returns the holder as written in the lock file. If it cannot be read, the lock is still held.
fn read_holder(file: File) -> String {
    let mut holder = String::new();
    let _ = file.take(MAX_HOLDER_BYTES).read_to_string(&mut holder);
    holder.trim().to_owned()
}

fn write_holder(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{holder}")
}

/// Returns the holder of a database's run lock as written in the lock file; `None` if it is free.
/// The lock is briefly acquired in shared mode, and the file is not written.
pub(crate) fn holder(database: &Path) -> Result<Option<String>, LockError> {
    let path = with_suffix(database, SUFFIX);
    let cause = match File::open(&path) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) => return Ok(Some(read_holder(file))),
            Err(TryLockError::Error(cause)) => cause,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => cause,
    };
    Err(LockError::Io { path, cause })
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

    #[test]
    fn probing_the_lock_returns_its_holder_without_acquiring_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("q.db");
        assert_eq!(super::holder(&database).unwrap(), None);
        assert!(!with_suffix(&database, SUFFIX).exists());
        let lock = RunLock::acquire(&database, "process 7").unwrap();
        let found = super::holder(&database).unwrap();
        assert_eq!(found.as_deref(), Some("process 7"));
        drop(lock);
        assert_eq!(super::holder(&database).unwrap(), None);
        RunLock::acquire(&database, "process 8").unwrap();
    }
}
