//! A lane: the state of one batch, and what happens to its jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::attribution::RejectionTracker;
use crate::domain::job::{AttemptRecord, Completion, JobClaim, JobId};
use crate::domain::keyring::{KeyIndex, KeyRing};
use crate::domain::price::{Cost, Price, Prices};
use crate::domain::retry::Transition;
use crate::domain::run_stats::Usage;
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;

use super::event::{Effect, LaneEnd, LaneId, LaneSetup};
use super::keys::RingIndex;
use super::rate_limit::Permit;
use super::shared::{InFlight, Shared};
use super::stop::Ending;
use super::turns::Share;

/// How long a key is disabled before a single request tries it again.
pub(super) const DEFAULT_PENALTY: Duration = Duration::from_hours(1);

/// What is known about the queue of a lane.
#[derive(Debug)]
pub(super) struct LaneQueue {
    /// When the next pending job can be claimed, as last read; `None` if there is none.
    pub(super) next_due: Option<Timestamp>,
    /// Whether `next_due` must be read again.
    pub(super) stale: bool,
    /// Whether jobs were in flight at several crashes.
    pub(super) has_suspects: bool,
    /// The number of jobs that can be claimed now or later, if it was counted.
    pub(super) claimable: Option<u64>,
    /// The permits for the jobs of the current claim.
    pub(super) permits: Vec<Permit>,
    /// Requests in flight.
    pub(super) in_flight: usize,
}

/// The state of a lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) model: String,
    pub(super) ring: RingIndex,
    pub(super) share: Share,
    pub(super) queue: LaneQueue,
    pub(super) rejections: RejectionTracker,
    /// Jobs that no key can be used for or that are on hold, with the last error if its cause is
    /// unknown.
    pub(super) stuck: BTreeMap<JobId, Option<AttemptRecord>>,
    costs: CostTracker,
    pub(super) usage: Usage,
    pub(super) ending: Ending,
    /// When to run again, if known.
    pub(super) resume_at: Option<Timestamp>,
}

impl Lane {
    pub(super) fn new(id: LaneId, setup: LaneSetup, shared: &mut Shared, now: Timestamp) -> Self {
        let ring = shared.keys.open(&setup.model, setup.keys, now);
        Self {
            id,
            ring,
            share: Share::new(setup.deadline),
            queue: LaneQueue {
                next_due: Some(Timestamp::default()),
                stale: true,
                has_suspects: setup.has_suspects,
                claimable: None,
                permits: Vec::new(),
                in_flight: 0,
            },
            rejections: RejectionTracker::default(),
            stuck: BTreeMap::new(),
            costs: CostTracker::new(&shared.prices, &setup.model),
            model: setup.model,
            usage: Usage::default(),
            ending: Ending::Open,
            resume_at: None,
        }
    }

