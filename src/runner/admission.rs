//! Admission control: how many requests can be sent now, with which keys, and when that changes.
//!
//! Permits are acquired before jobs are claimed, so claimed jobs never wait for a limit.

use std::time::Duration;

use crate::domain::attribution::Attribution;
use crate::domain::job::JobId;
use crate::domain::key::KeyState;
use crate::domain::keyring::{Availability, KeyIndex};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::store::{ClaimedJob, JobOutcome};

use super::dispatcher::{Dispatcher, Ending};
use super::rate_limit::Permit;

/// Delay after which a job that no key can be used for now is checked again.
const RECHECK_DELAY: Duration = Duration::from_millis(200);
/// The maximum number of held jobs that are failed when no further evidence is expected. More held
/// jobs, without a later success, indicate a problem that affects every request.
const MAX_HELD: usize = 3;

impl Dispatcher<'_> {
    /// Acquires permits for the requests that can be sent now.
    pub(super) fn acquire_permits(&mut self, now: Timestamp) -> Vec<Permit> {
        let slots = self.free_slots(now);
        let mut permits = Vec::with_capacity(slots);
        while permits.len() < slots {
            let Some(permit) = self.find_permit(now, |_| true) else {
                break;
            };
            permits.push(permit);
        }
        permits
    }

    fn free_slots(&self, now: Timestamp) -> usize {
        if !matches!(self.ending, Ending::Open) || self.next_due.is_none_or(|due| due > now) {
            return 0;
        }
        let slots = match self.breaker.probe_at() {
            Some(probe_at) => usize::from(probe_at <= now),
            // Until the first success, send one request per key, which limits the cost of a
            // configuration error.
            None if !self.ring.any_served() => self.ring.len().min(self.window.limit()),
            None => self.window.limit(),
        };
        let slots = if self.has_suspects { 1 } else { slots };
        slots
            .saturating_sub(self.in_flight())
            .min(self.allowed_requests())
    }

    /// Acquires a permit for the least busy of the usable keys that `eligible` accepts.
    fn find_permit(
        &mut self,
        now: Timestamp,
        eligible: impl Fn(KeyIndex) -> bool,
    ) -> Option<Permit> {
        let mut without_permit = Vec::new();
        loop {
            let free = |key: KeyIndex| eligible(key) && !without_permit.contains(&key);
            let key = self.ring.pick(now, free)?;
            if let Some(permit) = self.acquire_permit(key, now) {
                return Some(permit);
            }
            without_permit.push(key);
        }
    }

    /// Acquires a permit for a key, if one is available now.
    fn acquire_permit(&mut self, key: KeyIndex, now: Timestamp) -> Option<Permit> {
        let permit = self.rate_limiter.try_acquire(key, now)?;
        self.ring.begin_request(key);
        Some(permit)
    }

    pub(super) fn return_permit(&mut self, permit: Permit) {
        self.ring.end_request(permit.key);
        self.rate_limiter.refund(permit);
    }

    /// Sends the claimed jobs, each with a key that was not rejected for it.
    pub(super) fn assign(
        &mut self,
        jobs: Vec<ClaimedJob>,
        mut permits: Vec<Permit>,
        now: Timestamp,
    ) {
        for job in jobs {
            match self.rejections.attribute(job.id, &self.ring, now) {
                Attribution::Job => {
                    self.fail_rejected(&job);
                    continue;
                }
                Attribution::HoldJob => {
                    self.hold(&job, now);
                    continue;
                }
                Attribution::Undecided | Attribution::AllKeys => {}
            }
            match self.permit_for(job.id, &mut permits, now) {
                Some(permit) => self.dispatch_within_token_limit(job, permit, now),
                None => self.defer(&job, now),
            }
        }
        for unused in permits {
            self.return_permit(unused);
        }
    }

    /// Removes and returns the first permit whose key can be used for a job. If there is none,
    /// gives one permit back and acquires another for a suitable key.
    fn permit_for(
        &mut self,
        job: JobId,
        permits: &mut Vec<Permit>,
        now: Timestamp,
    ) -> Option<Permit> {
        if let Some(position) = permits
            .iter()
            .position(|permit| !self.rejections.was_rejected(job, permit.key))
        {
            return Some(permits.remove(position));
        }
        if let Some(permit) = permits.pop() {
            self.return_permit(permit);
        }
        let rejected = self.rejections.keys_rejected_for(job);
        let eligible = |key: KeyIndex| !rejected.contains(&key);
        self.find_permit(now, eligible).or_else(|| {
            let key = self.ring.pick_on_probation(now, eligible)?;
            self.acquire_permit(key, now)
        })
    }

    /// Requeues a claimed job that no key can be used for now.
    fn defer(&mut self, job: &ClaimedJob, now: Timestamp) {
        let untried = |key: KeyIndex| !self.rejections.was_rejected(job.id, key);
        let not_before = match self.ring.earliest_availability(now, untried) {
            Availability::Now | Availability::AfterInFlight => now + RECHECK_DELAY,
            Availability::At(until) if until <= now + self.settings.max_wait => until,
            // Not in this run. Nothing is stored, since the next run can have other keys.
            Availability::At(_) | Availability::Never => {
                self.stuck.entry(job.id).or_insert(None);
                now + RECHECK_DELAY
            }
        };
        self.requeue(job, not_before);
    }

    /// Requeues a claimed job that seems to cause its errors, until this is confirmed.
    fn hold(&mut self, job: &ClaimedJob, now: Timestamp) {
        self.stuck.entry(job.id).or_insert(None);
        self.requeue(job, now + RECHECK_DELAY);
    }

    pub(super) fn requeue(&mut self, job: &ClaimedJob, not_before: Timestamp) {
        let outcome = JobOutcome::Requeued {
            not_before,
            counted: false,
        };
        self.settle(job, None, outcome, None, None);
    }

    /// Returns when the next request can be sent if no request finishes earlier; `None` if that
    /// depends on the requests in flight.
    pub(super) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !matches!(self.ending, Ending::Open) {
            return None;
        }
        let due = self.next_due?.max(now);
        let due = self
            .breaker
            .probe_at()
            .map_or(due, |probe_at| due.max(probe_at));
        if self.free_slots(due) == 0 {
            return None;
        }
        let at = self
            .ring
            .indices()
            .filter_map(|key| self.next_permit_at(key, due))
            .min()?;
        // If the time has come but no permit was available, wait a little instead of spinning.
        Some(at.max(now + Duration::from_millis(1)))
    }

    pub(super) fn next_permit_at(&self, key: KeyIndex, due: Timestamp) -> Option<Timestamp> {
        let ready = match self.ring.availability(key, due) {
            Availability::Now => due,
            Availability::At(until) => until.max(due),
            Availability::AfterInFlight | Availability::Never => return None,
        };
        match self.rate_limiter.blocked(key) {
            None => Some(ready),
            Some(blocked) => blocked.until.map(|until| ready.max(until)),
        }
    }

    /// Returns why the run cannot continue, with nothing in flight; `None` if it can.
    pub(super) fn reason_to_stop(&mut self, all_stuck: bool, now: Timestamp) -> Option<StopReason> {
        if let Some(since) = self.breaker.open_since()
            && now.since(since) >= self.settings.max_outage
        {
            return Some(StopReason::Unavailable);
        }
        let due = self.next_due.unwrap_or(now);
        if all_stuck {
            let attributions = self.stuck.keys();
            let attributions =
                attributions.map(|job| self.rejections.attribute(*job, &self.ring, now));
            let (held, undecided): (Vec<_>, Vec<_>) = attributions
                .filter(|attribution| *attribution != Attribution::Job)
                .partition(|attribution| *attribution == Attribution::HoldJob);
            match held.len() {
                0 if undecided.len() == self.stuck.len() && due > now => {
                    return Some(self.key_or_quota_reason(now));
                }
                0 => {}
                1..=MAX_HELD => self.rejections.expect_no_more_evidence(),
                _ => return Some(StopReason::NoUsableKey(self.describe_held_jobs())),
            }
        }
        let wait_limit = now + self.settings.max_wait;
        match self.ring.earliest_availability(now, |_| true) {
            Availability::Never => Some(StopReason::NoUsableKey(self.describe_unusable_keys())),
            Availability::At(until) if until > wait_limit => Some(self.key_or_quota_reason(now)),
            _ if due > wait_limit => {
                self.stats.resume_at = Some(due);
                Some(StopReason::Quota)
            }
            _ => {
                let permits = self.ring.indices();
                let first = permits
                    .filter_map(|key| self.next_permit_at(key, due.max(now)))
                    .min();
                self.stats.resume_at = first.filter(|at| *at > wait_limit);
                self.stats.resume_at.map(|_| StopReason::Quota)
            }
        }
    }

    /// Returns why the run does not wait for its keys: a quota, or no usable key.
    fn key_or_quota_reason(&mut self, now: Timestamp) -> StopReason {
        let wait_limit = now + self.settings.max_wait;
        let keys = self.ring.keys().iter();
        let waiting = keys.filter(|key| key.state.until().is_some_and(|until| until > wait_limit));
        self.stats.resume_at = waiting.clone().filter_map(|key| key.state.until()).min();
        if waiting
            .clone()
            .any(|key| matches!(key.state, KeyState::Cooling { .. }))
        {
            StopReason::Quota
        } else {
            StopReason::NoUsableKey(self.describe_unusable_keys())
        }
    }

    /// Describes the errors of the rows on hold.
    fn describe_held_jobs(&self) -> String {
        let last = self.stuck.values().flatten().next_back();
        let message = last.map_or("", |record| &record.message);
        format!(
            "API keys that worked before were rejected for {} rows: {message}\n\
             requested model \"{}\" at {}\n{}",
            self.stuck.len(),
            self.batch.template.model,
            self.client.endpoint().display(),
            self.describe_unusable_keys(),
        )
    }

    /// Describes for each key why it cannot be used.
    pub(super) fn describe_unusable_keys(&self) -> String {
        let lines = self.ring.keys().iter().map(|key| {
            let state = match key.state {
                KeyState::Healthy | KeyState::Probation => "rejected",
                KeyState::Cooling { .. } => "rate limited",
                KeyState::Quarantined { .. } | KeyState::Exhausted { .. } | KeyState::Dead => {
                    "disabled"
                }
            };
            let reason = if key.reason.is_empty() {
                "unknown reason"
            } else {
                &key.reason
            };
            format!("{} ({}) is {state}: {reason}", key.label, key.fingerprint)
        });
        let mut lines: Vec<_> = lines.collect();
        if self
            .ring
            .keys()
            .iter()
            .any(|key| key.state == KeyState::Dead)
        {
            lines.push(
                "Replace the disabled keys, or run `promptmill keys reset` to try them again."
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}
