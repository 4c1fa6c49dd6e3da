//! Read-only health checks of the database: versions, file integrity, and the holder of the run
//! lock.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use sqlx::Row;

use super::error::StoreError;
use super::lock::{LockError, lock_path};
use super::open::Store;

/// Maximum number of bytes to read from the lock file.
const MAX_HOLDER_BYTES: u64 = 256;

/// The versions of SQLite and of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The version of the linked SQLite, such as `3.51.3`.
    pub sqlite: String,
    /// The schema version: the number of applied migrations.
    pub schema: i64,
}

impl Store {
    /// Returns the versions of SQLite and of the schema.
    pub async fn versions(&self) -> Result<Versions, StoreError> {
        let row =
            sqlx::query("SELECT sqlite_version(), (SELECT user_version FROM pragma_user_version)")
                .fetch_one(&self.readers)
                .await?;
        Ok(Versions {
            sqlite: row.try_get(0)?,
            schema: row.try_get(1)?,
        })
    }

    /// Runs `quick_check` and returns the errors it finds. It takes about as long as reading the
    /// file, and does not block writers.
    pub async fn quick_check(&self) -> Result<Vec<String>, StoreError> {
        let mut errors: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(10)")
            .fetch_all(&self.readers)
            .await?;
        errors.retain(|line| line != "ok");
        Ok(errors)
    }
}

/// Returns the holder of a database's run lock as written in the lock file; `None` if it is free.
/// The lock is briefly acquired in shared mode, and the file is not written.
pub fn run_lock_holder(database: &Path) -> Result<Option<String>, LockError> {
    let path = lock_path(database);
    let failed = |cause| LockError::Io {
        path: path.clone(),
        cause,
    };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // If the holder cannot be read, the lock is still held.
            let _ = file
                .by_ref()
                .take(MAX_HOLDER_BYTES)
                .read_to_string(&mut holder);
            Ok(Some(holder.trim().to_owned()))
        }
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{Seek, SeekFrom, Write};

    use super::super::lock::RunLock;
    use super::*;

    #[test]
    fn probing_the_lock_returns_its_holder_without_acquiring_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("q.db");
        assert_eq!(run_lock_holder(&database).unwrap(), None);
        assert!(!lock_path(&database).exists());
        let lock = RunLock::acquire(&database, "process 7").unwrap();
        assert_eq!(
            run_lock_holder(&database).unwrap().as_deref(),
            Some("process 7")
        );
        drop(lock);
        assert_eq!(run_lock_holder(&database).unwrap(), None);
        RunLock::acquire(&database, "process 8").unwrap();
    }

    #[tokio::test]
    async fn quick_check_reports_damaged_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.quick_check().await.unwrap(), Vec::<String>::new());
        let versions = store.versions().await.unwrap();
        assert!(versions.schema >= 1 && versions.sqlite.starts_with("3."));
        let page: i64 =
            sqlx::query_scalar("SELECT max(rootpage) FROM sqlite_schema WHERE type = 'index'")
                .fetch_one(&store.readers)
                .await
                .unwrap();
        store.close().await.unwrap();

        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        let start = u64::try_from(page - 1).unwrap() * 4096;
        file.seek(SeekFrom::Start(start)).unwrap();
        file.write_all(&[0xa5; 4096]).unwrap();
        drop(file);
        let store = Store::open(&path).await.unwrap();
        let errors = store.quick_check().await.unwrap();
        assert!(!errors.is_empty());
    }
}
