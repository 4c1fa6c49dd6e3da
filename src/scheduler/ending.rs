//! How a lane ends: no work remains, or no more work is possible for now.

use crate::domain::attribution::Attribution;
use crate::domain::key::Availability;
use crate::domain::key::KeyState;
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;

use super::event::Effect;
use super::lane::Lane;
use super::shared::Shared;
use super::stop::Ending;
use super::waiting::next_permit_at;

/// The maximum number of held jobs that are failed when no further evidence is expected. More held
/// jobs, without a later success, indicate a problem that affects every request.
const MAX_HELD: usize = 3;

/// The decision whether a lane with nothing in flight ends.
pub(super) struct EndCheck<'a> {
    pub(super) lane: &'a mut Lane,
    pub(super) shared: &'a mut Shared,
    pub(super) now: Timestamp,
}

impl EndCheck<'_> {
    /// Ends the lane if it cannot continue, or asks for the number of its jobs.
    pub(super) fn run(&mut self) {
        if !self.lane.is_open() || self.lane.queue.next_due.is_none() {
            self.lane.end(self.shared);
            return;
        }
        if self.shared.requests.is_empty()
            && let Some(reason) = self.shared.bounds(self.now).limit_reached()
        {
            self.end(reason);
            return;
        }
        let claimable = self.lane.queue.claimable.take();
        if claimable.is_none() && !self.lane.stuck.is_empty() {
            self.shared.push(Effect::CountClaimable(self.lane.id));
            return;
        }
        // No further evidence is expected if all remaining jobs are stuck.
        let all_stuck = claimable.is_some_and(|jobs| jobs <= self.lane.stuck.len() as u64);
        if let Some(reason) = self.reason_to_stop(all_stuck) {
            self.end(reason);
        }
    }

    fn end(&mut self, reason: StopReason) {
        self.lane.ending = Ending::Firm(reason);
        self.lane.end(self.shared);
    }

    /// Returns why the lane cannot continue; `None` if it can.
    fn reason_to_stop(&mut self, all_stuck: bool) -> Option<StopReason> {
        let (now, settings) = (self.now, &self.shared.settings);
        if let Some(since) = self.shared.health.breaker.open_since()
            && now.since(since) >= settings.max_outage
        {
            return Some(StopReason::Unavailable);
        }
        let wait_limit = now + settings.max_wait;
        let due = self.lane.queue.next_due.unwrap_or(now);
        if all_stuck && let Some(reason) = self.reason_of_stuck_jobs(due > now) {
            return Some(reason);
        }
        let keys = self.lane.keys(self.shared);
        match keys.earliest_availability(now, |_| true) {
            Availability::Never => Some(StopReason::NoUsableKey(keys.describe_unusable())),
            Availability::At(until) if until > wait_limit => Some(self.key_or_quota_reason()),
            _ if due > wait_limit => {
                self.lane.resume_at = Some(due);
                Some(StopReason::Quota)
            }
            _ => {
                let from = due.max(now);
                let permits = keys.indices();
                let permits =
                    permits.filter_map(|key| next_permit_at(self.lane, self.shared, key, from));
                let first = permits.min();
                self.lane.resume_at = first.filter(|at| *at > wait_limit);
                self.lane.resume_at.map(|_| StopReason::Quota)
            }
        }
    }

    /// Decides about jobs that are all stuck. `none_due` is whether none of them can be claimed now.
    fn reason_of_stuck_jobs(&mut self, none_due: bool) -> Option<StopReason> {
        let keys = self.shared.keys.ring(self.lane.ring);
        let rejections = &self.lane.rejections;
        let stuck = self.lane.stuck.keys();
        let attributions = stuck.map(|job| rejections.attribute(*job, keys, self.now));
        let (held, undecided): (Vec<_>, Vec<_>) = attributions
            .filter(|attribution| *attribution != Attribution::Job)
            .partition(|attribution| *attribution == Attribution::HoldJob);
        match held.len() {
            0 if undecided.len() == self.lane.stuck.len() && none_due => {
                Some(self.key_or_quota_reason())
            }
            0 => None,
            1..=MAX_HELD => {
                self.lane.rejections.expect_no_more_evidence();
                None
            }
            _ => Some(StopReason::NoUsableKey(self.describe_held_jobs())),
        }
    }

    /// Returns why the lane does not wait for its keys: a quota, or no usable key.
    fn key_or_quota_reason(&mut self) -> StopReason {
        let wait_limit = self.now + self.shared.settings.max_wait;
        let keys = self.shared.keys.ring(self.lane.ring);
        let is_long = |until: Timestamp| until > wait_limit;
        let waiting = keys.keys().iter().map(|key| &key.state);
        let mut waiting = waiting.filter(|state| state.until().is_some_and(is_long));
        self.lane.resume_at = waiting.clone().filter_map(KeyState::until).min();
        if waiting.any(|state| matches!(state, KeyState::Cooling { .. })) {
            StopReason::Quota
        } else {
            StopReason::NoUsableKey(keys.describe_unusable())
        }
    }

    /// Describes the errors of the rows on hold.
    fn describe_held_jobs(&self) -> String {
        let last = self.lane.stuck.values().flatten().next_back();
        let message = last.map_or("", |record| &record.message);
        format!(
            "API keys that worked before were rejected for {} rows: {message}\n\
             requested model \"{}\" at {}\n{}",
            self.lane.stuck.len(),
            self.lane.model,
            self.shared.endpoint.base_url,
            self.lane.keys(self.shared).describe_unusable(),
        )
    }
}
