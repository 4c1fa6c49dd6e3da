//! Progress of a run, accumulated from its events. `frame` renders it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::event::RunEvent;
use super::safe::Safe;
use super::spending::Spending;
use super::throughput::Throughput;
use crate::domain::job::JobId;
use crate::domain::key::display_name;
use crate::domain::time::Timestamp;

/// Counts of a run so far, and its current waits.
#[derive(Clone, Debug, Default)]
pub(super) struct RunState {
    /// The names of the batches.
    batches: Vec<String>,
    /// Rows of all batches.
    pub(super) total: u64,
    /// Completed and failed rows, including those of earlier runs.
    pub(super) settled: u64,
    /// Rows that failed permanently in this run.
    pub(super) failed: u64,
    /// Requests in flight.
    pub(super) in_flight: usize,
    /// Prompt tokens of this run.
    pub(super) prompt_tokens: u64,
    /// Completion tokens of this run.
    pub(super) completion_tokens: u64,
    /// Cost of this run's responses.
    pub(super) spending: Spending,
    /// Whether the run is being stopped.
    pub(super) draining: bool,
    /// Jobs with a failed attempt that will be retried.
    retrying: HashSet<JobId>,
    waits: BTreeMap<String, Wait>,
    throughput: Throughput,
}

/// A wait of a key or the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// When it ends.
    pub(super) until: Timestamp,
    /// The reason, as a fragment: "rate limit".
    pub(super) reason: String,
}

impl RunState {
    /// Applies an event.
    pub(super) fn on(&mut self, event: &RunEvent, now: Timestamp) {
        match event {
            RunEvent::Started {
                batch,
                total,
                settled,
            } => self.start(batch, (*total, *settled), now),
            RunEvent::InFlight { requests } => self.in_flight = *requests,
            RunEvent::Completed {
                job,
                prompt_tokens,
                completion_tokens,
                cost,
                ..
            } => {
                self.prompt_tokens += prompt_tokens;
                self.completion_tokens += completion_tokens;
                self.spending.add(*cost);
                self.settle(*job, now);
            }
            RunEvent::Requeued { job, .. } => {
                self.retrying.insert(*job);
            }
            RunEvent::JobFailed { job, .. } => {
                self.failed += 1;
                self.settle(*job, now);
            }
            RunEvent::Waiting {
                subject,
                until,
                reason,
            } => {
                let (until, reason) = (*until, reason.clone());
                self.waits.insert(subject.clone(), Wait { until, reason });
            }
            RunEvent::Resumed { subject } => {
                self.waits.remove(subject);
            }
            RunEvent::Draining { in_flight } => {
                self.draining = true;
                self.in_flight = *in_flight;
            }
            RunEvent::KeyEnabled { key } => {
                self.waits.remove(&display_name(key));
            }
            RunEvent::Recovered { .. }
            | RunEvent::KeyDisabled { .. }
            | RunEvent::EndpointFailing { .. } => {}
        }
    }

    /// Adds a batch. Rows of earlier runs do not count toward the throughput.
    fn start(&mut self, batch: &str, (total, settled): (u64, u64), now: Timestamp) {
        self.batches.push(batch.to_owned());
        self.total += total;
        self.settled += settled;
        self.throughput.raise(settled);
        self.throughput.record(now, self.settled);
    }

    /// Returns the batch's name, or the number of batches.
    pub(super) fn label(&self) -> String {
        match &self.batches[..] {
            [] => String::new(),
            [name] => Safe(name).to_string(),
            names => format!("{} batches", names.len()),
        }
    }

    fn settle(&mut self, job: JobId, now: Timestamp) {
        self.settled += 1;
        // Usually empty: avoids hashing on the hot path.
        if !self.retrying.is_empty() {
            self.retrying.remove(&job);
        }
        self.throughput.record(now, self.settled);
    }

