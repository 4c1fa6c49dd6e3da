//! Admission control: which jobs are sent now, with which keys.
//!
//! Permits are acquired before jobs are claimed, so claimed jobs never wait for a limit.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::attribution::Attribution;
use crate::domain::job::{AttemptRecord, JobClaim, JobId};
use crate::domain::key::Availability;
use crate::domain::keyring::KeyIndex;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{LARGER_THAN_LIMIT, REJECTED_BY_EVERY_KEY, Scope};

use super::event::{Candidate, Effect};
use super::lane::Lane;
use super::rate_limit::Permit;
use super::shared::{InFlight, Shared};

/// Delay after which a job that no key can be used for now is checked again.
const RECHECK_DELAY: Duration = Duration::from_millis(200);

/// The assumed length of an unlimited completion before the first response, in tokens.
const DEFAULT_COMPLETION_TOKENS: u64 = 500;

/// The admission of the jobs of a lane at a time.
pub(super) struct Admission<'a> {
    pub(super) lane: &'a mut Lane,
    pub(super) shared: &'a mut Shared,
    pub(super) now: Timestamp,
}

impl Admission<'_> {
    /// Acquires a permit for one more job of the lane. Returns whether there is one now.
    pub(super) fn reserve(&mut self) -> bool {
        if self.lane.queue.permits.len() >= free_slots(self.lane, self.shared) {
            return false;
        }
        let permit = self.find_permit(|_| true);
        self.lane.queue.permits.extend(permit);
        permit.is_some()
    }

    /// Acquires a permit for the least busy of the usable keys that `eligible` accepts.
    fn find_permit(&mut self, eligible: impl Fn(KeyIndex) -> bool) -> Option<Permit> {
        let mut without_permit = Vec::new();
        loop {
            let free = |key: KeyIndex| eligible(key) && !without_permit.contains(&key);
            let key = self.lane.keys(self.shared).pick(self.now, free)?;
            if let Some(permit) = self.acquire(key) {
                return Some(permit);
            }
            without_permit.push(key);
        }
    }

    fn acquire(&mut self, key: KeyIndex) -> Option<Permit> {
        self.shared.keys.acquire(self.lane.ring, key, self.now)
    }

    fn refund(&mut self, permit: Permit) {
        self.shared.keys.refund(self.lane.ring, permit, self.now);
    }

    /// Sends the claimed jobs, each with a key that was not rejected for it.
    pub(super) fn assign(&mut self, jobs: Vec<Candidate>) {
        let mut permits = std::mem::take(&mut self.lane.queue.permits);
        for job in jobs {
            let claim = job.claim;
            let keys = self.lane.keys(self.shared);
            match self.lane.rejections.attribute(claim.job, keys, self.now) {
                Attribution::Job => {
                    self.fail_rejected(claim);
                    continue;
                }
                Attribution::HoldJob => {
                    self.lane.stuck.entry(claim.job).or_insert(None);
                    self.requeue(claim, self.now + RECHECK_DELAY);
                    continue;
                }
                Attribution::Undecided | Attribution::AllKeys => {}
            }
            match self.permit_for(claim.job, &mut permits) {
                Some(permit) => self.send_within_token_limit(job, permit),
                None => self.defer(claim),
            }
        }
        for unused in permits {
            self.refund(unused);
        }
    }

    /// Removes and returns the first permit whose key can be used for a job. If there is none,
    /// gives one permit back and acquires another for a suitable key.
    fn permit_for(&mut self, job: JobId, permits: &mut Vec<Permit>) -> Option<Permit> {
        let rejections = &self.lane.rejections;
        let suits = |permit: &Permit| !rejections.was_rejected(job, permit.key);
        if let Some(position) = permits.iter().position(suits) {
            return Some(permits.remove(position));
        }
        if let Some(permit) = permits.pop() {
            self.refund(permit);
        }
        let rejected = self.lane.rejections.keys_rejected_for(job);
        let eligible = |key: KeyIndex| !rejected.contains(&key);
        self.find_permit(eligible).or_else(|| {
            let keys = self.lane.keys(self.shared);
            let key = keys.pick_on_probation(self.now, eligible)?;
            self.acquire(key)
        })
    }

    /// Requeues a claimed job that no key can be used for now.
    fn defer(&mut self, claim: JobClaim) {
        let untried = |key: KeyIndex| !self.lane.rejections.was_rejected(claim.job, key);
        let keys = self.lane.keys(self.shared);
        let not_before = match keys.earliest_availability(self.now, untried) {
            Availability::Now | Availability::AfterInFlight => self.now + RECHECK_DELAY,
            Availability::At(until) if until <= self.now + self.shared.settings.max_wait => until,
            // Not in this run. Nothing is stored, since the next run can have other keys.
            Availability::At(_) | Availability::Never => {
                self.lane.stuck.entry(claim.job).or_insert(None);
                self.now + RECHECK_DELAY
            }
        };
        self.requeue(claim, not_before);
    }

    fn requeue(&mut self, claim: JobClaim, not_before: Timestamp) {
        self.lane.requeue(self.shared, claim, not_before);
    }

    /// Sends a claimed job if the token limit allows it now. Otherwise requeues the job, or fails it
    /// if it exceeds the token limit of every key.
    fn send_within_token_limit(&mut self, job: Candidate, mut permit: Permit) {
        let limiter = &mut self.shared.keys.limiter;
        if !limiter.has_token_limit() {
            self.send(job, permit);
            return;
        }
        let needed = estimate_tokens(&job, self.lane);
        let max = limiter.max_request_tokens();
        let allowed = max.map_or(u32::MAX, NonZeroU32::get);
        if needed > allowed {
            self.refund(permit);
            let record = larger_than_limit(needed, allowed);
            self.lane.fail(self.shared, (job.claim, None), record);
        } else if limiter.resize(&mut permit, needed, self.now) {
            self.send(job, permit);
        } else {
            self.refund(permit);
            self.requeue(job.claim, self.now);
        }
    }

    fn send(&mut self, job: Candidate, permit: Permit) {
        self.lane.stuck.remove(&job.claim.job);
        self.lane.count(self.shared, |usage| usage.requests += 1);
        self.lane.queue.in_flight += 1;
        let (limiter, claim, key) = (&self.shared.keys.limiter, job.claim, permit.key);
        let is_counted = limiter.has_daily_limit();
        let day = is_counted.then(|| limiter.day_start(key, self.now));
        self.shared.push(Effect::Send { claim, key, day });
        let request = InFlight {
            lane: self.lane.id,
            permit,
            connection_generation: self.shared.health.connection_generation,
            sent: self.now,
            spent: job.spent,
            rules: job.rules,
        };
        self.shared.requests.insert(claim, request);
    }

    /// Fails a claimed job that caused its errors, without sending another request.
    fn fail_rejected(&mut self, claim: JobClaim) {
        let held = self.lane.stuck.remove(&claim.job).flatten();
        let mut record = held.unwrap_or_else(|| AttemptRecord {
            message: "rejected with API keys that work for other rows".to_owned(),
            ..AttemptRecord::default()
        });
        mark_rejected_by_every_key(&mut record);
        self.lane.fail(self.shared, (claim, None), record);
    }
}

