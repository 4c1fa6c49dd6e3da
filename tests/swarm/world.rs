//! A world that a batch is asked in, drawn by chance: how many keys it has and what they are worth,
//! which rows cannot be answered, how often and how the endpoint fails, and with which flags it is run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use promptmill::simulator::{Arrival, Config, KeyRefusal, Latency, Reaction, Script};

use crate::support::{Scene, question};

/// What is drawn of a world.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) keys: Vec<String>,
    /// Keys behind the first so many are refused.
    good_keys: usize,
    bad_rows: BTreeSet<usize>,
    /// Of a hundred requests, so many fail by chance.
    faults: u64,
    latency: Duration,
    concurrency: usize,
    is_wild: Arc<AtomicBool>,
}

impl World {
    pub(crate) fn draw(seed: u64, dice: &mut Rng) -> Self {
        let keys = dice.usize(1..=4);
        let bad = if dice.bool() { 0 } else { dice.usize(1..=4) };
        Self {
            seed,
            keys: (0..keys)
                .map(|_| format!("Zq_{:016x}", dice.u64(..)))
                .collect(),
            good_keys: dice.usize(1..=keys),
            bad_rows: (0..bad).map(|_| dice.usize(1..=90)).collect(),
            faults: [0, 3, 10, 25][dice.usize(0..4)],
            latency: Duration::from_millis(dice.u64(0..8)),
            concurrency: dice.usize(1..=32),
            is_wild: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Starts its provider beside an empty folder.
    pub(crate) fn scene(&self) -> Scene {
        let (seed, faults, wild) = (self.seed, self.faults, Arc::clone(&self.is_wild));
        let refused: Vec<_> = self.keys[self.good_keys..].to_vec();
        let bad: Vec<_> = self.bad_rows.iter().map(|row| question(*row)).collect();
        let rule = move |arrival: &Arrival<'_>| {
            if refused.iter().any(|key| key == arrival.key) {
                return Some(refusal(arrival.key));
            }
            if bad.iter().any(|prompt| prompt == arrival.prompt) {
                return Some(too_long());
            }
            let mut dice =
                Rng::with_seed(seed ^ arrival.number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let fails = wild.load(Ordering::Relaxed) && dice.u64(0..100) < faults;
            fails.then(|| fault(&mut dice))
        };
        let config = Config::default()
            .latency(Latency::Constant(self.latency))
            .script(Script::new().rule(rule));
        let keys: Vec<_> = self.keys.iter().map(String::as_str).collect();
        Scene::new(config).keys(&keys)
    }

    /// Lets the endpoint fail no more by chance.
    pub(crate) fn calm(&self) {
        self.is_wild.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_bad(&self, row: usize) -> bool {
        self.bad_rows.contains(&row)
    }

    /// How many of the first so many rows cannot be answered.
    pub(crate) fn bad_among(&self, rows: usize) -> usize {
        self.bad_rows.range(..=rows).count()
    }

    /// Draws the flags of a run.
    pub(crate) fn words(&self, dice: &mut Rng) -> String {
        let flags = [
            "--limit 7",
            "--max-requests 11",
            "--dedupe=always",
            "--rpm 100000",
            "--concurrency auto",
            "--max-attempts 2",
            "--max-runtime 300ms",
            "-q",
            "--cron",
            "--json",
        ];
        let mut words = format!(
            "run jobs.csv -o out.csv --id-column id --max-outage 1s --max-wait 1s --grace 200ms \
             --timeout 400ms --concurrency {}",
            self.concurrency
        );
        if dice.bool() {
            let flag = flags[dice.usize(0..flags.len())];
            words = match flag.strip_prefix("--concurrency") {
                Some(_) => words.replace(&format!("--concurrency {}", self.concurrency), flag),
                None => format!("{words} {flag}"),
            };
        }
        words
    }
}

fn refusal(key: &str) -> Reaction {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {key}","code":"invalid_api_key"}}}}"#
    );
    Reaction::Refuse(KeyRefusal::Other { status: 401, body })
}

fn too_long() -> Reaction {
    let body = r#"{"error":{"message":"Too long.","code":"context_length_exceeded"}}"#;
    Reaction::Json(400, body.to_owned())
}

/// A fault that passes.
fn fault(dice: &mut Rng) -> Reaction {
    let limited = r#"{"error":{"message":"Rate limit reached. Please try again in 40ms.","code":"rate_limit_exceeded"}}"#;
    match dice.usize(0..11) {
        0 => Reaction::Status(500),
        1 => Reaction::Status(503),
        2 => Reaction::Json(429, limited.to_owned()),
        3 => Reaction::Reset,
        4 => Reaction::HalfBody,
        5 => Reaction::HalfBodyReset,
        6 => Reaction::EmptyChoices,
        7 => Reaction::ErrorInOk,
        8 => Reaction::Html(502),
        9 => Reaction::Hang,
        _ => Reaction::Delay(Duration::from_millis(dice.u64(1..60))),
    }
}
