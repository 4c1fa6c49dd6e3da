//! The commands `verify` and `backup`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::support::{TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// Runs a batch of five rows.
fn env_with_completed_batch() -> TestEnv {
    let env = TestEnv::with_rows(5);
    env.run(RUN).exits(0);
    env
}

/// Modifies the database in a way that promptmill never does.
fn corrupt(env: &TestEnv, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(env.path("promptmill.db"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = options.foreign_keys(false).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    });
}

#[test]
fn an_intact_database_is_reported_with_its_counts() {
    let env = env_with_completed_batch();
    let output = env.run("verify jobs.csv --output out.csv").exits(0);
    let expected = "promptmill.db: no errors found\n\
                    jobs.csv: 5 rows: 5 done, 0 failed, 0 remaining; each done row has one response\n\
                    out.csv: matches the database\n";
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        (expected, "")
    );
    let json = env.run("verify --json").exits(0).json();
    assert_eq!(
        (&json["sound"], &json["spool"]),
        (&true.into(), &false.into())
    );
    assert_eq!(json["batches"][0]["done"], 5);
    env.run("verify -q").exits(0).prints_nothing();
    env.run("verify --output out.csv").exits(2);
}

#[test]
fn a_results_file_that_differs_is_reported_with_the_line() {
    let env = env_with_completed_batch();
    let whole = env.read("out.csv");
    let cases = [
        (whole.replace("question 3", "question 9"), "line 4"),
        (whole[..whole.len() - 2].to_owned(), "line 6"),
        (format!("{whole}more\n"), "line 7"),
        (String::new(), "line 1"),
    ];
    for (text, line) in cases {
        env.write("out.csv", &text);
        let output = env.run("verify jobs.csv --output out.csv").exits(65);
        output
            .stderr_contains(&format!("the first difference is in {line}"))
            .stderr_contains("hint: ");
    }
    env.write("out.csv", &whole);
    env.run("verify jobs.csv --output out.csv").exits(0);
    env.run("export jobs.csv -o raw.csv --csv-raw").exits(0);
    env.run("verify jobs.csv --output raw.csv --csv-raw")
        .exits(0);
    env.run("verify jobs.csv --output none.csv").exits(66);
    env.run("verify none.csv").exits(66);
}

#[test]
fn inconsistencies_are_reported_with_counts() {
    let cases = [
        (
            "DELETE FROM results WHERE job_id = 2",
            "completed rows without a response: 1",
        ),
        (
            "UPDATE jobs SET state = 0 WHERE id < 3",
            "responses of rows that are not completed: 2",
        ),
        ("DELETE FROM rows WHERE job_id = 1", "jobs without a row: 1"),
        (
            "UPDATE jobs SET position = 3 WHERE id = 2",
            "rows at the position of another row: 1",
        ),
        (
            "UPDATE jobs SET position = 9 WHERE id = 5",
            "positions without a row: 5",
        ),
        (
            "UPDATE jobs SET requests = 0 WHERE id = 5",
            "completed rows that were never sent: 1",
        ),
        (
            "UPDATE results SET body = 'x' WHERE job_id = 5",
            "responses that are not valid JSON: 1",
        ),
        (
            "DELETE FROM batches",
            "row 1 of jobs refers to a missing row of batches",
        ),
    ];
    for (sql, expected) in cases {
        let env = env_with_completed_batch();
        corrupt(&env, sql);
        env.run("verify")
            .exits(74)
            .stderr_contains(expected)
            .stderr_contains("hint: ");
    }
}

#[test]
fn verify_finds_a_damaged_page() {
    let env = TestEnv::with_rows(2_000);
    env.run("import jobs.csv").exits(0);
    let file = OpenOptions::new()
        .write(true)
        .open(env.path("promptmill.db"));
    file.unwrap()
        .write_all_at(&[0xa5; 4096], 40 * 4096)
        .unwrap();
    env.run("verify")
        .exits(74)
        .stderr_contains("promptmill.db is damaged")
        .stderr_contains("restore a backup");
}

#[test]
fn requests_in_flight_of_a_crashed_run_are_a_note() {
    let env = TestEnv::with_rows(5);
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(1);
    let output = env.run("verify").exits(0);
    assert!(
        output
            .stdout
            .contains("note: a run is using the database (process "),
        "{}",
        output.stdout
    );
    run.kill();
    let output = env.run("verify").exits(0);
    let note = "note: a run crashed with 1 request in flight; the next run recovers from it";
    assert!(output.stdout.contains(note), "{}", output.stdout);
}

#[test]
fn a_backup_made_during_a_run_is_complete_and_can_be_restored() {
    let env = env_with_completed_batch();
    env.write("jobs.csv", &jobs(9));
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(6);
    let output = env.run("backup night.db").exits(0);
    output.stderr_contains("night.db: ");
    let mode = fs::metadata(env.path("night.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    env.provider.release();
    run.finish().exits(0);
    assert_eq!(env.requests(), 9);

    let output = env.run("verify --db night.db --json").exits(0);
    assert_eq!(output.json()["batches"][0]["done"], 5);
    // Restore the backup as described in docs/RELIABILITY.md.
    for name in ["promptmill.db", "promptmill.db-wal", "promptmill.db-shm"] {
        let _ = fs::remove_file(env.path(name));
    }
    fs::rename(env.path("night.db"), env.path("promptmill.db")).unwrap();
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(9);
    // The backup lacks the responses to the four requests that completed after it.
    assert_eq!(env.requests(), 9 + 4);
    env.run("verify jobs.csv --output out.csv").exits(0);
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_no_partial_file() {
    let env = env_with_completed_batch();
    env.write("there.db", "kept");
    symlink("nowhere", env.path("link.db")).unwrap();
    for name in ["there.db", "link.db", "promptmill.db"] {
        let output = env.run(&format!("backup {name}")).exits(73);
        output
            .stderr_contains("already exists")
            .stderr_contains("hint: choose another path");
    }
    assert_eq!(env.read("there.db"), "kept");
    env.run("backup no/such/folder.db")
        .exits(73)
        .stderr_contains("hint: ");
    env.run("backup copy.db --db none.db").exits(66);
    let before = [
        "jobs.csv",
        "link.db",
        "out.csv",
        "promptmill.db",
        "promptmill.db.lock",
        "there.db",
    ];
    assert_eq!(env.files(), before);
}

#[test]
fn a_copy_without_its_wal_is_an_older_consistent_state() {
    let env = env_with_completed_batch();
    env.write("jobs.csv", &jobs(9));
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(6);
    fs::copy(env.path("promptmill.db"), env.path("old.db")).unwrap();
    env.provider.release();
    run.finish().exits(0);
    let json = env.run("verify --db old.db --json").exits(0).json();
    let batch = &json["batches"][0];
    assert_eq!((&batch["total"], &batch["done"]), (&5.into(), &5.into()));
}