/// Returns how many requests of a lane can be in flight in addition to the present ones, as far as
/// that depends on the lane.
pub(super) fn free_slots(lane: &Lane, shared: &Shared) -> usize {
    let keys = lane.keys(shared);
    let slots = if lane.queue.has_suspects {
        1
    } else if keys.any_served() || shared.health.breaker.is_open() {
        return usize::MAX;
    } else {
        // Until the first success, send one request per key, which limits the cost of a
        // configuration error.
        keys.len()
    };
    slots.saturating_sub(lane.queue.in_flight)
}

/// Estimates the tokens of a request and its completion.
fn estimate_tokens(job: &Candidate, lane: &Lane) -> u32 {
    let completion = job.max_completion_tokens.unwrap_or_else(|| {
        let (tokens, completions) = (lane.usage.completion_tokens, lane.usage.completions);
        let average = tokens.checked_div(completions);
        average.unwrap_or(DEFAULT_COMPLETION_TOKENS)
    });
    u32::try_from(job.request_tokens.saturating_add(completion)).unwrap_or(u32::MAX)
}

/// Attributes a recorded error to the job.
pub(super) fn mark_rejected_by_every_key(record: &mut AttemptRecord) {
    record.scope = Scope::Request;
    REJECTED_BY_EVERY_KEY.0.clone_into(&mut record.rule);
}

fn larger_than_limit(needed: u32, allowed: u32) -> AttemptRecord {
    AttemptRecord {
        scope: Scope::Request,
        rule: LARGER_THAN_LIMIT.0.to_owned(),
        message: format!(
            "the request and its response need up to {needed} tokens, but no API key allows more than \
             {allowed} per minute"
        ),
        ..AttemptRecord::default()
    }
}
