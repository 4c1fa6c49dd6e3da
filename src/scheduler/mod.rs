//! The scheduler decides what an engine does: which jobs are claimed and sent with which keys, what
//! happens after a failure, how long to wait, and how a run ends.
//!
//! It is pure: it receives an event and the time, and returns effects. It has no clock, does no I/O,
//! and its random numbers follow from a seed. tests/scheduler.rs simulates hours of it in milliseconds.

mod admission;
mod backoff;
mod bounds;
mod ending;
mod event;
mod failed_attempt;
mod health;
mod keys;
mod lane;
mod rate_limit;
mod settings;
mod shared;
mod stop;
mod turns;
mod waiting;

use std::collections::{BTreeMap, HashMap};

use crate::domain::attribution::RejectionTracker;
use crate::domain::job::JobClaim;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::Prices;
use crate::domain::run_stats::{StopReason, Usage};
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;

use admission::Admission;
use backoff::Backoff;
use ending::EndCheck;
use failed_attempt::FailedAttempt;
use health::Health;
use keys::Keys;
use lane::Lane;
use shared::Shared;
use stop::Ending;
use turns::Turns;

pub use event::{Candidate, Effect, Event, LaneEnd, LaneId, LaneSetup};
pub use rate_limit::{KeyQuota, ReportedLimit};
pub use settings::{EndpointName, RunLimits, Settings};
pub use stop::StopLevel;

/// The scheduler of an engine.
#[derive(Debug)]
pub struct Scheduler {
    shared: Shared,
    lanes: BTreeMap<LaneId, Lane>,
    /// When the requests in flight are abandoned, if the run is stopping.
    drain_until: Option<Timestamp>,
    /// The end of the wait that was reported last.
    reported_wait: Option<Timestamp>,
    /// See [`Turns::new`].
    turn_floor: u64,
}

impl Scheduler {
    /// Creates a scheduler without lanes. `quotas` are the limits of all keys, in the order of
    /// their indices; `seed` determines the jitter of waits.
    #[must_use]
    pub fn new(
        settings: Settings,
        endpoint: EndpointName,
        prices: Prices,
        quotas: &[KeyQuota],
        (seed, now): (u64, Timestamp),
    ) -> Self {
        Self {
            shared: Shared {
                settings,
                endpoint,
                prices,
                keys: Keys::new(quotas, now),
                health: Health::new(settings.concurrency, now),
                backoff: Backoff::new(seed),
                usage: Usage::default(),
                requests: HashMap::new(),
                effects: Vec::new(),
            },
            lanes: BTreeMap::new(),
            drain_until: None,
            reported_wait: None,
            turn_floor: 0,
        }
    }

