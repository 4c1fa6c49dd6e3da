//! Watching the queue from another terminal: what was seen becomes histories, and these a picture.
//!
//! Nothing in here reads the queue or the clock: what is seen and the present come as arguments.

mod draw;
mod look;
mod rows;
mod screen;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::progress::speed::Speed;

pub use draw::draw;
pub use screen::{Screen, Wish};

/// Looks that are kept for the lines over time: more than any terminal is wide.
const KEPT: usize = 500;

/// What was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The batches, the oldest first.
    pub batches: Vec<Batch>,
    /// The keys.
    pub keys: Vec<Key>,
    /// The latest failed attempts, the last one first.
    pub failures: Vec<Failure>,
    /// Late answers: when each came, and after how many milliseconds.
    pub answers: Vec<(Timestamp, u64)>,
}

/// How far a batch is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub total: u64,
    /// Rows with an answer.
    pub done: u64,
    /// Rows that failed for good.
    pub failed: u64,
    /// Rows claimed by a run.
    pub running: u64,
}

/// How a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its label.
    pub label: String,
    /// Its state's name.
    pub state: String,
    /// When it may be tried again.
    pub until: Option<Timestamp>,
    /// Why, as the provider said it.
    pub reason: String,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The batch's name.
    pub batch: String,
    /// The row's number, from 1; `None` for one that was withdrawn.
    pub row: Option<u64>,
    /// The rule that judged it.
    pub rule: String,
    /// What was said.
    pub message: String,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// What was seen so far.
#[derive(Clone, Debug)]
pub struct Watch {
    database: String,
    every: Duration,
    seen: Option<(Timestamp, Snapshot)>,
    trouble: Option<String>,
    speeds: BTreeMap<String, Speed>,
    /// Answers, in thousandths a second, and their mean latency in milliseconds, look by look.
    rates: VecDeque<u64>,
    latencies: VecDeque<u64>,
}

impl Watch {
    /// Begins to watch a database, which is named so, with a look every so often.
    #[must_use]
    pub fn new(database: String, every: Duration) -> Self {
        Self {
            database,
            every,
            seen: None,
            trouble: None,
            speeds: BTreeMap::new(),
            rates: VecDeque::new(),
            latencies: VecDeque::new(),
        }
    }

    /// Takes in what was seen.
    pub fn saw(&mut self, snapshot: Snapshot, now: Timestamp) {
        self.trouble = None;
        self.speeds
            .retain(|name, _| snapshot.batches.iter().any(|batch| batch.name == *name));
        for batch in &snapshot.batches {
            let speed = self.speeds.entry(batch.name.clone()).or_default();
            speed.note(now, batch.done + batch.failed);
        }
        if let Some((before, old)) = &self.seen {
            let since = now.since(*before).as_millis().max(1);
            let more = answers(&snapshot).saturating_sub(answers(old));
            let rate = u128::from(more) * 1_000_000 / since;
            keep(&mut self.rates, u64::try_from(rate).unwrap_or(u64::MAX));
            let newest = old.answers.iter().map(|(at, _)| *at).max();
            keep(&mut self.latencies, mean_after(newest, &snapshot.answers));
        }
        self.seen = Some((now, snapshot));
    }

    /// Takes in why nothing was seen; what was seen before is shown on.
    pub fn missed(&mut self, why: String) {
        self.trouble = Some(why);
    }
}

fn answers(snapshot: &Snapshot) -> u64 {
    snapshot.batches.iter().map(|batch| batch.done).sum()
}

/// The mean latency of the answers that came after a moment; 0 when none did.
fn mean_after(moment: Option<Timestamp>, answers: &[(Timestamp, u64)]) -> u64 {
    let new = answers
        .iter()
        .filter(|(at, _)| moment.is_none_or(|moment| *at > moment));
    let (count, sum) = new.fold((0_u64, 0_u64), |(count, sum), (_, latency)| {
        (count + 1, sum.saturating_add(*latency))
    });
    sum.checked_div(count).unwrap_or(0)
}

fn keep(history: &mut VecDeque<u64>, number: u64) {
    if history.len() == KEPT {
        history.pop_front();
    }
    history.push_back(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_466_460_000) + Duration::from_secs(seconds)
    }

    fn snapshot(done: u64, answers: &[(u64, u64)]) -> Snapshot {
        let batch = Batch {
            name: "jobs.csv".to_owned(),
            total: 100,
            done,
            ..Batch::default()
        };
        Snapshot {
            batches: vec![batch],
            answers: answers
                .iter()
                .map(|(second, ms)| (at(*second), *ms))
                .collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn what_is_new_since_the_last_look_makes_the_lines() {
        let mut watch = Watch::new("q.db".to_owned(), Duration::from_secs(1));
        watch.saw(snapshot(10, &[(0, 900)]), at(0));
        assert!(watch.rates.is_empty(), "one look tells no rate");
        watch.saw(snapshot(15, &[(1, 300), (1, 500), (0, 900)]), at(2));
        watch.missed("busy".to_owned());
        watch.saw(snapshot(15, &[(1, 300)]), at(4));
        // Made pending again: fewer than before are no negative rate.
        watch.saw(snapshot(3, &[]), at(5));
        assert_eq!(watch.rates, [2_500, 0, 0]);
        assert_eq!(watch.latencies, [400, 0, 0]);
        assert_eq!(watch.trouble, None);
    }

    #[test]
    fn a_night_of_looks_does_not_fill_the_memory() {
        let mut watch = Watch::new("q.db".to_owned(), Duration::from_secs(1));
        for second in 0..2_000 {
            watch.saw(snapshot(second, &[]), at(second));
        }
        assert_eq!((watch.rates.len(), watch.latencies.len()), (KEPT, KEPT));
    }
}
