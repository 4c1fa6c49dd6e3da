//! Unattended runs: no output on success, output on failure, and `--if-busy`.

use promptmill::simulator::{Config, KeyRejection, Reaction, Script};
use rustix::process::Signal;

use crate::support::{RunningProgram, TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// Removes the summary setting, as under cron: without a terminal, no summary is printed by
/// default.
fn under_cron(env: TestEnv) -> TestEnv {
    env.set_var("PROMPTMILL_SUMMARY", "")
}

/// Starts a provider that rejects the API key.
fn env_with_refused_key() -> TestEnv {
    let body = r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#;
    let refusal = KeyRejection::Other {
        status: 401,
        body: body.to_owned(),
    };
    let script = Script::new().always(Reaction::Reject(refusal));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(3));
    under_cron(env)
}

/// Starts a run that holds the run lock until the provider is released.
fn start_blocked_run(rows: usize) -> (TestEnv, RunningProgram) {
    let env = under_cron(TestEnv::with_rows(rows));
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(1);
    (env, run)
}

#[test]
fn without_a_terminal_a_successful_command_prints_nothing() {
    let env = under_cron(TestEnv::with_rows(5));
    env.run(RUN).exits(0).prints_nothing();
    env.results("out.csv").assert_completed(5);
    env.write("jobs.csv", &jobs(6));
    for args in [
        RUN,
        RUN,
        "import jobs.csv",
        "work",
        "retry jobs.csv",
        "keys reset",
    ] {
        env.run(args).exits(0).prints_nothing();
    }
    env.run(&format!("{RUN} --summary always"))
        .exits(0)
        .stderr_contains("nothing to do");
    env.run(&format!("{RUN} -v"))
        .exits(0)
        .stderr_contains("nothing to do");
    assert_eq!(env.requests(), 6);
}

#[test]
fn a_simulated_run_says_so_even_without_a_terminal() {
    let env = under_cron(TestEnv::with_rows(2));
    env.run(&format!("{RUN} --simulate"))
        .exits(0)
        .stderr_contains("SIMULATED");
    env.run(&format!("{RUN} --simulate --cron"))
        .exits(0)
        .prints_nothing();
}

#[test]
fn summary_and_cron_can_be_set_in_the_settings_file() {
    let env = under_cron(TestEnv::with_rows(2));
    env.write("promptmill.toml", "summary = \"always\"\n");
    env.run(RUN).exits(0).stderr_contains("done: all 2 rows");
    env.write("promptmill.toml", "cron = true\nif-busy = \"fail\"\n");
    env.run(RUN).exits(0).prints_nothing();
}

#[test]
fn a_failed_run_with_cron_prints_the_full_summary() {
    let output = env_with_refused_key()
        .run(&format!("{RUN} --cron"))
        .exits(77);
    let output = output
        .stderr_contains("no usable API key left")
        .stderr_contains("Incorrect API key provided");
    assert!(
        output
            .stderr_contains("promptmill doctor")
            .stderr
            .starts_with("stopped after")
    );
}

#[test]
fn a_quiet_run_that_stops_early_prints_the_reason_in_one_line() {
    let output = env_with_refused_key().run(&format!("{RUN} -q")).exits(77);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    output
        .stderr_contains("jobs.csv: stopped: no usable API key left (")
        .stderr_contains("3 of 3 rows remaining");
}

#[test]
fn a_quiet_run_reports_failed_rows_by_its_exit_code_only() {
    let script = Script::new().on(
        |request| request.prompt == "question 2",
        Reaction::Flood(64 * 1024 * 1024),
    );
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(3));
    under_cron(env)
        .run(&format!("{RUN} -q"))
        .exits(3)
        .prints_nothing();
}

#[test]
fn a_second_run_fails_skips_or_waits_as_configured() {
    let (env, first) = start_blocked_run(3);
    env.run(RUN)
        .exits(75)
        .stderr_contains("another run is using the database (process ");
    for args in ["--if-busy skip", "--cron", "-q --if-busy skip"] {
        env.run(&format!("{RUN} {args}")).exits(0).prints_nothing();
        env.run(&format!("work {args}")).exits(0).prints_nothing();
    }
    env.run(&format!("{RUN} --if-busy skip -v"))
        .exits(0)
        .stderr_contains("skipped: another run is using the database (process ");
    let skipped = env.run(&format!("{RUN} --cron --json")).exits(0).json();
    assert_eq!(
        (&skipped["skipped"], &skipped["exit_code"]),
        (&true.into(), &0.into())
    );
    env.run(&format!("{RUN} --cron --if-busy fail")).exits(75);
    let mut second = env.start(&format!("{RUN} --if-busy wait --summary always"));
    second.wait_for_line("waiting: another run is using the database (process ");
    env.provider.release();
    first.finish().exits(0).prints_nothing();
    let second = second.finish().exits(0).stderr_contains("nothing to do");
    assert_eq!(
        second.stderr.matches("waiting").count(),
        1,
        "{}",
        second.stderr
    );
    assert_eq!(env.requests(), 3);
    env.results("out.csv").assert_completed(3);
}

#[test]
fn a_run_stops_on_a_signal_while_waiting_for_the_run_lock() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (env, first) = start_blocked_run(1);
        let mut second = env.start(&format!("{RUN} --if-busy wait"));
        second.wait_for_line("waiting: ");
        second.signal(signal);
        second
            .finish()
            .exits(code)
            .stderr_contains("no request was sent");
        env.provider.release();
        first.finish().exits(0);
        assert_eq!(env.requests(), 1);
    }
}

#[test]
fn a_run_stops_on_a_signal_after_waiting_for_the_run_lock() {
    let (env, first) = start_blocked_run(2);
    let mut second = env.start(&format!("{RUN} --if-busy wait"));
    second.wait_for_line("waiting: ");
    first.kill();
    env.wait_for_requests(2);
    second.signal(Signal::TERM);
    second.wait_for_line("stopping: waiting for 1 request in flight");
    env.provider.release();
    second.finish().exits(143);
}

#[test]
fn a_run_that_reaches_a_limit_prints_nothing_with_cron() {
    let env = under_cron(TestEnv::with_rows(3));
    env.run(&format!("{RUN} --limit 1"))
        .exits(4)
        .stderr_contains("2 of 3 rows");
    env.run(&format!("{RUN} --limit 1 --cron"))
        .exits(4)
        .prints_nothing();
    env.run(&format!("{RUN} --cron")).exits(0).prints_nothing();
    env.results("out.csv").assert_completed(3);
}

/// Returns the arguments of promptmill in the first line that starts with `start`.
fn arguments(text: &str, start: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(start)).unwrap();
    line.split_once("bin/promptmill ").unwrap().1.to_owned()
}

#[test]
fn the_service_and_crontab_examples_work_and_print_nothing() {
    let service = include_str!("../../contrib/promptmill.service");
    let crontab = include_str!("../../contrib/promptmill.crontab");
    for args in [arguments(service, "ExecStart="), arguments(crontab, "15 ")] {
        let env = under_cron(TestEnv::with_rows(2));
        env.run(&args).exits(0).prints_nothing();
        env.results("results.csv").assert_completed(2);
    }
}
