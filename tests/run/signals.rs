//! Signals: after the first one, a run waits for requests in flight; the second one aborts it.

use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};
use rustix::process::Signal;

use crate::support::{RunningProgram, TestEnv, jobs};

const ROWS: usize = 40;
/// Number of rows that are completed before the provider stops responding.
const HALF: u64 = 20;
/// One request is in flight per key when the signal arrives.
const KEYS: [&str; 4] = [
    "sk-key-a-0123456789",
    "sk-key-b-0123456789",
    "sk-key-c-0123456789",
    "sk-key-d-0123456789",
];

/// Starts a run with half of the rows completed and four requests in flight.
fn start_run_blocked_at_half(flags: &str) -> (TestEnv, RunningProgram) {
    let env = TestEnv::new(Config::default()).keys(&KEYS);
    env.write("jobs.csv", &jobs(ROWS / 2));
    env.run("run jobs.csv -o out.csv").exits(0);
    env.write("jobs.csv", &jobs(ROWS));
    env.provider.hold();
    let run = env.start(&format!("run jobs.csv -o out.csv --json {flags}"));
    env.wait_for_requests(HALF + 4);
    (env, run)
}

/// Completes the remaining rows, and checks the results and the total number of requests.
#[track_caller]
fn check_completion(env: &TestEnv, requests: u64) {
    env.run("run jobs.csv -o out.csv").exits(0);
    assert_eq!(env.requests(), requests);
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    assert_eq!(results.sum("attempts"), requests);
}

/// Checks that a run waits for its requests in flight after a signal.
#[track_caller]
fn check_graceful_stop(signal: Signal, code: i32, reason: &str) {
    let (env, mut run) = start_run_blocked_at_half("");
    run.signal(signal);
    run.wait_for_line("stopping: waiting for 4 requests in flight; press Ctrl-C again to abort");
    env.provider.release();
    let output = run.finish().exits(code);
    let json = output.json();
    assert_eq!((&json["done"], &json["left"]), (&24.into(), &16.into()));
    assert_eq!(
        (&json["unknown"], &json["requests"]),
        (&0.into(), &4.into())
    );
    assert_eq!(json["stopped_by"], reason);
    assert_eq!(json["exit_code"], code);
    let results = env.results("out.csv");
    assert_eq!((results.count("done"), results.count("pending")), (24, 16));
    assert_eq!(env.requests(), 24);
    check_completion(&env, ROWS as u64);
}

/// Checks that a run exits without waiting for its requests in flight.
#[track_caller]
fn check_abort(env: &TestEnv, run: RunningProgram, code: i32) {
    let output = run
        .finish()
        .exits(code)
        .stderr_contains("4 requests in flight when a run crashed or was stopped; will be retried")
        .stderr_contains("promptmill run jobs.csv -o out.csv");
    let json = output.json();
    assert_eq!((&json["done"], &json["left"]), (&20.into(), &20.into()));
    assert_eq!(json["unknown"], 4);
    env.provider.release();
    assert_eq!(env.results("out.csv").count("pending"), 20);
    check_completion(env, ROWS as u64 + 4);
}

#[test]
fn the_first_ctrl_c_waits_for_requests_in_flight() {
    check_graceful_stop(Signal::INT, 130, "interrupted");
}

#[test]
fn the_first_sigterm_waits_for_requests_in_flight() {
    check_graceful_stop(Signal::TERM, 143, "terminated");
}

#[test]
fn sighup_stops_a_run_like_sigterm() {
    check_graceful_stop(Signal::HUP, 143, "terminated");
}

#[test]
fn the_second_ctrl_c_aborts_and_requests_in_flight_are_retried() {
    let (env, mut run) = start_run_blocked_at_half("");
    run.signal(Signal::INT);
    run.wait_for_line("stopping: waiting for 4 requests in flight");
    run.signal(Signal::INT);
    check_abort(&env, run, 130);
}

#[test]
fn sigterm_without_grace_aborts() {
    let (env, run) = start_run_blocked_at_half("--grace 0s");
    run.signal(Signal::TERM);
    check_abort(&env, run, 143);
}

#[test]
fn a_rate_limited_run_can_be_interrupted() {
    let rate_limited = Reaction::RateLimited(Duration::from_mins(2));
    let env = TestEnv::new(Config::default().script(Script::new().always(rate_limited)));
    env.write("jobs.csv", &jobs(3));
    let run = env.start("run jobs.csv -o out.csv");
    env.wait_for_responses(1);
    run.signal(Signal::INT);
    run.finish().exits(130).stderr_contains("stopping: ");
    assert_eq!(env.results("out.csv").count("pending"), 3);
    assert_eq!(env.requests(), 1);
}

#[test]
fn work_stops_all_batches() {
    let env = TestEnv::with_rows(3);
    env.write("more.csv", &jobs(5));
    env.run("import jobs.csv").exits(0);
    env.run("import more.csv").exits(0);
    env.provider.hold();
    let mut run = env.start("work --json");
    env.wait_for_requests(1);
    run.signal(Signal::TERM);
    run.wait_for_line("stopping: waiting for 1 request in flight");
    env.provider.release();
    let json = run.finish().exits(143).json();
    let counts = ["total", "done", "exit_code"].map(|name| json[name].as_u64());
    assert_eq!(counts, [Some(8), Some(1), Some(143)]);
    assert_eq!(env.requests(), 1);
    env.run("work").exits(0);
    assert_eq!(env.requests(), 8);
}
