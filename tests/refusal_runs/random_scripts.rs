//! Runs against random scripts: for any sequence of responses, a run terminates, counts every
//! request, and respects the invariants of keys. A failed test reports the seed of its script.

use std::collections::BTreeMap;
use std::thread;

use promptmill::domain::concurrency::Concurrency;
use promptmill::domain::job::JobState;
use promptmill::progress::event::RunEvent;
use promptmill::simulator::{IncomingRequest, KeyRejection, Reaction, RequestLogEntry, Script};

use crate::fixture::{Fixture, RunResult, error, prompt, secret, throttled, unknown_403};

const JOBS: usize = 12;
const MAX_ATTEMPTS: u32 = 3;
const THREADS: u64 = 4;
const RUNS_PER_THREAD: u64 = 60;

/// A random number generator (xorshift64*). The script of a seed is the same in every build.
struct Rng(u64);

impl Rng {
    fn new(parts: &[u64]) -> Self {
        let mut rng = Self(0x9E37_79B9_7F4A_7C15);
        for part in parts {
            rng.0 ^= part.wrapping_add(1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            rng.below(2);
            rng.below(2);
        }
        rng
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

fn refusal(rng: &mut Rng) -> Reaction {
    match rng.below(16) {
        0 => Reaction::Reject(KeyRejection::Invalid),
        1 => Reaction::Reject(KeyRejection::Disabled),
        2 => Reaction::Reject(KeyRejection::NoQuota),
        3 => Reaction::Reject(KeyRejection::Country),
        4 => Reaction::Reject(KeyRejection::Forbidden),
        5 => error(401, "", "", ""),
        6 => error(403, "flagged", "", "content_policy_violation"),
        7 => Reaction::Raw {
            status: 403,
            headers: vec![("retry-after-ms".to_owned(), "2".to_owned())],
            body: "API rate limit exceeded".to_owned(),
        },
        8 => error(400, "odd", "", ""),
        9 => error(404, "The model does not exist", "", "model_not_found"),
        10 => error(
            403,
            ["ox", "cat", "emu"][usize::try_from(rng.below(3)).unwrap()],
            "",
            "",
        ),
        11 => Reaction::Raw {
            status: 403,
            headers: vec![("x-should-retry".to_owned(), "true".to_owned())],
            body: String::new(),
        },
        12 => Reaction::Status(500),
        13 => Reaction::EmptyChoices,
        _ => unknown_403(),
    }
}

/// Creates a script in which some keys and rows always fail, and other requests fail at random.
fn script(seed: u64) -> Script {
    let reaction = move |request: &IncomingRequest<'_>| {
        let key = request.key[3..5].parse::<u64>().unwrap();
        let row = request.prompt["question ".len()..].parse::<u64>().unwrap();
        let rate = Rng::new(&[seed]).below(4) * 8;
        for (kind, part, percent) in [(1, key, 25), (2, row, 12)] {
            let mut rng = Rng::new(&[seed, kind, part]);
            if rng.below(100) < percent {
                return Some(refusal(&mut rng));
            }
        }
        let mut rng = Rng::new(&[seed, 3, key, row, request.prompt_count]);
        match rng.below(100) {
            value if value < rate => Some(refusal(&mut rng)),
            value if value < rate + 5 => Some(throttled(1 + rng.below(3))),
            _ => None,
        }
    };
    Script::new().rule(reaction)
}

fn count(entries: &[&RequestLogEntry], status: &[u16]) -> u32 {
    let has_status =
        |entry: &&&RequestLogEntry| entry.status.is_some_and(|known| status.contains(&known));
    u32::try_from(entries.iter().filter(has_status).count()).unwrap()
}

/// Checks the invariants of a run.
fn check(seed: u64, keys: usize, result: &RunResult, entries: &[RequestLogEntry]) {
    // While the circuit breaker is open, failures do not count as attempts.
    let outage = result
        .events
        .iter()
        .any(|event| matches!(event, RunEvent::Waiting { subject, .. } if subject == "endpoint"));
    let mut by_row: BTreeMap<&str, Vec<&RequestLogEntry>> = BTreeMap::new();
    for entry in entries {
        by_row.entry(&entry.prompt).or_default().push(entry);
    }
    for (row, sent) in &by_row {
        let mut refused_keys = Vec::new();
        for entry in sent {
            assert!(
                !refused_keys.contains(&&entry.key),
                "seed {seed}: {row} was sent again with a refused key"
            );
            if matches!(entry.status, Some(401 | 403)) {
                refused_keys.push(&entry.key);
            }
        }
        // Attempts, rate-limit waits, and one rejection per key. A run that continues after an
        // error that seemed to affect all requests sends the row again, so a 404 counts like a
        // wait.
        let wait_count = count(sent, &[429, 404]);
        let max = MAX_ATTEMPTS + wait_count + u32::try_from(keys).unwrap();
        let all = u32::try_from(sent.len()).unwrap();
        assert!(
            outage || all <= max,
            "seed {seed}: {row} was sent {all} times, at most {max} expected"
        );
    }
    for (index, key) in result.keys.iter().enumerate() {
        let by_key = entries.iter().filter(|entry| entry.key == secret(index));
        let statuses: Vec<_> = by_key.map(|entry| entry.status).collect();
        let all_succeeded =
            !statuses.is_empty() && statuses.iter().all(|status| *status == Some(200));
        let disabled = result
            .disabled()
            .iter()
            .any(|(disabled, _)| *disabled == index);
        assert!(
            !all_succeeded || !disabled,
            "seed {seed}: key {index} is {} although all of its requests succeeded",
            key.state
        );
    }
    let remaining = result.rows(JobState::Pending).len();
    let finished = result.rows(JobState::Done).len() + result.rows(JobState::Failed).len();
    assert_eq!(remaining + finished, JOBS, "seed {seed}");
    assert_eq!(
        remaining == 0,
        result.end() == "done",
        "seed {seed}: the run ended with \"{}\" and {remaining} rows remaining",
        result.end()
    );
}

async fn run_seed(seed: u64) {
    let keys = usize::try_from(Rng::new(&[seed, 9]).below(4) + 1).unwrap();
    let mut fixture = Fixture::new(keys, JOBS, script(seed)).await;
    fixture.settings.max_attempts = MAX_ATTEMPTS;
    fixture.settings.concurrency = Concurrency::fixed(4);
    let first = fixture.run().await;
    first.check_accounting(&format!("seed {seed}"));
    check(seed, keys, &first, &first.log.entries);
    let before = first.log.entries.len();
    let second = fixture.run().await;
    second.check_accounting(&format!("seed {seed} again"));
    let entries = &second.log.entries[before..];
    check(seed, keys, &second, entries);
    for (index, _) in first
        .disabled()
        .iter()
        .filter(|(_, state)| *state == "dead")
    {
        let sent = entries.iter().filter(|entry| entry.key == secret(*index));
        assert_eq!(
            sent.count(),
            0,
            "seed {seed}: the disabled key {index} was used"
        );
    }
    let done = |result: &RunResult| result.rows(JobState::Done);
    assert!(
        done(&first)
            .iter()
            .all(|row| second.log.count_by_prompt(&prompt(*row)) > 0)
    );
    assert!(done(&first).iter().all(|row| done(&second).contains(row)));
}

#[test]
fn runs_terminate_and_respect_their_invariants_for_any_responses() {
    let threads = (0..THREADS).map(|part| {
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            for run in 0..RUNS_PER_THREAD {
                runtime.block_on(run_seed(part * RUNS_PER_THREAD + run));
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
