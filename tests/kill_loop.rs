//! Kills the built binary at random moments, again and again, and holds what is left to the
//! invariants of `docs/RELIABILITY.md`. `scripts/kill-loop 1000` does it a thousand times.
//!
//! `KILLS` and `SEED` in the environment say how often and with which dice. The same seed throws the
//! same dice; the moment that a process dies at is the machine's all the same.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set its scene has failed, and --nocapture shows how far it is"
)]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::fs;
use std::time::Duration;

use promptmill::simulator::{Config, Latency};
use promptmill::store::Store;

use support::{KEY, Scene, Sheet, jobs, question};

const ROWS: usize = 1_500;
const IN_FLIGHT: u64 = 24;
const RUN: &str = "run jobs.csv -o out.csv --concurrency 24";
/// Kills of one batch; then it is ended, looked at, and another one begins.
const KILLS_OF_ONE: u64 = 40;
/// Kills where nobody says how many.
const KILLS: u64 = 50;
/// How long a provider's answer takes, so that a kill finds requests in flight.
const LATENCY: Duration = Duration::from_millis(4);

/// Columns that do not depend on how often a row was asked.
const SAME: [&str; 6] = [
    "id",
    "prompt",
    "response",
    "status",
    "prompt_tokens",
    "completion_tokens",
];

#[expect(
    clippy::disallowed_methods,
    reason = "the two numbers are for this test alone"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn scene() -> Scene {
    let config = Config::default()
        .seed(1)
        .latency(Latency::Constant(LATENCY));
    let scene = Scene::new(config);
    scene.write("jobs.csv", &jobs(ROWS));
    scene
}

/// What the database says after a kill: rows that are done, and rows in flight.
fn look(scene: &Scene) -> Option<(u64, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open_existing(&scene.path("promptmill.db"))
            .await
            .unwrap()?;
        let soundness = store.verify().await.unwrap();
        assert_eq!((soundness.file, soundness.content), (vec![], vec![]));
        let statuses = store.statuses().await.unwrap();
        store.close().await.unwrap();
        let counts = statuses.first()?.counts;
        assert_eq!(counts.total, ROWS as u64, "half an import");
        let sum = counts.done + counts.failed + counts.pending + counts.running;
        assert_eq!((counts.failed, sum), (0, ROWS as u64));
        Some((counts.done, counts.running))
    })
}

/// Holds every file to having no byte of the key (I6).
fn has_no_key(scene: &Scene) {
    for name in scene.files() {
        let bytes = fs::read(scene.path(&name)).unwrap();
        let found = bytes
            .windows(KEY.len())
            .any(|window| window == KEY.as_bytes());
        assert!(!found, "the key is in {name}");
    }
}

/// Kills a run somewhere: mostly after some requests, at times before the first one.
fn kill_once(scene: &Scene, dice: &mut fastrand::Rng) {
    let requests = scene.requests();
    let run = scene.start(RUN);
    let early = dice.u64(0..8) == 0;
    let moment = if early { 60_000 } else { 8_000 };
    let wanted = if early { 0 } else { dice.u64(2..=70) };
    // A batch that ends before so many requests have come is not killed, and has nothing left.
    let _ = scene
        .provider
        .wait_for(requests + wanted, Duration::from_millis(500));
    let moment = Duration::from_micros(dice.u64(0..moment));
    let _ = scene.provider.wait_for(u64::MAX, moment);
    let ran = run.kill();
    assert!(
        !ran.stderr.contains(KEY) && !ran.stderr.contains("panicked"),
        "{}",
        ran.stderr
    );
}

/// Kills a batch so many times, ends it, and looks at all of it.
fn batch(kills: u64, dice: &mut fastrand::Rng, calm: &Sheet) {
    let scene = scene();
    let (mut in_flight, mut done) = (0, 0);
    for _ in 0..kills {
        kill_once(&scene, dice);
        // A look folds the log back, so at every other time the next run has to do that itself.
        if dice.bool() {
            in_flight += IN_FLIGHT;
        } else if let Some((done_now, running)) = look(&scene) {
            assert!(
                done_now >= done,
                "{done} were done, now {done_now} are (promise 2)"
            );
            assert!(running <= IN_FLIGHT, "{running} in flight");
            (in_flight, done) = (in_flight + running, done_now);
        }
    }
    has_no_key(&scene);
    scene.run(RUN).exits(0);
    let sheet = scene.sheet("out.csv");
    sheet.answers(ROWS);
    for column in SAME {
        assert_eq!(sheet.column(column), calm.column(column), "{column}");
    }
    let ledger = scene.provider.ledger();
    for (row, counted) in sheet.column("attempts").iter().enumerate() {
        let (asked, counted) = (
            ledger.of_prompt(&question(row + 1)),
            counted.parse::<u64>().unwrap(),
        );
        assert!(
            asked <= counted,
            "row {row}: {asked} requests, {counted} counted (I4)"
        );
        assert!(asked <= 1 + kills, "row {row}: {asked} requests (I5)");
    }
    let most = ROWS as u64 + in_flight;
    assert!(
        ledger.requests <= most,
        "{} requests, {most} at most (I5)",
        ledger.requests
    );
    scene.run("verify jobs.csv --output out.csv").exits(0);
    scene.run(RUN).exits(0).says("nothing to do");
    assert_eq!(scene.requests(), ledger.requests);
    has_no_key(&scene);
    let repeated = ledger.requests - ROWS as u64;
    println!("{kills} kills: {ROWS} rows answered once, {repeated} requests repeated");
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    let kills = number("KILLS").unwrap_or(KILLS);
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{kills} kills with SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let calm = scene();
    calm.run(RUN).exits(0);
    let calm = calm.sheet("out.csv");
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_OF_ONE);
        batch(now, &mut dice, &calm);
        left -= now;
    }
}
