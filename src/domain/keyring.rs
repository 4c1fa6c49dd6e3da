//! Key ring: which API key can send a request now, and when the others become available.
//!
//! It tracks states and times only. The rate limiter enforces request rates.

use super::job::JobId;
use super::key::{Availability, Key, KeyState, Rejections, StateReason};
use super::time::Timestamp;
use super::verdict::KeyPenalty;

/// Number of strikes for different jobs, without a completion in between, that disable a key.
const MAX_STRIKES: usize = 3;

/// Index of a key in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(pub usize);

/// The API keys that serve a model.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<Key>,
    /// The index of each key.
    indices: Vec<KeyIndex>,
    /// The position in `keys` by index.
    positions: Vec<usize>,
}

impl KeyRing {
    /// Creates a ring. If every key is disabled, those that are not dead can be probed at once,
    /// because a user who starts the program again has probably fixed the cause.
    #[must_use]
    pub fn new(keys: Vec<(KeyIndex, Key)>, now: Timestamp) -> Self {
        let (indices, mut keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let all_disabled = keys.iter().all(|key| key.state.is_disabled_at(now));
        for key in keys.iter_mut().filter(|_| all_disabled) {
            if let KeyState::Quarantined { until } | KeyState::Exhausted { until } = &mut key.state
            {
                *until = now;
            }
        }
        let len = indices.iter().map(|index| index.0 + 1).max().unwrap_or(0);
        let mut positions = vec![usize::MAX; len];
        for (position, index) in indices.iter().enumerate() {
            positions[index.0] = position;
        }
        Self {
            keys,
            indices,
            positions,
        }
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether the ring has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns a key of the ring.
    #[must_use]
    pub fn key(&self, index: KeyIndex) -> &Key {
        &self.keys[self.positions[index.0]]
    }

    fn key_mut(&mut self, index: KeyIndex) -> &mut Key {
        &mut self.keys[self.positions[index.0]]
    }

    /// Returns a key, if it is in the ring.
    #[must_use]
    pub fn find(&self, index: KeyIndex) -> Option<&Key> {
        self.keys.get(*self.positions.get(index.0)?)
    }

    /// Returns all keys, in the order given.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Returns the indices of all keys.
    pub fn indices(&self) -> impl Iterator<Item = KeyIndex> + '_ {
        self.indices.iter().copied()
    }

    /// Returns whether any key has returned a completion in this run.
    #[must_use]
    pub fn any_served(&self) -> bool {
        self.keys.iter().any(|key| key.served > 0)
    }

    /// Returns the least busy key that is available now and accepted by `wanted`.
    pub fn pick(&self, now: Timestamp, wanted: impl Fn(KeyIndex) -> bool) -> Option<KeyIndex> {
        self.indices()
            .filter(|index| wanted(*index) && self.availability(*index, now) == Availability::Now)
            .min_by_key(|index| self.key(*index).load())
    }

    /// Returns an idle key on probation that `wanted` accepts, unless `wanted` also accepts a
    /// better key. Other keys can be healthy but not allowed for this job.
    pub fn pick_on_probation(
        &self,
        now: Timestamp,
        wanted: impl Fn(KeyIndex) -> bool,
    ) -> Option<KeyIndex> {
        let accepted = || self.indices().filter(|index| wanted(*index));
        let better = accepted().any(|index| {
            let state = &self.key(index).state;
            *state != KeyState::Probation && !state.is_disabled_at(now)
        });
        let idle = |index: &KeyIndex| {
            let key = self.key(*index);
            key.state == KeyState::Probation && key.in_flight == 0
        };
        accepted().find(idle).filter(|_| !better)
    }

    /// Returns when a key can be used.
    #[must_use]
    pub fn availability(&self, index: KeyIndex, now: Timestamp) -> Availability {
        let key = self.key(index);
        let one_at_a_time = if key.in_flight == 0 {
            Availability::Now
        } else {
            Availability::AfterInFlight
        };
        // False before its first completion, after a throttled request, and after being excused.
        let trusted =
            key.served > 0 && (key.throttles == 0 || key.rate_known) && !key.rejections.excused;
        match key.state {
            KeyState::Healthy if trusted => Availability::Now,
            KeyState::Cooling { until } if trusted && key.rate_known && until <= now => {
                Availability::Now
            }
            KeyState::Cooling { until }
            | KeyState::Quarantined { until }
            | KeyState::Exhausted { until } => {
                if until <= now {
                    one_at_a_time
                } else {
                    Availability::At(until)
                }
            }
            KeyState::Probation if self.has_preferred_key(now) => Availability::AfterInFlight,
            // One request determines whether the key works.
            KeyState::Healthy | KeyState::Probation => one_at_a_time,
            KeyState::Dead => Availability::Never,
        }
    }

    /// Returns when the first of the keys accepted by `wanted` can be used.
    pub fn earliest_availability(
        &self,
        now: Timestamp,
        wanted: impl Fn(KeyIndex) -> bool,
    ) -> Availability {
        let mut first = Availability::Never;
        for index in self.indices().filter(|index| wanted(*index)) {
            first = match (first, self.availability(index, now)) {
                (Availability::Now, _) | (_, Availability::Now) => return Availability::Now,
                (Availability::AfterInFlight, _) | (_, Availability::AfterInFlight) => {
                    Availability::AfterInFlight
                }
                (Availability::At(one), Availability::At(other)) => {
                    Availability::At(one.min(other))
                }
                (Availability::Never, other) => other,
                (first, Availability::Never) => first,
            };
        }
        first
    }

    fn has_preferred_key(&self, now: Timestamp) -> bool {
        self.keys.iter().any(|key| match key.state {
            KeyState::Healthy => true,
            KeyState::Cooling { until } => until <= now,
            _ => false,
        })
    }

    /// Records that a request is sent with a key.
    pub fn begin_request(&mut self, index: KeyIndex) {
        self.key_mut(index).in_flight += 1;
    }

    /// Records that a request with a key has ended, with any result.
    pub fn end_request(&mut self, index: KeyIndex) {
        let key = self.key_mut(index);
        key.in_flight = key.in_flight.saturating_sub(1);
    }

    /// Records that a key has returned a completion. Returns whether this re-enabled the key.
    pub fn record_success(&mut self, index: KeyIndex) -> bool {
        let key = self.key_mut(index);
        key.served += 1;
        key.rejections = Rejections::default();
        let was_disabled = key.is_disabled() || key.state == KeyState::Probation;
        // A completion that was in flight when the key was throttled says nothing about the limit.
        if !matches!(key.state, KeyState::Cooling { .. }) {
            key.throttles = 0;
        }
        if was_disabled {
            key.mark_healthy();
        }
        was_disabled
    }

    /// Ends a cooldown that has expired: the first request after it has succeeded.
    pub fn end_cooldown(&mut self, index: KeyIndex, now: Timestamp) {
        let key = self.key_mut(index);
        if matches!(key.state, KeyState::Cooling { until } if until <= now) {
            key.throttles = 0;
            key.mark_healthy();
        }
    }

    /// Throttles a key and all keys of its group until a time; an existing longer cooldown is kept.
    /// If the allowed rate is known (`rate_known`), the cooldown ends at that time. Otherwise it
    /// ends with the first completion after that time.
    pub fn throttle(
        &mut self,
        index: KeyIndex,
        until: Timestamp,
        rate_known: bool,
        reason: StateReason<'_>,
    ) {
        let throttled = self.key_mut(index);
        throttled.throttles = throttled.throttles.saturating_add(1);
        for member in self.members(index) {
            let key = self.key_mut(member);
            let until = match key.state {
                KeyState::Cooling { until: longer } => until.max(longer),
                KeyState::Healthy | KeyState::Probation => until,
                KeyState::Quarantined { .. } | KeyState::Exhausted { .. } | KeyState::Dead => {
                    continue;
                }
            };
            key.state = KeyState::Cooling { until };
            key.rate_known = rate_known;
            key.model_only = reason.model_only;
            reason.message.clone_into(&mut key.reason);
        }
    }

    /// Applies a penalty to a key; an exhausted account disables all keys of the group. A key that
    /// has returned completions in this run is not declared dead after one rejection but probed
    /// again at `until`. Returns the keys that this has disabled.
    pub fn penalize(
        &mut self,
        index: KeyIndex,
        penalty: KeyPenalty,
        until: Timestamp,
        reason: StateReason<'_>,
    ) -> Vec<KeyIndex> {
        let members = match penalty {
            KeyPenalty::Exhausted => self.members(index),
            KeyPenalty::Probation | KeyPenalty::Quarantined | KeyPenalty::Dead => vec![index],
        };
        let mut disabled = Vec::new();
        for member in members {
            let key = self.key_mut(member);
            let was_enabled = !key.is_disabled();
            key.state = match penalty {
                KeyPenalty::Probation if was_enabled => KeyState::Probation,
                KeyPenalty::Probation => continue,
                KeyPenalty::Exhausted => KeyState::Exhausted { until },
                KeyPenalty::Dead if key.served == 0 => KeyState::Dead,
                KeyPenalty::Dead | KeyPenalty::Quarantined => KeyState::Quarantined { until },
            };
            key.rejections.excused = false;
            key.model_only = reason.model_only;
            reason.message.clone_into(&mut key.reason);
            if was_enabled && penalty != KeyPenalty::Probation {
                disabled.push(member);
            }
        }
        disabled
    }

    /// Returns the key itself and the others of its group.
    #[must_use]
    pub fn members(&self, index: KeyIndex) -> Vec<KeyIndex> {
        let group = &self.key(index).group;
        let same = |other: &KeyIndex| {
            *other == index || (group.is_some() && self.key(*other).group == *group)
        };
        self.indices().filter(same).collect()
    }

    /// Ends the probation of a key that did not cause its rejection.
    pub fn end_probation(&mut self, index: KeyIndex) {
        let key = self.key_mut(index);
        if key.state == KeyState::Probation {
            key.mark_healthy();
        }
    }

    /// Forgets what is known about a key, so that it is tried like a new one. Returns whether it was
    /// throttled or disabled.
    pub fn reset(&mut self, index: KeyIndex) -> bool {
        if self.find(index).is_none() {
            return false;
        }
        let key = self.key_mut(index);
        let was_healthy = key.state == KeyState::Healthy;
        key.mark_healthy();
        key.served = 0;
        key.throttles = 0;
        key.rejections = Rejections::default();
        !was_healthy
    }

    /// Records that the rejection may have been caused by connections that are no longer used, so
    /// it does not count against the key. Until its next completion the key gets one request at a
    /// time.
    pub fn excuse(&mut self, index: KeyIndex) {
        self.key_mut(index).rejections.excused = true;
    }

    /// Records that a key was rejected for a job that another key has completed. The first such job
    /// disables a key without completions, and the third one any other key. An excused key is not
    /// disabled. Returns whether this disabled the key.
    pub fn strike(&mut self, index: KeyIndex, job: JobId, until: Timestamp) -> bool {
        let key = self.key_mut(index);
        if key.state != KeyState::Probation {
            return false;
        }
        if key.rejections.excused {
            key.mark_healthy();
            return false;
        }
        key.rejections.strikes.insert(job);
        if key.served > 0 && key.rejections.strikes.len() < MAX_STRIKES {
            key.mark_healthy();
            return false;
        }
        key.state = KeyState::Quarantined { until };
        true
    }

    /// Records that a key returned a completion for another model. Only a state that applies to all
    /// models ends.
    pub fn adopt_success(&mut self, index: KeyIndex, now: Timestamp) {
        if self.find(index).is_none_or(|key| key.model_only) {
            return;
        }
        self.end_cooldown(index, now);
        let key = self.key_mut(index);
        if key.is_disabled() {
            key.mark_healthy();
        }
    }

    /// Adopts the state of a key in the ring of another model, if it applies to all models.
    pub fn adopt_state(&mut self, index: KeyIndex, other: &Key) {
        let applies_here = match other.state {
            KeyState::Healthy | KeyState::Probation => false,
            _ => !other.model_only,
        };
        if !applies_here || self.find(index).is_none() {
            return;
        }
        let key = self.key_mut(index);
        key.state = other.state.clone();
        key.model_only = false;
        key.reason.clone_from(&other.reason);
        key.throttles = other.throttles;
        key.rate_known = other.rate_known;
    }

    /// Describes for each key why it cannot be used.
    #[must_use]
    pub fn describe_unusable(&self) -> String {
        let lines = self.keys.iter().map(|key| {
            let state = key.state.unusable_text();
            let reason = match key.reason.as_str() {
                "" => "unknown reason",
                reason => reason,
            };
            format!("{} ({}) is {state}: {reason}", key.label, key.fingerprint)
        });
        let mut lines: Vec<_> = lines.collect();
        if self.keys.iter().any(|key| key.state == KeyState::Dead) {
            lines.push(
                "Replace the disabled keys, or run `promptmill keys reset` to try them again."
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::Availability::{AfterInFlight, At, Never, Now};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const REASON: StateReason<'_> = StateReason {
        message: "rejected",
        model_only: false,
    };

    /// The first keys of a ring.
    const A: KeyIndex = KeyIndex(0);
    const B: KeyIndex = KeyIndex(1);
    const C: KeyIndex = KeyIndex(2);

    fn healthy(count: usize) -> KeyRing {
        ring(vec![KeyState::Healthy; count])
    }

    fn ring(states: Vec<KeyState>) -> KeyRing {
        let key = |state| Key {
            state,
            ..Key::new(String::new(), String::new())
        };
        let keys = states.into_iter().map(key);
        KeyRing::new((0..).map(KeyIndex).zip(keys).collect(), NOW)
    }

    fn later(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn the_least_busy_key_is_picked() {
        let mut ring = healthy(2);
        ring.record_success(A);
        ring.begin_request(A);
        assert_eq!(ring.pick(NOW, |_| true), Some(B));
        assert_eq!(ring.pick(NOW, |index| index != B), Some(A));
    }

    #[test]
    fn a_throttled_key_is_probed_with_one_request_at_a_time() {
        let mut ring = healthy(1);
        ring.throttle(A, later(5), false, REASON);
        assert_eq!(ring.availability(A, NOW), At(later(5)));
        assert_eq!(ring.availability(A, later(5)), Now);
        ring.begin_request(A);
        assert_eq!(ring.availability(A, later(6)), AfterInFlight);
        ring.end_request(A);
        ring.record_success(A);
        ring.end_cooldown(A, later(6));
        ring.begin_request(A);
        assert_eq!(ring.availability(A, later(6)), Now);
    }

    #[test]
    fn a_later_wait_does_not_shorten_a_longer_cooldown() {
        let mut ring = healthy(1);
        ring.throttle(A, later(60), false, REASON);
        ring.throttle(A, later(1), false, REASON);
        assert_eq!(ring.availability(A, NOW), At(later(60)));
    }

    #[test]
    fn a_key_on_probation_is_used_only_without_a_healthy_one() {
        let mut ring = healthy(2);
        ring.penalize(A, KeyPenalty::Probation, later(60), REASON);
        assert_eq!(ring.pick(NOW, |_| true), Some(B));
        ring.penalize(B, KeyPenalty::Dead, later(60), REASON);
        assert_eq!(ring.pick(NOW, |_| true), Some(A));
    }

    #[test]
    fn a_key_on_probation_is_used_for_a_job_that_excludes_all_better_keys() {
        let mut ring = healthy(2);
        ring.penalize(A, KeyPenalty::Probation, later(60), REASON);
        assert_eq!(ring.pick_on_probation(NOW, |_| true), None);
        let other_than_healthy = |index| index != B;
        assert_eq!(ring.pick(NOW, other_than_healthy), None);
        assert_eq!(ring.pick_on_probation(NOW, other_than_healthy), Some(A));
        ring.begin_request(A);
        assert_eq!(ring.pick_on_probation(NOW, other_than_healthy), None);
    }

    #[test]
    fn a_key_with_completions_is_quarantined_rather_than_dead() {
        let mut ring = healthy(1);
        ring.record_success(A);
        assert_eq!(ring.penalize(A, KeyPenalty::Dead, later(60), REASON), [A]);
        let until = later(60);
        assert_eq!(ring.key(A).state, KeyState::Quarantined { until });
    }

    #[test]
    fn three_strikes_disable_a_key_with_completions_and_one_disables_any_other() {
        let mut ring = healthy(2);
        ring.record_success(A);
        for job in 1..=3 {
            ring.penalize(A, KeyPenalty::Probation, later(60), REASON);
            assert_eq!(ring.strike(A, JobId(job), later(60)), job == 3);
        }
        ring.penalize(B, KeyPenalty::Probation, later(60), REASON);
        assert!(ring.strike(B, JobId(1), later(60)));
    }

    #[test]
    fn a_rejection_over_old_connections_is_not_a_strike() {
        let mut ring = healthy(1);
        ring.penalize(A, KeyPenalty::Probation, later(60), REASON);
        ring.excuse(A);
        assert!(!ring.strike(A, JobId(1), later(60)));
        ring.penalize(A, KeyPenalty::Probation, later(60), REASON);
        assert!(ring.strike(A, JobId(2), later(60)));
    }

    #[test]
    fn if_all_keys_are_disabled_at_the_start_all_but_dead_ones_are_probed() {
        let quarantined = KeyState::Quarantined { until: later(600) };
        let mut probing = ring(vec![KeyState::Dead, quarantined.clone()]);
        assert_eq!(probing.pick(NOW, |_| true), Some(B));
        probing.begin_request(B);
        assert_eq!(probing.earliest_availability(NOW, |_| true), AfterInFlight);
        let with_healthy = ring(vec![KeyState::Healthy, quarantined]);
        assert_eq!(with_healthy.pick(NOW, |_| true), Some(A));
        let dead = ring(vec![KeyState::Dead]);
        assert_eq!(dead.earliest_availability(NOW, |_| true), Never);
    }

    #[test]
    fn keys_of_a_group_are_throttled_and_exhausted_together() {
        let mut ring = healthy(3);
        for shared in [0, 1] {
            ring.keys[shared].group = Some("account".to_owned());
        }
        ring.throttle(A, later(5), false, REASON);
        assert_eq!(ring.availability(B, NOW), At(later(5)));
        assert_eq!(ring.availability(C, NOW), Now);
        let disabled = ring.penalize(B, KeyPenalty::Exhausted, later(60), REASON);
        assert_eq!(disabled, [A, B]);
        assert_eq!(ring.pick(NOW, |_| true), Some(C));
    }

    #[test]
    fn a_key_gets_one_request_until_its_first_completion() {
        let mut ring = healthy(2);
        ring.record_success(A);
        ring.begin_request(B);
        assert_eq!(ring.availability(B, NOW), AfterInFlight);
        assert_eq!(ring.availability(A, NOW), Now);
        ring.end_request(B);
        ring.record_success(B);
        ring.begin_request(B);
        assert_eq!(ring.availability(B, NOW), Now);
    }

    #[test]
    fn a_throttled_key_with_a_known_rate_is_available_after_its_cooldown() {
        let mut ring = healthy(1);
        ring.record_success(A);
        ring.throttle(A, later(5), true, REASON);
        ring.begin_request(A);
        assert_eq!(ring.availability(A, NOW), At(later(5)));
        assert_eq!(ring.availability(A, later(5)), Now);
    }

    #[test]
    fn keys_get_requests_in_proportion_to_their_weights() {
        let mut ring = healthy(2);
        ring.keys[1].weight = NonZeroU32::new(3).unwrap();
        ring.record_success(A);
        ring.record_success(B);
        let mut sent = [0, 0];
        for _ in 0..40 {
            let index = ring.pick(NOW, |_| true).unwrap();
            ring.begin_request(index);
            sent[index.0] += 1;
        }
        assert_eq!(sent, [10, 30]);
    }
}
