//! Whatever an endpoint answers, a run ends, accounts for every request, and keeps the promises on
//! keys. Each run plays another script, drawn from a seed that a failure names.

use std::collections::BTreeMap;
use std::thread;

use promptmill::domain::job::JobState;
use promptmill::domain::window::Concurrency;
use promptmill::progress::event::RunEvent;
use promptmill::simulator::{Arrival, Entry, KeyRefusal, Reaction, Script};

use crate::bench::{Bench, Ran, error, prompt, secret, throttled, unknown_403};

const JOBS: usize = 12;
const MAX_ATTEMPTS: u32 = 3;
const THREADS: u64 = 4;
const RUNS_EACH: u64 = 60;

/// xorshift64*, so that a seed plays the same script for ever.
struct Dice(u64);

impl Dice {
    fn new(parts: &[u64]) -> Self {
        let mut dice = Self(0x9E37_79B9_7F4A_7C15);
        for part in parts {
            dice.0 ^= part.wrapping_add(1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            dice.roll(2);
            dice.roll(2);
        }
        dice
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

fn refusal(dice: &mut Dice) -> Reaction {
    match dice.roll(16) {
        0 => Reaction::Refuse(KeyRefusal::Invalid),
        1 => Reaction::Refuse(KeyRefusal::Disabled),
        2 => Reaction::Refuse(KeyRefusal::NoQuota),
        3 => Reaction::Refuse(KeyRefusal::Country),
        4 => Reaction::Refuse(KeyRefusal::Forbidden),
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
            ["ox", "cat", "emu"][usize::try_from(dice.roll(3)).unwrap()],
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

/// Draws a script: some keys and some rows are bad always, and some requests by chance.
fn script(seed: u64) -> Script {
    let reaction = move |arrival: &Arrival<'_>| {
        let key = arrival.key[3..5].parse::<u64>().unwrap();
        let row = arrival.prompt["question ".len()..].parse::<u64>().unwrap();
        let rate = Dice::new(&[seed]).roll(4) * 8;
        for (kind, part, percent) in [(1, key, 25), (2, row, 12)] {
            let mut dice = Dice::new(&[seed, kind, part]);
            if dice.roll(100) < percent {
                return Some(refusal(&mut dice));
            }
        }
        let mut dice = Dice::new(&[seed, 3, key, row, arrival.turn]);
        match dice.roll(100) {
            roll if roll < rate => Some(refusal(&mut dice)),
            roll if roll < rate + 5 => Some(throttled(1 + dice.roll(3))),
            _ => None,
        }
    };
    Script::new().rule(reaction)
}

fn count(entries: &[&Entry], status: &[u16]) -> u32 {
    let of = |entry: &&&Entry| entry.status.is_some_and(|known| status.contains(&known));
    u32::try_from(entries.iter().filter(of).count()).unwrap()
}

/// What holds of one run, whatever was answered.
fn check(seed: u64, keys: usize, ran: &Ran, entries: &[Entry]) {
    // While the endpoint counts as down, failures use up no attempt.
    let outage = ran
        .events
        .iter()
        .any(|event| matches!(event, RunEvent::Waiting { who, .. } if who == "the endpoint"));
    let mut of_row: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        of_row.entry(&entry.prompt).or_default().push(entry);
    }
    for (row, asked) in &of_row {
        let mut refused_to = Vec::new();
        for entry in asked {
            assert!(
                !refused_to.contains(&&entry.key),
                "seed {seed}: {row} asked again"
            );
            if matches!(entry.status, Some(401 | 403)) {
                refused_to.push(&entry.key);
            }
        }
        // Attempts, waits for limits, and one refusal for each key. A run that goes on although a
        // refusal seemed to be for everybody asks that row again.
        let waits = count(asked, &[429, 404]);
        let most = MAX_ATTEMPTS + waits + u32::try_from(keys).unwrap();
        let all = u32::try_from(asked.len()).unwrap();
        assert!(
            outage || all <= most,
            "seed {seed}: {row} asked {all} times, not {most}"
        );
    }
    for (place, key) in ran.keys.iter().enumerate() {
        let of_key = entries.iter().filter(|entry| entry.key == secret(place));
        let statuses: Vec<_> = of_key.map(|entry| entry.status).collect();
        let well = !statuses.is_empty() && statuses.iter().all(|status| *status == Some(200));
        let out = ran.out().iter().any(|(out, _)| *out == place);
        assert!(!well || !out, "seed {seed}: key {place} is {}", key.state);
    }
    let left = ran.rows(JobState::Pending).len();
    let settled = ran.rows(JobState::Done).len() + ran.rows(JobState::Failed).len();
    assert_eq!(left + settled, JOBS, "seed {seed}");
    assert_eq!(
        left == 0,
        ran.end() == "done",
        "seed {seed}: {} with {left} left",
        ran.end()
    );
}

async fn play(seed: u64) {
    let keys = usize::try_from(Dice::new(&[seed, 9]).roll(4) + 1).unwrap();
    let mut bench = Bench::new(keys, JOBS, script(seed)).await;
    bench.settings.max_attempts = MAX_ATTEMPTS;
    bench.settings.concurrency = Concurrency::fixed(4);
    let first = bench.run().await;
    first.account(&format!("seed {seed}"));
    check(seed, keys, &first, &first.ledger.entries);
    let before = first.ledger.entries.len();
    let second = bench.run().await;
    second.account(&format!("seed {seed} again"));
    let entries = &second.ledger.entries[before..];
    check(seed, keys, &second, entries);
    for (place, _) in first.out().iter().filter(|(_, state)| *state == "dead") {
        let asked = entries.iter().filter(|entry| entry.key == secret(*place));
        assert_eq!(
            asked.count(),
            0,
            "seed {seed}: the dead key {place} was asked"
        );
    }
    let done = |ran: &Ran| ran.rows(JobState::Done);
    assert!(
        done(&first)
            .iter()
            .all(|row| second.ledger.of_prompt(&prompt(*row)) > 0)
    );
    assert!(done(&first).iter().all(|row| done(&second).contains(row)));
}

#[test]
fn whatever_is_answered_a_run_ends_and_keeps_its_promises() {
    let threads = (0..THREADS).map(|part| {
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            for run in 0..RUNS_EACH {
                runtime.block_on(play(part * RUNS_EACH + run));
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
