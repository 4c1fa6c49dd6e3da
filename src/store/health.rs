//! The health of the queue's database, for a look from outside: versions, soundness, and who holds
//! the run lock. Nothing is changed here.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use sqlx::Row;

use super::error::StoreError;
use super::lock::{LockError, lock_path};
use super::open::Store;

/// The longest name of a holder that is read, in bytes.
const MAX_HOLDER: u64 = 256;

/// The versions that a database was opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The linked SQLite's, such as `3.51.3`.
    pub sqlite: String,
    /// The schema's: how many migrations the file has had.
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

    /// Reads the whole file and returns what is damaged in it; nothing when it is sound. It takes
    /// as long as reading the file does, and holds up no writer.
    pub async fn quick_check(&self) -> Result<Vec<String>, StoreError> {
        let mut said: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(10)")
            .fetch_all(&self.readers)
            .await?;
        said.retain(|line| line != "ok");
        Ok(said)
    }
}

/// Returns who holds the run lock of the database at `database`, as they wrote into it; `None` when
/// it is free. The lock is tried for a moment, shared and without writing to its file.
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
            // Who it is, is a courtesy: that it is held, is certain.
            let _ = file.by_ref().take(MAX_HOLDER).read_to_string(&mut holder);
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
    fn the_holder_of_the_lock_is_told_and_a_look_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("q.db");
        assert_eq!(run_lock_holder(&database).unwrap(), None);
        assert!(!lock_path(&database).exists());
        let lock = RunLock::take(&database, "process 7").unwrap();
        assert_eq!(
            run_lock_holder(&database).unwrap().as_deref(),
            Some("process 7")
        );
        drop(lock);
        assert_eq!(run_lock_holder(&database).unwrap(), None);
        RunLock::take(&database, "process 8").unwrap();
    }

    #[tokio::test]
    async fn a_sound_file_has_no_faults_and_a_damaged_one_names_them() {
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
        let faults = store.quick_check().await.unwrap();
        assert!(!faults.is_empty());
    }
}
