//! Problems with the database before or during a run: removed, replaced, busy, damaged, or locked
//! by a suspended process.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;

use crate::support::{RunningProgram, TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";
const DATABASE: &str = "promptmill.db";
const ROWS: usize = 20;

/// Starts a run that waits for its first response until the provider is released.
fn start_blocked_run() -> (TestEnv, RunningProgram) {
    let env = TestEnv::with_rows(ROWS);
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(1);
    (env, run)
}

/// Another program that has opened the database.
struct OtherProgram {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl OtherProgram {
    fn new(env: &TestEnv) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let options = SqliteConnectOptions::new().filename(env.path(DATABASE));
        let connection = runtime.block_on(options.connect()).unwrap();
        Self {
            runtime,
            connection,
        }
    }

    fn execute(&mut self, sql: &'static str) {
        let done = sqlx::raw_sql(sql).execute(&mut self.connection);
        self.runtime.block_on(done).unwrap();
    }

    fn close(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }
}

#[test]
fn moving_the_database_away_stops_the_run_and_keeps_responses() {
    let (env, run) = start_blocked_run();
    fs::create_dir(env.path("elsewhere")).unwrap();
    let names = ["promptmill.db", "promptmill.db-wal", "promptmill.db-shm"];
    for name in names {
        fs::rename(env.path(name), env.path(&format!("elsewhere/{name}"))).unwrap();
    }
    env.provider.release();
    let output = run
        .finish()
        .exits(74)
        .stderr_contains("promptmill.db was removed while it was in use");
    output
        .stderr_contains("saved in promptmill.db.spool")
        .stderr_contains("hint: restore the file");
    assert_eq!(env.requests(), 1);
    for name in names {
        let _ = fs::rename(env.path(&format!("elsewhere/{name}")), env.path(name));
    }
    env.run(RUN).exits(0).stderr_contains("imported 1 result");
    env.results("out.csv").assert_completed(ROWS);
    assert_eq!(env.requests(), ROWS as u64);
}

#[test]
fn replacing_the_database_stops_the_run_and_leaves_the_new_file_unchanged() {
    let (env, run) = start_blocked_run();
    fs::rename(env.path(DATABASE), env.path("old.db")).unwrap();
    env.write(DATABASE, "another file");
    env.provider.release();
    run.finish()
        .exits(74)
        .stderr_contains("promptmill.db was replaced while it was in use");
    assert_eq!(env.read(DATABASE), "another file");
}

#[test]
fn the_spool_of_another_database_is_neither_imported_nor_lost() {
    let (env, run) = start_blocked_run();
    let away = env.path("away.db");
    fs::rename(env.path(DATABASE), away).unwrap();
    env.provider.release();
    run.finish().exits(74);
    for name in ["promptmill.db-wal", "promptmill.db-shm"] {
        let _ = fs::remove_file(env.path(name));
    }
    let spool = env.read("promptmill.db.spool");
    let output = env.run(RUN).exits(74);
    output
        .stderr_contains("promptmill.db.spool contains responses of another database")
        .stderr_contains("hint: ");
    assert_eq!(env.read("promptmill.db.spool"), spool);
    fs::remove_file(env.path("promptmill.db.spool")).unwrap();
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
}

#[test]
fn a_symbolic_link_to_a_database_is_rejected() {
    let env = TestEnv::with_rows(1);
    env.run("import jobs.csv --db real.db").exits(0);
    symlink("real.db", env.path(DATABASE)).unwrap();
    symlink("nowhere", env.path("dangling.db")).unwrap();
    for args in [RUN, "status", "run jobs.csv --db dangling.db"] {
        let output = env
            .run(args)
            .exits(74)
            .stderr_contains("it is a symbolic link");
        output.stderr_contains("hint: pass the path of the database itself with --db");
    }
    assert!(!env.path("nowhere").exists());
    assert_eq!(env.requests(), 0);
}

#[test]
fn a_file_too_short_to_be_a_database_is_rejected_unchanged() {
    let env = TestEnv::with_rows(1);
    for text in ["x", "\n", "id,prompt\n"] {
        env.write(DATABASE, text);
        env.run(RUN)
            .exits(74)
            .stderr_contains("is not a promptmill database");
        assert_eq!(env.read(DATABASE), text);
    }
    assert_eq!(env.requests(), 0);
}

#[test]
fn a_damaged_page_stops_the_run_and_no_wrong_response_is_written() {
    let env = TestEnv::with_rows(2_000);
    env.run("import jobs.csv").exits(0);
    env.write("out.csv", "old");
    let length = fs::metadata(env.path(DATABASE)).unwrap().len();
    let file = OpenOptions::new()
        .write(true)
        .open(env.path(DATABASE))
        .unwrap();
    for page in 2..length / 4096 {
        file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let output = env
        .run("work")
        .exits(74)
        .stderr_contains("the database is damaged");
    output.stderr_contains("hint: restore a backup");
    assert_eq!(env.requests(), 0);
    env.run("export jobs.csv -o out.csv").exits(74);
    assert_eq!(env.read("out.csv"), "old");
}

#[test]
fn a_lock_file_left_by_a_crashed_process_does_not_block() {
    let env = TestEnv::with_rows(ROWS);
    env.write("promptmill.db.lock", "process 999999\n");
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
}

#[test]
fn a_suspended_run_keeps_its_lock_and_resumes_with_late_responses() {
    let (env, run) = start_blocked_run();
    run.signal(Signal::STOP);
    env.provider.release();
    env.wait_for_responses(1);
    env.run(RUN)
        .exits(75)
        .stderr_contains("another run is using the database");
    run.signal(Signal::CONT);
    run.finish().exits(0);
    env.results("out.csv").assert_completed(ROWS);
    assert_eq!(env.requests(), ROWS as u64, "the late response was lost");
}

#[test]
fn a_run_waits_for_a_locked_database_and_sends_nothing_twice() {
    let (env, run) = start_blocked_run();
    let mut other = OtherProgram::new(&env);
    other.execute("BEGIN IMMEDIATE; UPDATE identity SET salt = salt");
    env.provider.release();
    env.wait_for_responses(1);
    // The run has a response that it cannot store yet, and sends nothing in the meantime.
    assert!(
        !env.provider
            .wait_for_requests(2, Duration::from_millis(300))
    );
    other.execute("COMMIT");
    other.close();
    run.finish().exits(0);
    env.results("out.csv").assert_completed(ROWS);
    assert_eq!(env.requests(), ROWS as u64);
}

#[test]
fn a_long_read_transaction_does_not_block_a_run() {
    let env = TestEnv::with_rows(ROWS);
    env.run("import jobs.csv").exits(0);
    let mut other = OtherProgram::new(&env);
    other.execute("BEGIN; SELECT count(*) FROM jobs");
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
    other.execute("COMMIT");
    other.close();
    env.run("verify jobs.csv --output out.csv").exits(0);
}

#[test]
fn status_export_and_import_work_during_a_run() {
    let (env, run) = start_blocked_run();
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["running"], 1);
    env.run("export jobs.csv -o half.csv").exits(0);
    assert_eq!(env.results("half.csv").count("pending"), ROWS);
    env.write("more.csv", &jobs(3));
    env.run("import more.csv").exits(0);
    env.provider.release();
    run.finish().exits(0);
    env.results("out.csv").assert_completed(ROWS);
}

#[test]
fn a_key_command_inherits_no_open_database() {
    let env = TestEnv::with_rows(1).set_var("PROMPTMILL_API_KEYS", "");
    env.run("import jobs.csv").exits(0);
    let script = "#!/bin/sh\nls -l /proc/self/fd /proc/$PPID/fd > seen.txt\necho sk-test-key-0123456789abcdef\n";
    env.write_with_mode("key.sh", 0o700, script);
    env.run(&format!("{RUN} --api-key-command ./key.sh"))
        .exits(0);
    let seen = env.read("seen.txt");
    assert!(seen.contains("/fd:\n"), "{seen}");
    assert!(!seen.contains(DATABASE), "{seen}");
}
