//! Opening the database: rejected files stay unchanged, and new files are private to their owner.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use promptmill::store::{Location, Store, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::tempdir;

use super::fixture::{BATCH, Fixture, import, rows, sqlite};

#[tokio::test]
async fn a_new_database_is_only_accessible_to_its_owner() {
    let fixture = Fixture::with_rows(sqlite, 3).await;
    let mut modes: Vec<_> = fs::read_dir(fixture.dir.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect();
    modes.sort();
    let expected = ["queue.db", "queue.db-shm", "queue.db-wal"];
    assert_eq!(modes, expected.map(|name| (name.to_owned(), 0o600)));
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let fixture = Fixture::with_rows(sqlite, 3).await;
    fixture.claim(1).await;
    let path = fixture.path();
    fixture.store.close().await.unwrap();
    let names = fs::read_dir(fixture.dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["queue.db"]);
    let store = Store::open_existing(&Location::new(path)).await;
    assert!(store.unwrap().unwrap().batch(BATCH).await.is_ok());
}

#[tokio::test]
async fn open_existing_does_not_create_a_file() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("none.db");
    let store = Store::open_existing(&Location::new(path)).await;
    assert!(store.unwrap().is_none());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("queue.db");
    fs::write(&path, "").unwrap();
    let store = open(&path).await.unwrap();
    assert_eq!(import(&store, BATCH, &rows(2)).await.added, 2);
}

#[tokio::test]
async fn a_database_of_another_program_is_rejected_unchanged() {
    let same_version =
        "PRAGMA user_version = 1; CREATE TABLE notes (text); INSERT INTO notes VALUES ('x')";
    check_rejected(same_version, "is not a promptmill database").await;
    check_rejected("CREATE TABLE jobs (id)", "is not a promptmill database").await;
    check_rejected("PRAGMA user_version = 7", "is not a promptmill database").await;
    let other = "PRAGMA application_id = 12; PRAGMA journal_mode = DELETE";
    check_rejected(other, "is not a promptmill database").await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_rejected_unchanged() {
    let later =
        "PRAGMA application_id = 1886218604; PRAGMA user_version = 99; CREATE TABLE new (x)";
    check_rejected(
        later,
        "has schema version 99; this version of promptmill supports versions up to",
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_rejected_unchanged() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("input.csv");
    let long = "id,prompt\n1,what is this file?\n".repeat(400);
    for text in ["id,prompt\n1,x\n", &long, "SQLite format 3\0", "xy"] {
        fs::write(&path, text).unwrap();
        let error = open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn unusable_paths_are_rejected_with_a_hint() {
    let dir = tempdir().unwrap();
    let error = open(dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("hint: choose a file"), "{error}");
    let missing = dir.path().join("a/b/queue.db");
    let error = open(&missing).await.unwrap_err().to_string();
    assert!(
        error.contains("hint: create the directory first"),
        "{error}"
    );
    let under_a_file = dir.path().join("file");
    fs::write(&under_a_file, "x").unwrap();
    let error = open(&under_a_file.join("queue.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Skipped if the user can write to read-only files, like root.
#[tokio::test]
async fn a_read_only_file_is_an_error() {
    let fixture = Fixture::with_rows(sqlite, 2).await;
    let path = fixture.path();
    fixture.store.close().await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    if OpenOptions::new().write(true).open(&path).is_ok() {
        return;
    }
    let error = open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn processes_can_create_and_migrate_a_database_concurrently() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let input = dir.path().join("in.csv");
    fs::write(&input, "prompt\none\ntwo\n").unwrap();
    thread::scope(|scope| {
        for batch in ["a", "b", "c"] {
            let (path, input) = (&path, &input);
            scope.spawn(move || {
                let output = Command::new(env!("CARGO_BIN_EXE_promptmill"))
                    .arg("import")
                    .arg(input)
                    .args(["--batch", batch, "--model", "m", "--db"])
                    .arg(path)
                    .output()
                    .unwrap();
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{stderr}");
            });
        }
    });
    let store = open(&path).await.unwrap();
    let mut statuses = store.statuses().await.unwrap();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    let pending = statuses.iter().map(|s| (s.name.as_str(), s.counts.pending));
    assert!(pending.eq([("a", 2), ("b", 2), ("c", 2)]), "{statuses:?}");
}

#[tokio::test]
async fn a_database_of_the_first_version_is_migrated() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let mut connection = connect(&path).await;
    let old = [
        include_str!("../../migrations/0001_queue.sql"),
        "INSERT INTO batches VALUES (1, 'b', '{}', '[\"id\",\"prompt\"]', 'in.csv', 0, NULL, 1, 1);
         INSERT INTO jobs (id, batch_id, position) VALUES (1, 1, 0), (2, 1, 1);
         INSERT INTO rows VALUES (1, 1, 'a', '[\"1\",\"x\"]', '{}', 'd'),
                                 (2, 1, 'b', '{\"prompt\": 1.50}', '{}', 'e')",
    ];
    for script in old {
        sqlx::raw_sql(script)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
    open(&path).await.unwrap().close().await.unwrap();
    let mut connection = connect(&path).await;
    let deadline: Option<i64> = sqlx::query_scalar("SELECT deadline FROM batches")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(deadline, None);
    let inputs: Vec<String> = sqlx::query_scalar("SELECT input FROM answers ORDER BY row")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        inputs,
        [r#"{"id":"1","prompt":"x"}"#, r#"{"prompt": 1.50}"#]
    );
}

async fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&Location::new(path)).await
}

/// Creates a database with a script, and checks that it is rejected and stays unchanged.
async fn check_rejected(script: &'static str, message: &str) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let mut connection = connect(&path).await;
    sqlx::raw_sql(script)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let error = open(&path).await.unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
    assert!(
        fs::read(&path).unwrap() == before,
        "{script}: the file has changed"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(true).connect().await.unwrap()
}
