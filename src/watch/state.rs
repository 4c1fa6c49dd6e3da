//! The snapshots of the queue that are displayed, and their history.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::key::KeyStatus;
use crate::domain::time::Timestamp;
use crate::progress::throughput::Throughput;

/// Maximum length of a history: more samples than any terminal has columns.
const MAX_HISTORY: usize = 500;

/// State of the queue at one point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The batches, oldest first.
    pub batches: Vec<WatchedBatch>,
    /// The API keys.
    pub keys: Vec<KeyStatus>,
    /// Recent failed attempts, newest first.
    pub failures: Vec<WatchedFailure>,
    /// Recent responses: time of arrival, and latency in milliseconds.
    pub responses: Vec<(Timestamp, u64)>,
}

/// Progress of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedBatch {
    /// The batch's name.
    pub name: String,
    /// Rows of the batch.
    pub total: u64,
    /// Completed rows.
    pub done: u64,
    /// Rows that failed permanently.
    pub failed: u64,
    /// Rows in flight.
    pub running: u64,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFailure {
    /// The batch's name.
    pub batch: String,
    /// Row number, starting at 1; `None` if the row was removed from the input.
    pub row: Option<u64>,
    /// The rule that matched.
    pub rule: String,
    /// The provider's message.
    pub message: String,
    /// When the attempt ended.
    pub ended_at: Timestamp,
}

/// The latest snapshot, and histories of throughput and latency.
#[derive(Clone, Debug, Default)]
pub struct WatchState {
    pub(super) database: String,
    pub(super) interval: Duration,
    pub(super) latest: Option<(Timestamp, Snapshot)>,
    pub(super) error: Option<String>,
    pub(super) throughputs: BTreeMap<String, Throughput>,
    /// Responses per 1,000 seconds, for each snapshot.
    pub(super) rates: VecDeque<u64>,
    /// Mean latency in milliseconds, for each snapshot.
    pub(super) latencies: VecDeque<u64>,
}

impl WatchState {
    /// Creates an empty state; `database` is displayed, `interval` is the time between snapshots.
    #[must_use]
    pub fn new(database: String, interval: Duration) -> Self {
        Self {
            database,
            interval,
            ..Self::default()
        }
    }

    /// Adds a snapshot.
    pub fn update(&mut self, snapshot: Snapshot, now: Timestamp) {
        self.error = None;
        self.throughputs
            .retain(|name, _| snapshot.batches.iter().any(|batch| batch.name == *name));
        for batch in &snapshot.batches {
            let throughput = self.throughputs.entry(batch.name.clone()).or_default();
            throughput.record(now, batch.done + batch.failed);
        }
        if let Some((before, old)) = &self.latest {
            let since = now.since(*before).as_millis().max(1);
            let new = done(&snapshot).saturating_sub(done(old));
            let rate = u128::from(new) * 1_000_000 / since;
            push_bounded(&mut self.rates, u64::try_from(rate).unwrap_or(u64::MAX));
            let newest = old.responses.iter().map(|(at, _)| *at).max();
            let latency = mean_latency_after(newest, &snapshot.responses);
            push_bounded(&mut self.latencies, latency);
        }
        self.latest = Some((now, snapshot));
    }

    /// Records a failed update; the previous snapshot stays visible.
    pub fn update_failed(&mut self, error: String) {
        self.error = Some(error);
    }
}

fn done(snapshot: &Snapshot) -> u64 {
    snapshot.batches.iter().map(|batch| batch.done).sum()
}

/// Returns the mean latency of the responses after a point in time; 0 if there are none.
fn mean_latency_after(start: Option<Timestamp>, responses: &[(Timestamp, u64)]) -> u64 {
    let new = responses
        .iter()
        .filter(|(at, _)| start.is_none_or(|start| *at > start));
    let (count, sum) = new.fold((0_u64, 0_u64), |(count, sum), (_, latency)| {
        (count + 1, sum.saturating_add(*latency))
    });
    sum.checked_div(count).unwrap_or(0)
}

fn push_bounded(history: &mut VecDeque<u64>, number: u64) {
    if history.len() == MAX_HISTORY {
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

    fn snapshot(done: u64, responses: &[(u64, u64)]) -> Snapshot {
        let batch = WatchedBatch {
            name: "jobs.csv".to_owned(),
            total: 100,
            done,
            ..WatchedBatch::default()
        };
        let responses = responses.iter().map(|(second, ms)| (at(*second), *ms));
        Snapshot {
            batches: vec![batch],
            responses: responses.collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn histories_are_computed_from_consecutive_snapshots() {
        let mut watch = WatchState::new("q.db".to_owned(), Duration::from_secs(1));
        watch.update(snapshot(10, &[(0, 900)]), at(0));
        assert!(watch.rates.is_empty(), "a rate requires two snapshots");
        watch.update(snapshot(15, &[(1, 300), (1, 500), (0, 900)]), at(2));
        watch.update_failed("busy".to_owned());
        watch.update(snapshot(15, &[(1, 300)]), at(4));
        // Rows were reset to pending: the rate must not be negative.
        watch.update(snapshot(3, &[]), at(5));
        assert_eq!(watch.rates, [2_500, 0, 0]);
        assert_eq!(watch.latencies, [400, 0, 0]);
        assert_eq!(watch.error, None);
    }

    #[test]
    fn histories_are_bounded() {
        let mut watch = WatchState::new("q.db".to_owned(), Duration::from_secs(1));
        for second in 0..2_000 {
            watch.update(snapshot(second, &[]), at(second));
        }
        assert_eq!(watch.rates.len(), MAX_HISTORY);
        assert_eq!(watch.latencies.len(), MAX_HISTORY);
    }
}
