//! Makes the built binary crash, fail or panic at every commit, send and rename, and checks the
//! resulting state. Run with `cargo test --features failpoints --test failpoints`.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

#[expect(dead_code, reason = "other test targets use the rest")]
mod support;

use std::os::unix::process::ExitStatusExt as _;

use support::{FinishedProgram, RunningProgram, TestEnv, jobs};

const ROWS: usize = 60;
const RUN: &str = "run jobs.csv -o out.csv --concurrency 8";
const SPOOL: &str = "promptmill.db.spool";

/// Runs the program with these failpoints.
#[track_caller]
fn run_with_failpoints(env: &TestEnv, failpoints: &str, args: &str) -> FinishedProgram {
    let mut command = env.command(args);
    command.env("PROMPTMILL_FAILPOINTS", failpoints);
    RunningProgram::start(command, "").finish()
}

/// Runs the program, and asserts that a failpoint kills it.
#[track_caller]
fn check_kill(env: &TestEnv, failpoints: &str, args: &str) {
    let output = run_with_failpoints(env, failpoints, args);
    assert_eq!(
        output.status.signal(),
        Some(9),
        "{failpoints}: stderr:\n{}",
        output.stderr
    );
}

/// Returns the number of rows of the first batch in a state.
#[track_caller]
fn count(env: &TestEnv, state: &str) -> u64 {
    let status = env.run("status --json").exits(0).json();
    status["batches"][0][state].as_u64().unwrap_or(0)
}

/// Completes the batch, and checks that all rows are completed and at most `repeated` requests were
/// repeated.
#[track_caller]
fn finish_and_check(env: &TestEnv, repeated: u64) {
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(ROWS);
    let requests = env.requests();
    let max = ROWS as u64 + repeated;
    assert!(
        requests <= max,
        "{requests} requests, at most {max} expected"
    );
    env.run(RUN).exits(0).stderr_contains("nothing to do");
    assert_eq!(env.requests(), requests);
    assert!(!env.path(SPOOL).exists());
}

#[test]
fn nothing_is_sent_before_the_claim_is_committed() {
    let env = TestEnv::with_rows(ROWS);
    check_kill(&env, "turn-commit=kill", RUN);
    assert_eq!((env.requests(), count(&env, "pending")), (0, ROWS as u64));
    finish_and_check(&env, 0);
    assert_eq!(env.results("out.csv").sum("attempts"), ROWS as u64);
}

#[test]
fn a_kill_between_claim_and_request_leaves_an_unknown_result() {
    for failpoints in ["send=kill", "turn-done=kill"] {
        let env = TestEnv::with_rows(ROWS);
        check_kill(&env, failpoints, RUN);
        assert_eq!((env.requests(), count(&env, "running")), (0, 1));
        let output = env.run(&format!("{RUN} --json")).exits(0);
        assert_eq!(output.json()["unknown"], 1);
        assert_eq!(env.requests(), ROWS as u64);
        env.results("out.csv").assert_completed(ROWS);
    }
}

#[test]
fn a_request_counts_toward_the_daily_limit_before_it_is_sent() {
    let env = TestEnv::with_rows(ROWS);
    let run = format!("{RUN} --rpd 5 --max-wait 1s");
    check_kill(&env, "worker=kill", &run);
    assert_eq!(env.requests(), 0);
    env.run(&run).exits(4);
    assert_eq!(env.requests(), 4);
}

#[test]
fn a_kill_before_a_response_is_written_repeats_only_requests_in_flight() {
    for nth in [1, 2, 20] {
        let env = TestEnv::with_rows(ROWS);
        check_kill(&env, &format!("answer=kill@{nth}"), RUN);
        let in_flight = count(&env, "running");
        assert!((1..=8).contains(&in_flight), "{in_flight} in flight");
        finish_and_check(&env, in_flight);
    }
}

#[test]
fn a_run_killed_around_any_commit_can_be_resumed() {
    let env = TestEnv::with_rows(ROWS);
    let mut repeated = 0;
    for nth in [2, 3, 2, 4, 3, 2] {
        for failpoint in ["turn-commit", "turn-done"] {
            let done = count(&env, "done");
            check_kill(&env, &format!("{failpoint}=kill@{nth}"), RUN);
            repeated += count(&env, "running");
            assert!(count(&env, "done") >= done);
        }
    }
    check_kill(&env, "rescue-commit=kill", RUN);
    finish_and_check(&env, repeated);
}

