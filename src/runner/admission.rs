//! Admission: how many jobs may be sent now and with which keys, and when that changes.
//!
//! A place is a key with a permit to send one request now. Places are found before jobs are
//! claimed, so that no claimed job ever waits for a limit.

use std::time::Duration;

use crate::domain::doubt::Ruling;
use crate::domain::job::JobId;
use crate::domain::key::KeyState;
use crate::domain::keyring::{KeyIndex, Ready};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::store::{ClaimedJob, SettledAs};

use super::dispatcher::{Dispatcher, Ending};
use super::rate_limit::Permit;

/// When a job that no key may take now is looked at again.
const SOON: Duration = Duration::from_millis(200);
/// Held jobs that may be called at fault when nothing more will be known. More of them, with no
/// answer after, look as if something had changed for everybody.
const MOST_HELD: usize = 3;

impl Dispatcher<'_> {
    /// Finds the places for requests that may go out now.
    pub(super) fn admit(&mut self, now: Timestamp) -> Vec<Permit> {
        let hands = self.free_hands(now);
        let mut permits = Vec::with_capacity(hands);
        while permits.len() < hands {
            let Some(permit) = self.find_permit(now, |_| true) else {
                break;
            };
            permits.push(permit);
        }
        permits
    }

    fn free_hands(&self, now: Timestamp) -> usize {
        if !matches!(self.ending, Ending::Open) || self.next_due.is_none_or(|due| due > now) {
            return 0;
        }
        let hands = match self.breaker.probe_at() {
            Some(probe_at) => usize::from(probe_at <= now),
            // Until something has come back well, one request for each key: a mistake in the
            // set-up costs no more than that.
            None if !self.ring.any_served() => self.ring.len().min(self.window.limit()),
            None => self.window.limit(),
        };
        let hands = if self.suspects { 1 } else { hands };
        hands
            .saturating_sub(self.in_flight())
            .min(self.within_bounds())
    }

    /// Takes a permit of the least busy key that may be used and that `wanted` accepts.
    fn find_permit(&mut self, now: Timestamp, wanted: impl Fn(KeyIndex) -> bool) -> Option<Permit> {
        let mut without_permit = Vec::new();
        loop {
            let free = |key: KeyIndex| wanted(key) && !without_permit.contains(&key);
            let key = self.ring.pick(now, free)?;
            if let Some(permit) = self.take(key, now) {
                return Some(permit);
            }
            without_permit.push(key);
        }
    }

    /// Takes a permit of a key, if it has one now.
    fn take(&mut self, key: KeyIndex, now: Timestamp) -> Option<Permit> {
        let permit = self.rate_limiter.take(key, now)?;
        self.ring.sent(key);
        Some(permit)
    }

    pub(super) fn return_permit(&mut self, permit: Permit) {
        self.ring.came_back(permit.key);
        self.rate_limiter.give_back(permit);
    }

    /// Sends the claimed jobs, each with a key that has not refused it.
    pub(super) fn assign(
        &mut self,
        jobs: Vec<ClaimedJob>,
        mut permits: Vec<Permit>,
        now: Timestamp,
    ) {
        for job in jobs {
            match self.doubts.rule(job.id, &self.ring, now) {
                Ruling::Job => {
                    self.blame(&job);
                    continue;
                }
                Ruling::Held => {
                    self.hold(&job, now);
                    continue;
                }
                Ruling::Open | Ruling::Everybody => {}
            }
            match self.permit_for(job.id, &mut permits, now) {
                Some(permit) => self.send_within(job, permit, now),
                None => self.put_off(&job, now),
            }
        }
        for unused in permits {
            self.return_permit(unused);
        }
    }

    /// Takes the first of the places that will do for a job; when none does, one is given up for
    /// another key that will.
    fn permit_for(
        &mut self,
        job: JobId,
        permits: &mut Vec<Permit>,
        now: Timestamp,
    ) -> Option<Permit> {
        if let Some(fits) = permits
            .iter()
            .position(|permit| !self.doubts.has_refused(job, permit.key))
        {
            return Some(permits.remove(fits));
        }
        if let Some(unfit) = permits.pop() {
            self.return_permit(unfit);
        }
        let refused = self.doubts.refused_by(job);
        let wanted = |key: KeyIndex| !refused.contains(&key);
        self.find_permit(now, wanted).or_else(|| {
            let key = self.ring.pick_doubted(now, wanted)?;
            self.take(key, now)
        })
    }

    /// Puts a claimed job back that no key may take now.
    fn put_off(&mut self, job: &ClaimedJob, now: Timestamp) {
        let untried = |key: KeyIndex| !self.doubts.has_refused(job.id, key);
        let not_before = match self.ring.first_ready(now, untried) {
            Ready::Now | Ready::AfterFlight => now + SOON,
            Ready::At(until) if until <= now + self.settings.max_wait => until,
            // Not in this run. The next one may have other keys: nothing of it is written down.
            Ready::At(_) | Ready::Never => {
                self.stuck.entry(job.id).or_insert(None);
                now + SOON
            }
        };
        self.put_back(job, not_before);
    }

    /// Puts a claimed job back that seems to be at fault, until that is shown.
    fn hold(&mut self, job: &ClaimedJob, now: Timestamp) {
        self.stuck.entry(job.id).or_insert(None);
        self.put_back(job, now + SOON);
    }

    pub(super) fn put_back(&mut self, job: &ClaimedJob, not_before: Timestamp) {
        let settled_as = SettledAs::Requeued {
            not_before,
            counted: false,
        };
        self.settle(job, None, settled_as, None, None);
    }

    /// Returns when more may be sent, with nothing coming back before; `None` when only what is in
    /// flight can change anything.
    pub(super) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !matches!(self.ending, Ending::Open) {
            return None;
        }
        let due = self.next_due?.max(now);
        let due = self
            .breaker
            .probe_at()
            .map_or(due, |probe_at| due.max(probe_at));
        if self.free_hands(due) == 0 {
            return None;
        }
        let at = self
            .ring
            .indices()
            .filter_map(|key| self.place_at(key, due))
            .min()?;
        // Something said "now", and yet no place was found: never spin.
        Some(at.max(now + Duration::from_millis(1)))
    }

    pub(super) fn place_at(&self, key: KeyIndex, due: Timestamp) -> Option<Timestamp> {
        let ready = match self.ring.ready(key, due) {
            Ready::Now => due,
            Ready::At(until) => until.max(due),
            Ready::AfterFlight | Ready::Never => return None,
        };
        match self.rate_limiter.blocked(key) {
            None => Some(ready),
            Some(blocked) => blocked.until.map(|until| ready.max(until)),
        }
    }

    /// Says why going on is no use, with nothing in flight and jobs left; `None` when it is.
    pub(super) fn hopeless(&mut self, all_stuck: bool, now: Timestamp) -> Option<StopReason> {
        if let Some(since) = self.breaker.open_since()
            && now.since(since) >= self.settings.max_outage
        {
            return Some(StopReason::Unavailable);
        }
        let due = self.next_due.unwrap_or(now);
        if all_stuck {
            let rulings = self.stuck.keys();
            let rulings = rulings.map(|job| self.doubts.rule(*job, &self.ring, now));
            let (held, open): (Vec<_>, Vec<_>) = rulings
                .filter(|ruling| *ruling != Ruling::Job)
                .partition(|ruling| *ruling == Ruling::Held);
            match held.len() {
                0 if open.len() == self.stuck.len() && due > now => {
                    return Some(self.no_key_or_quota(now));
                }
                0 => {}
                1..=MOST_HELD => self.doubts.nothing_to_come(),
                _ => return Some(StopReason::NoUsableKey(self.why_held())),
            }
        }
        let far = now + self.settings.max_wait;
        match self.ring.first_ready(now, |_| true) {
            Ready::Never => Some(StopReason::NoUsableKey(self.why_no_key())),
            Ready::At(until) if until > far => Some(self.no_key_or_quota(now)),
            _ if due > far => {
                self.stats.resume_at = Some(due);
                Some(StopReason::Quota)
            }
            _ => {
                let permits = self.ring.indices();
                let first = permits
                    .filter_map(|key| self.place_at(key, due.max(now)))
                    .min();
                self.stats.resume_at = first.filter(|at| *at > far);
                self.stats.resume_at.map(|_| StopReason::Quota)
            }
        }
    }

    /// Why the keys that rest cannot be waited for: a limit that comes back, or what they were
    /// refused for.
    fn no_key_or_quota(&mut self, now: Timestamp) -> StopReason {
        let far = now + self.settings.max_wait;
        let keys = self.ring.keys().iter();
        let resting = keys.filter(|key| key.state.until().is_some_and(|until| until > far));
        self.stats.resume_at = resting.clone().filter_map(|key| key.state.until()).min();
        if resting
            .clone()
            .any(|key| matches!(key.state, KeyState::Cooling { .. }))
        {
            StopReason::Quota
        } else {
            StopReason::NoUsableKey(self.why_no_key())
        }
    }

    /// Says what the rows that are held were refused for.
    fn why_held(&self) -> String {
        let said = self.stuck.values().flatten().next_back();
        let said = said.map_or("", |record| &record.message);
        format!(
            "keys that brought answers before were refused for {} rows in a row: {said}\n\
             asked for model \"{}\" at {}\n{}",
            self.stuck.len(),
            self.batch.template.model,
            self.client.endpoint().display(),
            self.why_no_key(),
        )
    }

    /// Says for each key why it cannot be used.
    pub(super) fn why_no_key(&self) -> String {
        let lines = self.ring.keys().iter().map(|key| {
            let state = match key.state {
                KeyState::Healthy | KeyState::Doubted => "refused",
                _ => key.state.name(),
            };
            let reason = if key.reason.is_empty() {
                "no reason given"
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
            lines
                .push("Replace them, or let them be tried again: promptmill keys reset".to_owned());
        }
        lines.join("\n")
    }
}