    /// Returns the keys that serve the lane.
    pub(super) fn keys<'s>(&self, shared: &'s Shared) -> &'s KeyRing {
        shared.keys.ring(self.ring)
    }

    /// Returns whether the lane continues.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.ending, Ending::Open)
    }

    /// Returns whether a job can be claimed now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.is_open() && self.queue.next_due.is_some_and(|due| due <= now)
    }

    /// Counts usage, for the lane and for the run.
    pub(super) fn count(&mut self, shared: &mut Shared, add: impl Fn(&mut Usage)) {
        add(&mut self.usage);
        add(&mut shared.usage);
    }

    /// Handles a completion: updates the state of the endpoint, the key and the limits, and returns
    /// the cost.
    pub(super) fn record_success(
        &mut self,
        shared: &mut Shared,
        request: &InFlight,
        (completion, latency): (&Completion, Duration),
        now: Timestamp,
    ) -> Option<Cost> {
        let key = request.permit.key;
        shared.record_reachable();
        shared.health.budget.record_success();
        shared.health.latencies.record(latency);
        let in_flight = shared.requests.len() + 1;
        let window = &mut shared.health.window;
        window.record_completion(request.sent, latency, in_flight, now);
        self.rejections.record_success();
        if shared.keys.record_success(self.ring, key, now) {
            shared.keys.mark_changed(self.ring);
            let key = self.keys(shared).key(key).label.clone();
            shared.report(RunEvent::KeyEnabled { key });
        }
        if matches!(self.ending, Ending::Tentative(_)) {
            self.ending = Ending::Open;
        }
        let has_usage = completion.prompt_tokens.is_some();
        let tokens =
            [completion.prompt_tokens, completion.completion_tokens].map(Option::unwrap_or_default);
        self.count(shared, |usage| {
            usage.prompt_tokens += tokens[0];
            usage.completion_tokens += tokens[1];
        });
        if has_usage {
            let used = tokens.iter().sum();
            shared.keys.limiter.settle_tokens(request.permit, used, now);
        }
        let price = self.costs.price(&shared.prices, &completion.model);
        let price = price.filter(|_| has_usage);
        let cost = price.map(|price| price.cost(tokens[0], tokens[1]));
        self.count(shared, |usage| match cost {
            Some(cost) => usage.cost += cost,
            None => usage.unpriced += 1,
        });
        cost
    }

    /// Completes a job.
    pub(super) fn complete(
        &mut self,
        shared: &mut Shared,
        (claim, key): (JobClaim, KeyIndex),
        cost: Option<Cost>,
    ) {
        self.count(shared, |usage| {
            usage.finished += 1;
            usage.completions += 1;
        });
        self.queue.stale = true;
        shared.push(Effect::Complete { claim, key, cost });
    }

    /// Records a strike against the keys that were rejected for a job that another key completed.
    pub(super) fn strike_rejected_keys(&mut self, shared: &mut Shared, job: JobId, now: Timestamp) {
        for rejected_key in self.rejections.settle(job) {
            let keys = shared.keys.ring_mut(self.ring);
            if keys.strike(rejected_key, job, now + DEFAULT_PENALTY) {
                self.report_disabled(shared, rejected_key);
            }
        }
    }

    pub(super) fn report_disabled(&self, shared: &mut Shared, key: KeyIndex) {
        shared.keys.mark_changed(self.ring);
        let key = self.keys(shared).key(key);
        let event = RunEvent::KeyDisabled {
            key: key.label.clone(),
            reason: key.reason.clone(),
            until: key.state.until(),
        };
        shared.report(event);
    }

    /// Fails a job permanently. The job caused its errors, so the probation of its keys ends.
    pub(super) fn fail(
        &mut self,
        shared: &mut Shared,
        (claim, key): (JobClaim, Option<KeyIndex>),
        record: AttemptRecord,
    ) {
        for rejected_key in self.rejections.settle(claim.job) {
            shared.keys.ring_mut(self.ring).end_probation(rejected_key);
        }
        self.count(shared, |usage| usage.finished += 1);
        let event = RunEvent::JobFailed {
            job: claim.job,
            scope: record.scope,
            rule: record.rule.clone(),
        };
        let attempt = (Some(record), Some(event));
        self.settle(shared, (claim, key), Transition::Fail, attempt);
    }

    /// Requeues a claimed job whose request was not sent.
    pub(super) fn requeue(&mut self, shared: &mut Shared, claim: JobClaim, not_before: Timestamp) {
        let transition = Transition::Requeue {
            not_before,
            counted: false,
        };
        self.settle(shared, (claim, None), transition, (None, None));
    }

    /// Requeues a job whose request was abandoned in flight, with an unknown result.
    pub(super) fn requeue_abandoned(
        &mut self,
        shared: &mut Shared,
        claim: JobClaim,
        key: KeyIndex,
    ) {
        self.count(shared, |usage| usage.unknown += 1);
        let record = AttemptRecord {
            unknown: true,
            rule: "stopped-in-flight".to_owned(),
            message: "the run was stopped while this request was in flight".to_owned(),
            ..AttemptRecord::default()
        };
        let transition = Transition::Requeue {
            not_before: Timestamp::default(),
            counted: false,
        };
        self.settle(shared, (claim, Some(key)), transition, (Some(record), None));
    }

    /// Requeues or fails a job. `key` is the key of its request, if one was sent.
    pub(super) fn settle(
        &mut self,
        shared: &mut Shared,
        (claim, key): (JobClaim, Option<KeyIndex>),
        transition: Transition,
        (attempt, event): (Option<AttemptRecord>, Option<RunEvent>),
    ) {
        self.queue.stale = true;
        shared.push(Effect::Settle {
            claim,
            key,
            transition,
            attempt,
            event,
        });
    }

    /// Ends the lane.
    pub(super) fn end(&mut self, shared: &mut Shared) {
        let reason = match &self.ending {
            Ending::Open => None,
            Ending::Tentative(reason) | Ending::Firm(reason) => Some(reason.clone()),
        };
        let (model, keys) = shared.keys.take(self.ring);
        shared.push(Effect::SaveKeys { model, keys });
        let end = LaneEnd {
            reason,
            resume_at: self.resume_at,
            usage: self.usage,
        };
        shared.push(Effect::EndLane(self.id, end));
    }
}

/// Computes the cost of completions. Prices are looked up once per model.
#[derive(Debug)]
struct CostTracker {
    /// The price of the requested model.
    requested: Option<Price>,
    /// The model that responded last and its price, used if the requested model has no price.
    responding: Option<(String, Option<Price>)>,
}

impl CostTracker {
    fn new(prices: &Prices, model: &str) -> Self {
        Self {
            requested: prices.get(model),
            responding: None,
        }
    }

    fn price(&mut self, prices: &Prices, responding_model: &str) -> Option<Price> {
        if self.requested.is_some() {
            return self.requested;
        }
        match &self.responding {
            Some((model, price)) if model == responding_model => *price,
            _ => {
                let price = prices.get(responding_model);
                self.responding = Some((responding_model.to_owned(), price));
                price
            }
        }
    }
}