#[test]
fn a_run_killed_while_completing_duplicates_can_be_resumed() {
    for failpoints in [
        "park-commit=kill",
        "copy-commit=kill",
        "copy-commit=kill@2",
        "copy-commit=error@2",
    ] {
        let env = TestEnv::with_rows(1);
        let rows = (1..=ROWS).map(|row| format!("{row},prompt {}", row % 7));
        let rows: Vec<_> = rows.collect();
        env.write("jobs.csv", &format!("id,prompt\n{}\n", rows.join("\n")));
        let run = format!("{RUN} --dedupe=always");
        let output = run_with_failpoints(&env, failpoints, &run);
        assert!(!output.status.success(), "{failpoints}");
        env.run(&run).exits(0);
        assert_eq!(env.requests(), 7, "{failpoints}");
        let results = env.results("out.csv");
        assert_eq!(results.count("done"), ROWS, "{failpoints}");
        for row in 1..=ROWS {
            let expected = format!("\"prompt {}\"", row % 7);
            assert!(
                results.cell(row, "response").contains(&expected),
                "{failpoints}, row {row}"
            );
        }
        env.run("verify jobs.csv -o out.csv").exits(0);
    }
}

#[test]
fn a_killed_import_has_no_effect() {
    let env = TestEnv::with_rows(ROWS);
    env.run("import jobs.csv").exits(0);
    env.write("jobs.csv", &jobs(5_000));
    for failpoints in [
        "import-row=kill@2",
        "import-row=kill@4500",
        "import-commit=kill",
    ] {
        check_kill(&env, failpoints, "import jobs.csv");
        assert_eq!(count(&env, "total"), ROWS as u64, "{failpoints}");
    }
    env.run("import jobs.csv").exits(0);
    assert_eq!(count(&env, "total"), 5_000);
    assert_eq!(count(&env, "pending"), 5_000);
}

#[test]
fn a_failed_import_has_no_effect() {
    let env = TestEnv::with_rows(ROWS);
    let output = run_with_failpoints(&env, "import-commit=error", "import jobs.csv").exits(74);
    output.stderr_contains("cannot write the database");
    assert_eq!(count(&env, "total"), 0);
    finish_and_check(&env, 0);
}

#[test]
fn an_export_killed_before_the_rename_leaves_the_old_file_intact() {
    let env = TestEnv::with_rows(ROWS);
    env.write("out.csv", "old");
    check_kill(&env, "export-rename=kill", RUN);
    assert_eq!(env.read("out.csv"), "old");
    let partial_files = || {
        let files = env.files().into_iter();
        files.filter(|name| name.contains(".part")).count()
    };
    assert_eq!(partial_files(), 1);
    finish_and_check(&env, 0);
    assert_eq!(
        partial_files(),
        0,
        "the partial file of the killed process was not removed"
    );
    env.write("out.csv", "old");
    let output = run_with_failpoints(&env, "export-rename=error", "export jobs.csv -o out.csv");
    output.exits(73).stderr_contains("out.csv");
    assert_eq!(env.read("out.csv"), "old");
}

#[test]
fn a_killed_migration_has_no_effect() {
    let env = TestEnv::with_rows(ROWS);
    check_kill(&env, "migrate-commit=kill", "import jobs.csv");
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"].as_array().map(Vec::len), Some(0));
    finish_and_check(&env, 0);
}

#[test]
fn a_kill_before_the_database_is_closed_leaves_all_results_in_the_wal() {
    let env = TestEnv::with_rows(ROWS);
    check_kill(&env, "close=kill", RUN);
    assert!(env.path("promptmill.db-wal").exists());
    assert_eq!(count(&env, "done"), ROWS as u64);
    finish_and_check(&env, 0);
}

#[test]
fn a_worker_panic_counts_as_an_attempt_and_other_rows_continue() {
    let env = TestEnv::with_rows(ROWS);
    run_with_failpoints(&env, "worker=panic@5", RUN).exits(0);
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    assert_eq!(results.sum("attempts"), ROWS as u64 + 1);
    assert_eq!(env.requests(), ROWS as u64);
}

