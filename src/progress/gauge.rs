//! Where a run stands: what the events of a run add up to, and what its keys wait for.
//!
//! Plain state with the present as an argument; how it looks is in `frame`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::event::RunEvent;
use super::speed::Speed;
use super::spending::Spending;
use crate::domain::job::JobId;
use crate::domain::key::titled;
use crate::domain::time::Timestamp;

/// What a run has done so far, and what holds it up.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    /// The batch's name.
    pub(super) batch: String,
    /// Rows of the batch.
    pub(super) total: u64,
    /// Rows with an answer, or failed for good; those of earlier runs among them.
    pub(super) settled: u64,
    /// Rows that failed for good in this run.
    pub(super) failed: u64,
    /// Requests in flight.
    pub(super) in_flight: usize,
    /// Tokens of this run's requests.
    pub(super) prompt_tokens: u64,
    /// Tokens of this run's answers.
    pub(super) completion_tokens: u64,
    /// What this run's answers cost.
    pub(super) spending: Spending,
    /// Whether the run is being stopped.
    pub(super) draining: bool,
    /// Rows that were asked in vain and will be asked again.
    retrying: HashSet<JobId>,
    rests: BTreeMap<String, Rest>,
    speed: Speed,
}

/// Something that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// When it ends.
    pub(super) until: Timestamp,
    /// Why, as a fragment: "rate limit".
    pub(super) why: String,
}

impl Gauge {
    /// Takes an event in.
    pub(super) fn on(&mut self, event: &RunEvent, now: Timestamp) {
        match event {
            RunEvent::Started {
                batch,
                total,
                settled,
            } => self.start(batch, (*total, *settled), now),
            RunEvent::InFlight { requests } => self.in_flight = *requests,
            RunEvent::Answered {
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
            RunEvent::Waiting { who, until, why } => {
                let (until, why) = (*until, why.clone());
                self.rests.insert(who.clone(), Rest { until, why });
            }
            RunEvent::GoesOn { who } => {
                self.rests.remove(who);
            }
            RunEvent::Draining { in_flight } => {
                self.draining = true;
                self.in_flight = *in_flight;
            }
            RunEvent::KeyBack { key } => {
                self.rests.remove(&titled(key));
            }
            RunEvent::Rescued { .. } | RunEvent::KeySetAside { .. } | RunEvent::Trouble { .. } => {}
        }
    }

    /// A batch begins. What earlier runs did is no speed of this one.
    fn start(&mut self, batch: &str, (total, settled): (u64, u64), now: Timestamp) {
        *self = Self {
            batch: batch.to_owned(),
            total,
            settled,
            ..Self::default()
        };
        self.speed.note(now, settled);
    }

    fn settle(&mut self, job: JobId, now: Timestamp) {
        self.settled += 1;
        // Nearly always empty: nothing is hashed then.
        if !self.retrying.is_empty() {
            self.retrying.remove(&job);
        }
        self.speed.note(now, self.settled);
    }

    /// Forgets what is over, and takes the time in.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.rests.retain(|_, rest| rest.until > now);
        self.speed.note(now, self.settled);
    }

    /// Returns how many rows were asked in vain and will be asked again.
    pub(super) fn retrying(&self) -> u64 {
        self.retrying.len() as u64
    }

    /// Returns who waits for what, the soonest to end first.
    pub(super) fn rests(&self) -> Vec<(&str, &Rest)> {
        let mut rests: Vec<_> = self
            .rests
            .iter()
            .map(|(who, rest)| (&**who, rest))
            .collect();
        rests.sort_by_key(|(_, rest)| rest.until);
        rests
    }

    /// Returns what the run has cost and about what it will have cost at its end, as far as prices
    /// are known; `None` before the first answer.
    pub(super) fn spent(&self) -> Option<String> {
        self.spending.text(self.total.saturating_sub(self.settled))
    }

    /// Tells whether nothing moves: all waits for a moment.
    pub(super) fn stands_still(&self) -> bool {
        self.in_flight == 0 && !self.rests.is_empty()
    }