    /// Removes expired waits and updates the throughput.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.waits.retain(|_, wait| wait.until > now);
        self.throughput.record(now, self.settled);
    }

    /// Returns the number of jobs with a failed attempt that will be retried.
    pub(super) fn retrying(&self) -> u64 {
        self.retrying.len() as u64
    }

    /// Returns the current waits, ordered by their end.
    pub(super) fn waits(&self) -> Vec<(&str, &Wait)> {
        let waits = self.waits.iter();
        let mut waits: Vec<_> = waits.map(|(subject, wait)| (&**subject, wait)).collect();
        waits.sort_by_key(|(_, wait)| wait.until);
        waits
    }

    /// Returns the cost so far and an estimate of the total; `None` before the first response.
    pub(super) fn cost(&self) -> Option<String> {
        self.spending.text(self.total.saturating_sub(self.settled))
    }

    /// Returns whether the run is only waiting, with no requests in flight.
    pub(super) fn is_stalled(&self) -> bool {
        self.in_flight == 0 && !self.waits.is_empty()
    }

    /// Returns the rows settled per second over the last minute; `None` if unknown.
    pub(super) fn per_second(&self, now: Timestamp) -> Option<f64> {
        self.throughput
            .per_second(now, self.settled)
            .filter(|_| !self.is_stalled())
    }

    /// Estimates the remaining time; `None` until there is enough data.
    pub(super) fn time_remaining(&self, now: Timestamp) -> Option<Duration> {
        let remaining = self.total.saturating_sub(self.settled);
        self.throughput
            .time_for(remaining, now, self.settled)
            .filter(|_| !self.is_stalled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::Cost;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    fn started(total: u64, settled: u64) -> RunState {
        let mut state = RunState::default();
        state.on(&RunEvent::started("jobs", total, settled), at(0));
        state
    }

    fn completed(job: i64) -> RunEvent {
        RunEvent::completed(job, (10, 3), Cost::from_dollars(0.25))
    }

    fn waiting(subject: &str, until: u64) -> RunEvent {
        RunEvent::waiting(subject, "rate limit", at(until))
    }

    #[test]
    fn a_row_counts_as_retrying_until_it_completes_or_fails() {
        let mut state = started(9, 2);
        for job in [7, 8, 7] {
            state.on(&RunEvent::requeued(job), at(1));
        }
        assert_eq!(state.retrying(), 2);
        state.on(&completed(7), at(2));
        state.on(&RunEvent::failed(8), at(2));
        assert_eq!((state.retrying(), state.settled, state.failed), (0, 4, 1));
        assert_eq!((state.prompt_tokens, state.completion_tokens), (10, 3));
        assert_eq!(state.cost().as_deref(), Some("$0.25"));
    }

    #[test]
    fn several_batches_add_up() {
        let mut state = started(100, 40);
        assert_eq!(state.label(), "jobs");
        for job in 0..20 {
            state.on(&completed(job), at(4));
        }
        state.on(&RunEvent::started("more", 1_000, 500), at(10));
        assert_eq!((state.total, state.settled), (1_100, 560));
        assert_eq!(state.label(), "2 batches");
        assert_eq!(state.per_second(at(10)), Some(2.0));
    }

    #[test]
    fn the_latest_wait_applies_and_expires() {
        let mut state = started(9, 0);
        state.on(&waiting("key a", 60), at(1));
        state.on(&waiting("key b", 5), at(1));
        state.on(&waiting("key b", 7), at(2));
        let waits = |state: &RunState| {
            let waits = state.waits().into_iter();
            let pairs = waits.map(|(subject, wait)| (subject.to_owned(), wait.until));
            pairs.collect::<Vec<_>>()
        };
        let both = [("key b".to_owned(), at(7)), ("key a".to_owned(), at(60))];
        assert_eq!(waits(&state), both);
        state.tick(at(7));
        assert_eq!(waits(&state), both[1..]);
        let subject = "key a".to_owned();
        state.on(&RunEvent::Resumed { subject }, at(8));
        assert!(state.waits().is_empty());
    }

    #[test]
    fn a_stalled_run_has_no_throughput_and_no_eta() {
        let mut state = started(100, 0);
        for job in 0..20 {
            state.on(&completed(job), at(4));
        }
        assert!(state.per_second(at(4)).is_some() && state.time_remaining(at(4)).is_some());
        state.on(&waiting("key a", 60), at(4));
        assert!(state.per_second(at(4)).is_none() && state.time_remaining(at(4)).is_none());
        state.on(&RunEvent::InFlight { requests: 1 }, at(5));
        assert!(state.per_second(at(5)).is_some());
    }

    #[test]
    fn rows_of_earlier_runs_do_not_count_toward_throughput() {
        let state = started(2_000_000_000, 1_000_000_000);
        assert!(state.per_second(at(10)).is_some_and(|rate| rate < 1.0));
    }
}