    /// Handles an event, and returns what to do.
    pub fn on(&mut self, event: Event<'_>, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::LaneOpened(id, setup) => {
                let lane = Lane::new(id, setup, &mut self.shared, now);
                self.lanes.insert(id, lane);
            }
            Event::LaneReopened(id) => self.reopen(id),
            Event::LaneClosed(id) => drop(self.lanes.remove(&id)),
            Event::QueueChanged => {
                let lanes = self.lanes.values_mut();
                lanes.for_each(|lane| lane.queue.stale = true);
            }
            Event::KeysReset(keys) => self.keys_reset(&keys),
            Event::Ready { unwritten } => self.ready(unwritten, now),
            Event::Claimed {
                lane,
                jobs,
                next_due,
            } => self.claimed(lane, jobs, next_due, now),
            Event::SuspectClaimed(lane, job) => self.suspect_claimed(lane, job, now),
            Event::ClaimableCounted(id, jobs) => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.queue.claimable = Some(jobs);
                }
            }
            Event::LimitsReported(claim, limits) => {
                if let Some(request) = self.shared.requests.get(&claim) {
                    let (key, limiter) = (request.permit.key, &mut self.shared.keys.limiter);
                    limiter.apply_reported(key, limits, now);
                }
            }
            Event::Completed { claim, .. }
            | Event::Failed { claim, .. }
            | Event::Abandoned(claim) => self.request_ended(claim, &event, now),
            Event::StopRequested(level, reason) => self.stop_requested(level, reason, now),
            Event::Idle => self.idle(now),
        }
        std::mem::take(&mut self.shared.effects)
    }

    /// Returns whether requests need token estimates, because a key has a token limit.
    #[must_use]
    pub fn has_token_limit(&self) -> bool {
        self.shared.keys.limiter.has_token_limit()
    }

    /// Returns whether more lanes can be opened: the run is not stopping, and has not reached one of
    /// its limits.
    #[must_use]
    pub fn accepts_lanes(&self, now: Timestamp) -> bool {
        let limit = || self.shared.bounds(now).limit_reached();
        let nothing_in_flight = self.shared.requests.is_empty();
        self.drain_until.is_none() && !(nothing_in_flight && limit().is_some())
    }

    fn reopen(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.ending = Ending::Open;
            lane.queue.next_due = Some(Timestamp::default());
        }
    }

    /// Tries keys like new ones, also for jobs that they were rejected for.
    fn keys_reset(&mut self, keys: &[KeyIndex]) {
        if keys.is_empty() {
            return;
        }
        for key in keys {
            if let Some(label) = self.shared.keys.reset(*key) {
                self.shared.report(RunEvent::KeyEnabled { key: label });
            }
        }
        for lane in self.lanes.values_mut() {
            lane.rejections = RejectionTracker::default();
            lane.stuck.clear();
        }
    }

    /// Returns the lane that runs alone, because its jobs were in flight at several crashes. While
    /// all its keys have to wait, the other lanes continue.
    fn exclusive_lane(&self, now: Timestamp) -> Option<LaneId> {
        let mut open = self.lanes.values().filter(|lane| lane.is_open());
        let suspect = |lane: &&Lane| {
            lane.queue.has_suspects && !waiting::all_keys_wait(lane, &self.shared, now)
        };
        open.find(suspect).map(|lane| lane.id)
    }

    /// Acquires permits for the requests that can be sent now, and claims as many jobs.
    fn ready(&mut self, unwritten: bool, now: Timestamp) {
        for (model, keys) in self.shared.keys.take_changed() {
            self.shared.push(Effect::SaveKeys { model, keys });
        }
        let exclusive = self.exclusive_lane(now);
        if let Some(id) = exclusive {
            self.ready_for_suspect(id, unwritten, now);
        } else {
            self.take_turns(now);
        }
        for lane in self.lanes.values_mut() {
            // The permit of a suspect is not for another job.
            let permits = exclusive.map_or(lane.queue.permits.len(), |_| 0);
            if permits > 0 || std::mem::take(&mut lane.queue.stale) {
                self.shared.push(Effect::Claim(lane.id, permits));
            }
        }
    }

    fn take_turns(&mut self, now: Timestamp) {
        let mut slots = self.shared.free_slots(now);
        if slots == 0 {
            return;
        }
        let lanes = self.lanes.values();
        let due = lanes.filter(|lane| lane.is_due(now) && !lane.queue.has_suspects);
        let mut turns = Turns::new(due.map(|lane| (lane.id, lane.share)), self.turn_floor);
        while slots > 0
            && let Some(id) = turns.next()
        {
            if self.reserve(id, now) {
                turns.used(id);
                slots -= 1;
            } else {
                turns.skip(id);
            }
        }
        let (shares, floor) = turns.finish();
        self.turn_floor = floor;
        for (id, share) in shares {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.share = share;
            }
        }
    }

    /// Claims a suspect if nothing is in flight. It runs alone until its result is on disk.
    fn ready_for_suspect(&mut self, id: LaneId, unwritten: bool, now: Timestamp) {
        if unwritten || !self.shared.requests.is_empty() || self.shared.free_slots(now) == 0 {
            return;
        }
        if self.reserve(id, now) {
            self.shared.push(Effect::ClaimSuspect(id));
        }
    }

    /// Acquires a permit for one more job of a lane. Returns whether there is one now.
    fn reserve(&mut self, id: LaneId, now: Timestamp) -> bool {
        let admission = self.admission(id, now);
        admission.is_some_and(|mut admission| admission.reserve())
    }

    fn admission(&mut self, id: LaneId, now: Timestamp) -> Option<Admission<'_>> {
        let (lane, shared) = (self.lanes.get_mut(&id)?, &mut self.shared);
        Some(Admission { lane, shared, now })
    }

    fn claimed(
        &mut self,
        id: LaneId,
        jobs: Vec<Candidate>,
        next_due: Option<Timestamp>,
        now: Timestamp,
    ) {
        if let Some(mut admission) = self.admission(id, now) {
            admission.lane.queue.next_due = next_due;
            admission.lane.queue.claimable = None;
            admission.assign(jobs);
        }
    }

    fn suspect_claimed(&mut self, id: LaneId, job: Option<Candidate>, now: Timestamp) {
        if let Some(mut admission) = self.admission(id, now) {
            admission.lane.queue.has_suspects = job.is_some();
            admission.assign(job.into_iter().collect());
        }
    }

    /// Handles the end of a request.
    fn request_ended(&mut self, claim: JobClaim, event: &Event<'_>, now: Timestamp) {
        let Some(request) = self.shared.requests.remove(&claim) else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(&request.lane) else {
            return;
        };
        let (shared, key) = (&mut self.shared, request.permit.key);
        lane.queue.in_flight -= 1;
        shared.keys.request_finished(lane.ring, key);
        let failed = match *event {
            Event::Completed {
                completion,
                violation,
                latency,
                ..
            } => {
                let cost = lane.record_success(shared, &request, (completion, latency), now);
                lane.strike_rejected_keys(shared, claim.job, now);
                match violation {
                    None => return lane.complete(shared, (claim, key), cost),
                    Some(failure) => (failure, latency),
                }
            }
            Event::Failed {
                failure, latency, ..
            } => (failure, latency),
            _ => return lane.requeue_abandoned(shared, claim, key),
        };
        FailedAttempt::new((claim, &request), failed, (lane, shared), now).handle(lane, shared);
    }

    fn stop_requested(&mut self, level: StopLevel, reason: Option<StopReason>, now: Timestamp) {
        if level == StopLevel::Run && !self.shared.bounds(now).max_runtime_reached() {
            return;
        }
        if self.drain_until.is_none() {
            self.drain_until = Some(now + self.shared.settings.grace);
            if level == StopLevel::Run {
                for lane in self.lanes.values_mut().filter(|lane| lane.is_open()) {
                    lane.ending = Ending::Firm(StopReason::Limit("--max-runtime"));
                }
            } else {
                let reason = reason.unwrap_or(StopReason::Interrupted);
                for lane in self.lanes.values_mut() {
                    lane.ending = Ending::Firm(reason.clone());
                }
                let in_flight = self.shared.requests.len();
                self.shared.report(RunEvent::Draining { in_flight });
            }
        }
        let is_over = self.drain_until.is_some_and(|until| until <= now);
        if level == StopLevel::Abort || is_over {
            self.shared.push(Effect::Abandon);
        }
    }

    /// Decides which lanes end. If none does, decides how long to wait.
    fn idle(&mut self, now: Timestamp) {
        let shared = &mut self.shared;
        for lane in self.lanes.values_mut() {
            if lane.queue.in_flight == 0 {
                EndCheck { lane, shared, now }.run();
            }
        }
        if !shared.effects.is_empty() {
            return;
        }
        let wake = waiting::wake_at(&self.lanes, self.exclusive_lane(now), &self.shared, now);
        let nothing_in_flight = self.shared.requests.is_empty();
        if let Some(until) = wake.filter(|until| nothing_in_flight && *until > now)
            && self.reported_wait != Some(until)
            && let Some(event) = waiting::describe_wait(&self.lanes, &self.shared, (until, now))
        {
            self.reported_wait = Some(until);
            self.shared.report(event);
        }
        let end = self.drain_until.or(self.shared.settings.limits.until);
        let until = [wake, end].into_iter().flatten().min();
        self.shared.push(Effect::Wait(until));
    }
}
