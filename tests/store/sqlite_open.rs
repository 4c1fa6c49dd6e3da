//! Opening a file: what is refused is left untouched, what is made belongs to its owner alone.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use promptmill::store::{Store, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::tempdir;

use super::stage::{BATCH, Stage, import, rows};

#[tokio::test]
async fn a_new_database_belongs_to_its_owner_alone() {
    let stage = Stage::with_rows(super::sqlite, 3).await;
    let mut modes: Vec<_> = fs::read_dir(stage.folder.path())
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
    let stage = Stage::with_rows(super::sqlite, 3).await;
    stage.claim(1).await;
    let path = stage.path();
    stage.store.close().await.unwrap();
    let names = fs::read_dir(stage.folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["queue.db"]);
    let store = Store::open_existing(&path).await.unwrap().unwrap();
    assert_eq!(store.path(), path);
    assert!(store.batch(BATCH).await.is_ok());
}

#[tokio::test]
async fn what_is_not_there_is_not_made_where_only_a_look_is_wanted() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("none.db");
    assert!(Store::open_existing(&path).await.unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("queue.db");
    fs::write(&path, "").unwrap();
    let store = Store::open(&path).await.unwrap();
    assert_eq!(import(&store, BATCH, &rows(2)).await.added, 2);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_untouched() {
    let ours = "PRAGMA user_version = 1; CREATE TABLE notes (text); INSERT INTO notes VALUES ('x')";
    refused(ours, "is not a promptmill database").await;
    refused("CREATE TABLE jobs (id)", "is not a promptmill database").await;
    refused("PRAGMA user_version = 7", "is not a promptmill database").await;
    let other = "PRAGMA application_id = 12; PRAGMA journal_mode = DELETE";
    refused(other, "is not a promptmill database").await;
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused_and_untouched() {
    let later =
        "PRAGMA application_id = 1886218604; PRAGMA user_version = 99; CREATE TABLE new (x)";
    refused(
        later,
        "has schema version 99; this promptmill knows versions up to",
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_untouched() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("input.csv");
    let long = "id,prompt\n1,what is this file?\n".repeat(400);
    for text in ["id,prompt\n1,x\n", &long, "SQLite format 3\0", "xy"] {
        fs::write(&path, text).unwrap();
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_folder_and_a_path_without_a_folder_are_refused_with_a_hint() {
    let folder = tempdir().unwrap();
    let error = Store::open(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("hint: this is a directory"), "{error}");
    let missing = folder.path().join("a/b/queue.db");
    let error = Store::open(&missing).await.unwrap_err().to_string();
    assert!(error.contains("hint: make the directory first"), "{error}");
    let under_a_file = folder.path().join("file");
    fs::write(&under_a_file, "x").unwrap();
    let error = Store::open(&under_a_file.join("queue.db"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Whoever may write any file (root) passes this test without a look: for them no file is
/// read-only.
#[tokio::test]
async fn a_file_that_may_not_be_written_is_an_error_that_says_so() {
    let stage = Stage::with_rows(super::sqlite, 2).await;
    let path = stage.path();
    stage.store.close().await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    if OpenOptions::new().write(true).open(&path).is_ok() {
        return;
    }
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn two_processes_make_and_migrate_one_database_at_once() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let input = folder.path().join("in.csv");
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
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{told}");
            });
        }
    });
    let store = Store::open(&path).await.unwrap();
    let mut statuses = store.statuses().await.unwrap();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    let pending = statuses.iter().map(|s| (s.name.as_str(), s.counts.pending));
    assert!(pending.eq([("a", 2), ("b", 2), ("c", 2)]), "{statuses:?}");
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_to_the_newest() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("queue.db");
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
    Store::open(&path).await.unwrap().close().await.unwrap();
    let mut connection = connect(&path).await;
    let inputs: Vec<String> = sqlx::query_scalar("SELECT input FROM answers ORDER BY row")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        inputs,
        [r#"{"id":"1","prompt":"x"}"#, r#"{"prompt": 1.50}"#]
    );
}

/// Makes a database by the script and checks that it is refused and stays as it is.
async fn refused(script: &'static str, message: &str) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let mut connection = connect(&path).await;
    sqlx::raw_sql(script)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).await.unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
    assert!(
        fs::read(&path).unwrap() == before,
        "{script}: the file has changed"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(true).connect().await.unwrap()
}
