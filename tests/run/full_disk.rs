//! A full disk: responses are spooled and not requested again, no partial files remain, and the
//! exit code reports the failure.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{FinishedProgram, RunningProgram, TestEnv, jobs};

const ROWS: usize = 400;
const RUN: &str = "run jobs.csv -o out.csv --concurrency 24";
const SPOOL: &str = "promptmill.db.spool";

/// Imports a batch. Returns the environment, and a file size limit in KiB that the responses
/// exceed.
fn env_with_batch() -> (TestEnv, u64) {
    let env = TestEnv::with_rows(ROWS);
    env.run("import jobs.csv").exits(0);
    let size = fs::metadata(env.path("promptmill.db")).unwrap().len();
    (env, size / 1024 + 96)
}

/// Runs the program with a limit on the size of each file.
fn run_limited(env: &TestEnv, kib: u64, args: &str) -> FinishedProgram {
    let command = env.command_with_ulimit(&format!("-f {kib}"), args);
    RunningProgram::start(command, "").finish()
}

#[test]
fn responses_received_while_the_disk_was_full_are_not_requested_again() {
    let (env, limit) = env_with_batch();
    let output = run_limited(&env, limit, RUN).exits(74);
    let output = output.stderr_contains("error: cannot write the database: ");
    let output = output.stderr_contains("saved in promptmill.db.spool");
    output.stderr_contains("hint: free up disk space, then run the same command again");
    let spool = fs::metadata(env.path(SPOOL)).unwrap();
    assert_eq!(spool.permissions().mode() & 0o777, 0o600);
    let sent = env.requests();
    assert!(sent > 24 && sent < ROWS as u64, "{sent} requests were sent");
    let status = env.run("status --json").exits(0).json();
    let stored = status["batches"][0]["done"].as_u64().unwrap();
    assert!(stored < sent, "{stored} of {sent} responses were stored");

    let output = env.run(RUN).exits(0);
    output.stderr_contains(&format!(
        "imported {} results that an earlier run could not store",
        sent - stored
    ));
    assert_eq!(env.requests(), ROWS as u64, "some rows were sent twice");
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    assert_eq!(results.sum("attempts"), ROWS as u64);
    assert!(!env.path(SPOOL).exists());
}

#[test]
fn the_spool_is_kept_while_the_disk_stays_full() {
    let (env, limit) = env_with_batch();
    run_limited(&env, limit, RUN).exits(74);
    let (spool, sent) = (env.read(SPOOL), env.requests());
    let status = env.run("status").exits(0);
    assert!(status.stdout.contains("spool file next to the database"));
    assert_eq!(env.run("status --json").exits(0).json()["spool"], true);
    for _ in 0..2 {
        run_limited(&env, 1, RUN)
            .exits(74)
            .stderr_contains("hint: ");
        assert!(env.read(SPOOL) == spool, "the spool has changed");
    }
    assert_eq!(env.requests(), sent);
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), ROWS as u64);
    env.results("out.csv").assert_completed(ROWS);
}

#[test]
fn a_run_killed_after_settling_the_spool_does_not_settle_it_again() {
    let (env, limit) = env_with_batch();
    run_limited(&env, limit, RUN).exits(74);
    let sent = env.requests();
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(sent + 1);
    run.kill();
    env.provider.release();
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
    assert!(!env.path(SPOOL).exists());
    // One request was in flight at the kill, because each key starts with a single request.
    assert_eq!(env.requests(), ROWS as u64 + 1);
}

#[test]
fn requests_without_a_response_in_time_are_sent_again() {
    let script = Script::new().on(
        |request| request.prompt == "question 7" && request.prompt_count == 1,
        Reaction::Hang,
    );
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(ROWS));
    env.run("import jobs.csv").exits(0);
    let size = fs::metadata(env.path("promptmill.db")).unwrap().len();
    let args = format!("{RUN} --grace 200ms");
    let output = run_limited(&env, size / 1024 + 96, &args).exits(74);
    output.stderr_contains("stopping: waiting for ");
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), ROWS as u64 + 1);
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    assert_eq!(results.cell(7, "attempts"), "2");
}

#[test]
fn an_import_to_a_full_disk_changes_nothing() {
    let env = TestEnv::with_rows(10);
    env.run("import jobs.csv").exits(0);
    env.write("jobs.csv", &jobs(20_000));
    let output = run_limited(&env, 512, "import jobs.csv").exits(74);
    output
        .stderr_contains("cannot write the database")
        .stderr_contains("hint: free up disk space");
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["total"], 10);
    env.run("import jobs.csv").exits(0);
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["total"], 20_000);
}

#[test]
fn exporting_to_a_full_device_exits_with_73() {
    let env = TestEnv::with_rows(2_000);
    env.run("import jobs.csv").exits(0);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = env.command("export jobs.csv");
    let output = command.stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(73), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
}

#[test]
fn an_export_to_a_full_disk_keeps_the_old_results() {
    let env = TestEnv::with_rows(20_000);
    env.run("import jobs.csv").exits(0);
    env.write("out.csv", "old");
    let output = run_limited(&env, 64, "export jobs.csv -o out.csv").exits(73);
    output.stderr_contains("out.csv");
    assert_eq!(env.read("out.csv"), "old");
    let names = ["jobs.csv", "out.csv", "promptmill.db"];
    assert_eq!(env.files(), names);
}

#[test]
fn a_spool_that_is_a_symbolic_link_is_neither_read_nor_written() {
    let env = TestEnv::with_rows(3);
    env.write("elsewhere", "kept");
    symlink(env.path("elsewhere"), env.path(SPOOL)).unwrap();
    let output = env.run(RUN).exits(74);
    output.stderr_contains("cannot use the spool promptmill.db.spool");
    assert_eq!(env.read("elsewhere"), "kept");
    assert_eq!(env.requests(), 0);
}