#[test]
fn a_row_fails_after_three_worker_panics() {
    let env = TestEnv::with_rows(1);
    let output = run_with_failpoints(&env, "worker=panic@1+", RUN).exits(3);
    assert!(!output.stderr.contains("question 1"), "{}", output.stderr);
    let panics = output
        .stderr
        .matches("error: internal error in promptmill")
        .count();
    assert_eq!(panics, 3, "{}", output.stderr);
    let results = env.results("out.csv");
    assert_eq!(results.column("attempts"), ["3"]);
    assert!(results.cell(1, "error").contains("panic"));
}

#[test]
fn a_panic_while_results_are_written_stops_the_run_and_loses_nothing() {
    let env = TestEnv::with_rows(ROWS);
    let output = run_with_failpoints(&env, "turn-commit=panic@4", RUN);
    assert!(!output.stderr.contains("question "), "{}", output.stderr);
    output
        .exits(1)
        .stderr_contains("error: internal error in promptmill");
    let in_flight = count(&env, "running");
    assert!(count(&env, "done") > 0 && in_flight > 0);
    finish_and_check(&env, in_flight);
}

#[test]
fn a_panic_is_reported_with_its_location_and_a_hint() {
    let env = TestEnv::with_rows(ROWS);
    let output = run_with_failpoints(&env, "export-rename=panic", RUN).exits(1);
    let output = output.stderr_contains("failpoint export-rename");
    output
        .stderr_contains("at src/failpoint.rs:")
        .stderr_contains("hint: recorded results are on disk; run the same command again");
    finish_and_check(&env, 0);
}

#[test]
fn a_failed_commit_stops_the_run_and_no_row_is_sent_twice() {
    // After a single error, the next commit would succeed. It must not be attempted, because the
    // operating system reports a failed sync only once.
    for failpoints in [
        "turn-commit=error@5",
        "turn-commit=error@5+",
        "turn-done=error@5",
    ] {
        let env = TestEnv::with_rows(ROWS);
        let output = run_with_failpoints(&env, failpoints, RUN).exits(74);
        output
            .stderr_contains("cannot write the database")
            .stderr_contains("saved in promptmill.db.spool");
        let requests = env.requests();
        assert!(requests > 3 && requests < ROWS as u64, "{requests}");
        finish_and_check(&env, 0);
    }
}

#[test]
fn a_spool_is_imported_once_after_a_kill_before_its_removal() {
    let env = TestEnv::with_rows(ROWS);
    run_with_failpoints(&env, "turn-commit=error@5", RUN).exits(74);
    let done = count(&env, "done");
    check_kill(&env, "spool-taken=kill", RUN);
    assert!(env.path(SPOOL).exists() && count(&env, "done") > done);
    finish_and_check(&env, 0);
}

#[test]
fn a_spool_that_cannot_be_imported_yet_is_kept() {
    let env = TestEnv::with_rows(ROWS);
    run_with_failpoints(&env, "turn-commit=error@5", RUN).exits(74);
    let (spool, requests) = (env.read(SPOOL), env.requests());
    run_with_failpoints(&env, "spool-commit=error", RUN)
        .exits(74)
        .stderr_contains("cannot write the database");
    check_kill(&env, "spool-commit=kill", RUN);
    assert!(env.read(SPOOL) == spool, "the spool has changed");
    assert_eq!(env.requests(), requests);
    finish_and_check(&env, 0);
}

#[test]
fn results_that_cannot_be_spooled_are_reported_and_sent_again() {
    let env = TestEnv::with_rows(ROWS);
    let failpoints = "turn-commit=error@5,spool-write=error@1+";
    let output = run_with_failpoints(&env, failpoints, RUN).exits(74);
    let output = output.stderr_contains("could not be saved and will be requested again");
    assert!(!output.stderr.contains("saved in"), "{}", output.stderr);
    finish_and_check(&env, count(&env, "running"));
}

#[test]
fn rejects_an_invalid_failpoint() {
    let env = TestEnv::with_rows(1);
    for failpoints in ["send", "send=explode", "send=kill@x"] {
        run_with_failpoints(&env, failpoints, RUN)
            .exits(2)
            .stderr_contains("invalid failpoint");
    }
    assert_eq!(env.requests(), 0);
}