    /// Returns the rows settled a second, over the last minute; `None` where that is not known.
    pub(super) fn per_second(&self, now: Timestamp) -> Option<f64> {
        self.speed
            .per_second(now, self.settled)
            .filter(|_| !self.stands_still())
    }

    /// Returns the time for the rest at the present speed, once it means something.
    pub(super) fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.total.saturating_sub(self.settled);
        self.speed
            .time_for(left, now, self.settled)
            .filter(|_| !self.stands_still())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::Cost;
    use crate::domain::verdict::Scope;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    fn gauge(total: u64, settled: u64) -> Gauge {
        let mut gauge = Gauge::default();
        let batch = "jobs".to_owned();
        let event = RunEvent::Started {
            batch,
            total,
            settled,
        };
        gauge.on(&event, at(0));
        gauge
    }

    fn answered(job: i64) -> RunEvent {
        RunEvent::Answered {
            job: JobId(job),
            latency: Duration::from_millis(5),
            prompt_tokens: 10,
            completion_tokens: 3,
            cost: Cost::from_dollars(0.25),
        }
    }

    fn waiting(who: &str, until: u64) -> RunEvent {
        RunEvent::Waiting {
            who: who.to_owned(),
            until: at(until),
            why: "rate limit".to_owned(),
        }
    }

    #[test]
    fn a_row_is_retried_until_it_has_its_answer_or_fails() {
        let mut gauge = gauge(9, 2);
        for job in [7, 8, 7] {
            let (scope, rule) = (Scope::Transient, "server-error");
            let job = JobId(job);
            gauge.on(&RunEvent::Requeued { job, scope, rule }, at(1));
        }
        assert_eq!(gauge.retrying(), 2);
        gauge.on(&answered(7), at(2));
        let (job, scope, rule) = (JobId(8), Scope::Request, "too-long".to_owned());
        gauge.on(&RunEvent::JobFailed { job, scope, rule }, at(2));
        assert_eq!((gauge.retrying(), gauge.settled, gauge.failed), (0, 4, 1));
        assert_eq!((gauge.prompt_tokens, gauge.completion_tokens), (10, 3));
        assert_eq!(gauge.spent().as_deref(), Some("$0.25"));
    }

    #[test]
    fn what_is_waited_for_is_the_last_that_was_said_and_ends_with_its_moment() {
        let mut gauge = gauge(9, 0);
        gauge.on(&waiting("key a", 60), at(1));
        gauge.on(&waiting("key b", 5), at(1));
        gauge.on(&waiting("key b", 7), at(2));
        let rests = |gauge: &Gauge| {
            let rests = gauge.rests().into_iter();
            let pairs = rests.map(|(who, rest)| (who.to_owned(), rest.until));
            pairs.collect::<Vec<_>>()
        };
        let both = [("key b".to_owned(), at(7)), ("key a".to_owned(), at(60))];
        assert_eq!(rests(&gauge), both);
        gauge.tick(at(7));
        assert_eq!(rests(&gauge), both[1..]);
        let who = "key a".to_owned();
        gauge.on(&RunEvent::GoesOn { who }, at(8));
        assert!(gauge.rests().is_empty());
    }

    #[test]
    fn a_run_that_stands_still_tells_no_speed_and_no_time_left() {
        let mut gauge = gauge(100, 0);
        for job in 0..20 {
            gauge.on(&answered(job), at(4));
        }
        assert!(gauge.per_second(at(4)).is_some() && gauge.time_left(at(4)).is_some());
        gauge.on(&waiting("key a", 60), at(4));
        assert!(gauge.per_second(at(4)).is_none() && gauge.time_left(at(4)).is_none());
        gauge.on(&RunEvent::InFlight { requests: 1 }, at(5));
        assert!(gauge.per_second(at(5)).is_some());
    }

    #[test]
    fn what_earlier_runs_did_is_no_speed_of_this_one() {
        let gauge = gauge(2_000_000_000, 1_000_000_000);
        assert!(gauge.per_second(at(10)).is_some_and(|speed| speed < 1.0));
    }
}
