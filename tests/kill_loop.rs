//! Kills the built binary at random moments, and checks the invariants of `docs/RELIABILITY.md`.
//! `scripts/kill-loop 1000` kills it a thousand times.
//!
//! The environment variables `KILLS` and `SEED` set the number of kills and the seed. The seed does
//! not determine the exact moments at which processes are killed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed setup fails the test, and --nocapture shows the progress"
)]

#[expect(dead_code, reason = "other test targets use the rest")]
mod support;

use std::fs;
use std::time::Duration;

use promptmill::simulator::{Config, SimulatedLatency};
use promptmill::store::{Location, Store};

use support::{CsvResults, KEY, TestEnv, jobs, question};

const ROWS: usize = 1_500;
const IN_FLIGHT: u64 = 24;
const RUN: &str = "run jobs.csv -o out.csv --concurrency 24";
/// Number of kills per batch. The batch is then completed and checked.
const KILLS_PER_BATCH: u64 = 40;
/// Default number of kills.
const DEFAULT_KILLS: u64 = 50;
/// Latency of the provider, so that requests are in flight when a run is killed.
const LATENCY: Duration = Duration::from_millis(4);

/// Columns that do not depend on the number of attempts.
const STABLE_COLUMNS: [&str; 6] = [
    "id",
    "prompt",
    "response",
    "status",
    "prompt_tokens",
    "completion_tokens",
];

#[expect(
    clippy::disallowed_methods,
    reason = "these variables only configure this test"
)]
fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn test_env() -> TestEnv {
    let config = Config::default()
        .seed(1)
        .latency(SimulatedLatency::Constant(LATENCY));
    let env = TestEnv::new(config);
    env.write("jobs.csv", &jobs(ROWS));
    env
}

/// Checks the database after a kill. Returns the number of rows done and in flight.
fn check_database(env: &TestEnv) -> Option<(u64, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open_existing(&Location::new(env.path("promptmill.db")))
            .await
            .unwrap()?;
        let report = store.verify().await.unwrap();
        let errors = (report.file_errors, report.inconsistencies);
        assert_eq!(errors, (vec![], vec![]));
        let statuses = store.statuses().await.unwrap();
        store.close().await.unwrap();
        let counts = statuses.first()?.counts;
        assert_eq!(counts.total, ROWS as u64, "partial import");
        let sum = counts.done + counts.failed + counts.pending + counts.running;
        assert_eq!((counts.failed, sum), (0, ROWS as u64));
        Some((counts.done, counts.running))
    })
}

/// Checks that no file contains the key (I6).
fn check_no_key(env: &TestEnv) {
    for name in env.files() {
        let bytes = fs::read(env.path(&name)).unwrap();
        let found = bytes
            .windows(KEY.len())
            .any(|window| window == KEY.as_bytes());
        assert!(!found, "the key was found in {name}");
    }
}

/// Starts a run and kills it, usually after some requests, sometimes before the first one.
fn kill_once(env: &TestEnv, rng: &mut fastrand::Rng) {
    let requests = env.requests();
    let run = env.start(RUN);
    let early = rng.u64(0..8) == 0;
    let max_delay = if early { 60_000 } else { 8_000 };
    let awaited = if early { 0 } else { rng.u64(2..=70) };
    // The run may complete before it has sent that many requests.
    let _ = env
        .provider
        .wait_for_requests(requests + awaited, Duration::from_millis(500));
    let delay = Duration::from_micros(rng.u64(0..max_delay));
    // That many requests never arrive, so this waits for the whole delay.
    let _ = env.provider.wait_for_requests(u64::MAX, delay);
    let output = run.kill();
    assert!(
        !output.stderr.contains(KEY) && !output.stderr.contains("internal error in promptmill"),
        "{}",
        output.stderr
    );
}

/// Kills runs of a batch, completes it, and checks the results.
fn check_batch(kills: u64, rng: &mut fastrand::Rng, reference: &CsvResults) {
    let env = test_env();
    let (mut in_flight, mut done) = (0, 0);
    for _ in 0..kills {
        kill_once(&env, rng);
        // Opening the database checkpoints the WAL. Half of the time, leave that to the next run.
        if rng.bool() {
            in_flight += IN_FLIGHT;
        } else if let Some((done_now, running)) = check_database(&env) {
            assert!(
                done_now >= done,
                "rows done dropped from {done} to {done_now} (guarantee 2)"
            );
            assert!(running <= IN_FLIGHT, "{running} in flight");
            (in_flight, done) = (in_flight + running, done_now);
        }
    }
    check_no_key(&env);
    env.run(RUN).exits(0);
    let results = env.results("out.csv");
    results.assert_completed(ROWS);
    for column in STABLE_COLUMNS {
        assert_eq!(results.column(column), reference.column(column), "{column}");
    }
    let log = env.provider.request_log();
    for (row, counted) in results.column("attempts").iter().enumerate() {
        let (sent, counted) = (
            log.count_by_prompt(&question(row + 1)),
            counted.parse::<u64>().unwrap(),
        );
        assert!(
            sent <= counted,
            "row {row}: {sent} requests, but {counted} attempts (I4)"
        );
        assert!(sent <= 1 + kills, "row {row}: {sent} requests (I5)");
    }
    let max = ROWS as u64 + in_flight;
    assert!(
        log.requests <= max,
        "{} requests, at most {max} expected (I5)",
        log.requests
    );
    env.run("verify jobs.csv --output out.csv").exits(0);
    env.run(RUN).exits(0).stderr_contains("nothing to do");
    assert_eq!(env.requests(), log.requests);
    check_no_key(&env);
    let repeated = log.requests - ROWS as u64;
    println!("{kills} kills: {ROWS} rows completed, {repeated} requests repeated");
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    let kills = number_from_env("KILLS").unwrap_or(DEFAULT_KILLS);
    let seed = number_from_env("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{kills} kills with SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let reference = test_env();
    reference.run(RUN).exits(0);
    let reference = reference.results("out.csv");
    let mut remaining = kills;
    while remaining > 0 {
        let kills_now = remaining.min(KILLS_PER_BATCH);
        check_batch(kills_now, &mut rng, &reference);
        remaining -= kills_now;
    }
}
