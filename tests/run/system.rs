//! Limits of the operating system: open files and core dumps.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use promptmill::simulator::{Config, SimulatedLatency};
use rustix::process::Signal;

use crate::support::{RunningProgram, TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

#[test]
fn a_low_open_file_limit_reduces_the_concurrency_and_all_rows_complete() {
    let env = TestEnv::with_rows(200);
    let args = format!("{RUN} --concurrency 100");
    let output = RunningProgram::start(env.command_with_ulimit("-n 32", &args), "").finish();
    output
        .exits(0)
        .stderr_contains("concurrency reduced to 4: the system allows 32 open files");
    env.results("out.csv").assert_completed(200);
    assert_eq!(env.requests(), 200);
}

#[test]
fn a_run_fails_without_requests_if_the_open_file_limit_is_too_low() {
    let env = TestEnv::with_rows(3);
    let output = RunningProgram::start(env.command_with_ulimit("-n 24", RUN), "").finish();
    output
        .exits(78)
        .stderr_contains("the system allows 24 open files, but a run requires at least 29")
        .stderr_contains("ulimit -n");
    assert_eq!(env.requests(), 0);
    env.run(RUN).exits(0);
}

#[test]
fn raises_a_low_soft_limit_of_open_files() {
    let latency = SimulatedLatency::Constant(Duration::from_secs(1));
    let env = TestEnv::new(Config::default().latency(latency));
    env.write("jobs.csv", &jobs(150));
    let args = format!("{RUN} --concurrency 150");
    let output = RunningProgram::start(env.command_with_ulimit("-S -n 64", &args), "").finish();
    let output = output.exits(0);
    assert!(
        !output.stderr.contains("concurrency reduced"),
        "{}",
        output.stderr
    );
    env.results("out.csv").assert_completed(150);
    assert!(env.provider.request_log().max_in_flight > 64);
}

#[test]
fn an_aborted_process_leaves_no_core_dump() {
    let env = TestEnv::with_rows(3);
    env.provider.hold();
    let run = RunningProgram::start(env.command_with_ulimit("-c unlimited", RUN), "");
    env.wait_for_requests(1);
    run.signal(Signal::ABORT);
    let output = run.finish();
    env.provider.release();
    assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!output.status.core_dumped(), "{}", output.status);
    assert!(env.files().iter().all(|name| !name.starts_with("core")));
}
