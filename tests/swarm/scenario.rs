//! A random scenario: number and validity of the keys, rows that cannot succeed, faults of the
//! endpoint, and flags of the runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use promptmill::simulator::{
    Config, IncomingRequest, KeyRejection, Reaction, Script, SimulatedLatency,
};

use crate::support::{TestEnv, question};

/// The parameters of a scenario.
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) keys: Vec<String>,
    /// Number of valid keys; the keys after them are rejected.
    good_keys: usize,
    bad_rows: BTreeSet<usize>,
    /// Percentage of requests with an injected fault.
    fault_percent: u64,
    latency: Duration,
    concurrency: usize,
    inject_faults: Arc<AtomicBool>,
}

impl Scenario {
    pub(crate) fn random(seed: u64, rng: &mut Rng) -> Self {
        let keys = rng.usize(1..=4);
        let bad = if rng.bool() { 0 } else { rng.usize(1..=4) };
        Self {
            seed,
            keys: (0..keys)
                .map(|_| format!("Zq_{:016x}", rng.u64(..)))
                .collect(),
            good_keys: rng.usize(1..=keys),
            bad_rows: (0..bad).map(|_| rng.usize(1..=90)).collect(),
            fault_percent: [0, 3, 10, 25][rng.usize(0..4)],
            latency: Duration::from_millis(rng.u64(0..8)),
            concurrency: rng.usize(1..=32),
            inject_faults: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Starts the provider, with an empty directory.
    pub(crate) fn test_env(&self) -> TestEnv {
        let (seed, fault_percent, inject_faults) = (
            self.seed,
            self.fault_percent,
            Arc::clone(&self.inject_faults),
        );
        let refused: Vec<_> = self.keys[self.good_keys..].to_vec();
        let bad: Vec<_> = self.bad_rows.iter().map(|row| question(*row)).collect();
        let rule = move |request: &IncomingRequest<'_>| {
            if refused.iter().any(|key| key == request.key) {
                return Some(refusal(request.key));
            }
            if bad.iter().any(|prompt| prompt == request.prompt) {
                return Some(too_long());
            }
            let mut rng = Rng::with_seed(seed ^ request.number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let fails = inject_faults.load(Ordering::Relaxed) && rng.u64(0..100) < fault_percent;
            fails.then(|| random_fault(&mut rng))
        };
        let config = Config::default()
            .latency(SimulatedLatency::Constant(self.latency))
            .script(Script::new().rule(rule));
        let keys: Vec<_> = self.keys.iter().map(String::as_str).collect();
        TestEnv::new(config).keys(&keys)
    }

    /// Stops injecting faults.
    pub(crate) fn stop_faults(&self) {
        self.inject_faults.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_bad(&self, row: usize) -> bool {
        self.bad_rows.contains(&row)
    }

    /// Returns how many of the first rows cannot succeed.
    pub(crate) fn bad_rows_within(&self, rows: usize) -> usize {
        self.bad_rows.range(..=rows).count()
    }

    /// Returns the arguments of a run with random flags.
    pub(crate) fn random_args(&self, rng: &mut Rng) -> String {
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
        let mut args = format!(
            "run jobs.csv -o out.csv --id-column id --max-outage 1s --max-wait 1s --grace 200ms \
             --timeout 400ms --concurrency {}",
            self.concurrency
        );
        if rng.bool() {
            let flag = flags[rng.usize(0..flags.len())];
            args = match flag.strip_prefix("--concurrency") {
                Some(_) => args.replace(&format!("--concurrency {}", self.concurrency), flag),
                None => format!("{args} {flag}"),
            };
        }
        args
    }
}

fn refusal(key: &str) -> Reaction {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {key}","code":"invalid_api_key"}}}}"#
    );
    Reaction::Reject(KeyRejection::Other { status: 401, body })
}

fn too_long() -> Reaction {
    let body = r#"{"error":{"message":"Too long.","code":"context_length_exceeded"}}"#;
    Reaction::Json(400, body.to_owned())
}

/// Returns a random temporary fault.
fn random_fault(rng: &mut Rng) -> Reaction {
    let rate_limited = r#"{"error":{"message":"Rate limit reached. Please try again in 40ms.","code":"rate_limit_exceeded"}}"#;
    match rng.usize(0..11) {
        0 => Reaction::Status(500),
        1 => Reaction::Status(503),
        2 => Reaction::Json(429, rate_limited.to_owned()),
        3 => Reaction::Reset,
        4 => Reaction::HalfBody,
        5 => Reaction::HalfBodyReset,
        6 => Reaction::EmptyChoices,
        7 => Reaction::ErrorInOk,
        8 => Reaction::Html(502),
        9 => Reaction::Hang,
        _ => Reaction::Delay(Duration::from_millis(rng.u64(1..60))),
    }
}
