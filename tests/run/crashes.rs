//! Crashes by `kill -9`: no response is lost or recorded twice, and every request that may have
//! been repeated is counted.

use std::time::Duration;

use promptmill::simulator::{Config, SimulatedLatency};

use crate::support::{TestEnv, jobs};

const ROWS: usize = 150;
const KILLS: u32 = 30;
const SEED: u64 = 20_260_801;
/// Latency of the provider, so that requests are in flight when a run is killed.
const LATENCY: Duration = Duration::from_millis(3);
/// With concurrency 3, a row is in flight at four crashes at most, because each longer run first
/// completes a row that was in flight at the previous crash. At the fifth crash, the row would
/// fail.
const RUN: &str = "run jobs.csv -o out.csv --concurrency 3";

/// Returns the numbers of rows in flight and done, according to the database.
#[track_caller]
fn running_and_done(env: &TestEnv) -> (u64, u64) {
    let status = env.run("status --json").exits(0).json();
    let batch = &status["batches"][0];
    let count = |name: &str| batch[name].as_u64().unwrap_or(0);
    (count("running"), count("done"))
}

#[test]
fn thirty_kills_lose_nothing_and_repeat_only_requests_in_flight() {
    let latency = SimulatedLatency::Constant(LATENCY);
    let env = TestEnv::new(Config::default().latency(latency));
    env.write("jobs.csv", &jobs(ROWS));
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut in_flight, mut done) = (0, 0);
    for kill in 0..KILLS {
        let requests = env.requests();
        let run = env.start(RUN);
        // Every sixth kill is at the start, the others after some requests, with a random delay.
        // Once the second request is sent, the first response is on disk.
        if kill % 6 > 0 {
            env.wait_for_requests(requests + rng.u64(2..=4));
        }
        let delay = Duration::from_micros(rng.u64(0..4_000));
        // That many requests never arrive, so this waits for the whole delay.
        let _ = env.provider.wait_for_requests(u64::MAX, delay);
        run.kill();
        let (running, done_now) = running_and_done(&env);
        assert!(
            done_now >= done,
            "kill {kill}: the number of rows done dropped from {done} to {done_now}"
        );
        assert!(running <= 3, "kill {kill}: {running} in flight");
        (in_flight, done) = (in_flight + running, done_now);
    }
    assert!(in_flight > 0, "no request was in flight at any kill");
    assert!(done < ROWS as u64, "the batch was completed too early");
    env.run(RUN).exits(0);
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    // The counts can be higher than the requests: a run that is killed before recovery leaves the
    // same requests in flight, and one that is killed between claim and request has not sent the
    // request.
    let (requests, counted) = (env.requests(), results.sum("attempts"));
    assert!(
        requests <= counted,
        "{requests} requests, but {counted} attempts"
    );
    let max = ROWS as u64 + in_flight;
    assert!(counted <= max, "{counted} attempts, at most {max} expected");
    env.run(RUN).exits(0).stderr_contains("nothing to do");
    assert_eq!(env.requests(), requests);
}

#[test]
fn the_run_after_a_crash_reports_requests_with_an_unknown_result() {
    let env = TestEnv::with_rows(3);
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(1);
    run.kill();
    assert_eq!(running_and_done(&env), (1, 0));
    env.provider.release();
    let output = env.run(&format!("{RUN} --json")).exits(0);
    assert_eq!(output.json()["unknown"], 1);
    let output = output.stderr_contains(
        "1 request was in flight when an earlier run crashed; its row was retried",
    );
    assert_eq!(output.json()["requests"], 3);
    let results = env.results("out.csv");
    results.assert_completed(3);
    assert_eq!(results.column("attempts"), ["2", "1", "1"]);
    assert_eq!(env.requests(), 4);
}

#[test]
fn partial_results_of_a_crashed_run_are_removed() {
    let env = TestEnv::with_rows(5);
    env.write(".out.csv.x1y2z3.part", "id,prompt\n1,half a r");
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(5);
    let names = ["jobs.csv", "out.csv", "promptmill.db", "promptmill.db.lock"];
    assert_eq!(env.files(), names);
}

#[test]
fn a_killed_run_leaves_the_old_results_unchanged() {
    let env = TestEnv::with_rows(3);
    env.run(RUN).exits(0);
    let old = env.read("out.csv");
    env.write("jobs.csv", &jobs(6));
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(4);
    run.kill();
    assert_eq!(env.read("out.csv"), old);
}

#[test]
fn a_row_that_crashes_every_run_eventually_fails() {
    let env = TestEnv::with_rows(2);
    env.provider.hold();
    for crash in 1..=5 {
        let run = env.start(RUN);
        env.wait_for_requests(crash);
        run.kill();
    }
    env.provider.release();
    env.run(RUN).exits(3).stderr_contains("crash-loop");
    let results = env.results("out.csv");
    assert_eq!(results.column("status"), ["failed", "done"]);
    assert_eq!(env.requests(), 6);
}

#[test]
fn a_killed_import_is_atomic() {
    const MANY: usize = 5_000;
    let env = TestEnv::with_rows(MANY);
    let mut rng = fastrand::Rng::with_seed(SEED);
    for _ in 0..6 {
        let import = env.start("import jobs.csv");
        let delay = Duration::from_millis(rng.u64(5..250));
        let _ = env.provider.wait_for_requests(u64::MAX, delay);
        import.kill();
        let status = env.run("status --json").exits(0).json();
        let total = status["batches"][0]["total"].as_u64().unwrap_or(0);
        assert!(total == 0 || total == MANY as u64, "{total} rows");
    }
    env.run("import jobs.csv").exits(0);
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["pending"], MANY);
}

#[test]
fn a_killed_export_leaves_complete_results() {
    const MANY: usize = 5_000;
    let env = TestEnv::with_rows(MANY);
    env.run("import jobs.csv").exits(0);
    env.run("export jobs.csv -o out.csv").exits(0);
    let complete = env.read("out.csv");
    let mut rng = fastrand::Rng::with_seed(SEED);
    for _ in 0..8 {
        let export = env.start("export jobs.csv -o out.csv");
        let delay = Duration::from_millis(rng.u64(5..120));
        let _ = env.provider.wait_for_requests(u64::MAX, delay);
        export.kill();
        assert!(env.read("out.csv") == complete, "the results have changed");
    }
}

#[test]
fn five_crashes_do_not_fail_other_rows_in_flight() {
    let keys = [
        "sk-key-a-0123456789",
        "sk-key-b-0123456789",
        "sk-key-c-0123456789",
    ];
    let env = TestEnv::with_rows(3).keys(&keys);
    for crash in 1..=5 {
        env.provider.hold();
        let run = env.start(RUN);
        // Wait for one more request, then briefly for the others: the run may send a suspected row
        // alone.
        env.wait_for_requests(crash);
        let _ = env
            .provider
            .wait_for_requests(3 * crash, Duration::from_millis(500));
        run.kill();
    }
    env.provider.release();
    env.run(RUN);
    let failed = env.results("out.csv").count("failed");
    assert!(
        failed <= 1,
        "{failed} rows failed as the cause of the crashes"
    );
}
