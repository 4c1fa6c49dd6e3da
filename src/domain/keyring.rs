//! The key ring: which API key may send now, and when the others come back.
//!
//! It knows states and moments only; how fast a key may send is the pace's business.

use super::job::JobId;
use super::key::{Cause, Key, KeyState};
use super::time::Timestamp;
use super::verdict::SetAside;

/// Strikes from different jobs, with no answer between them, that set a key aside.
const MAX_STRIKES: usize = 3;

/// A key's place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(pub usize);

/// When a key of the ring may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Now.
    Now,
    /// Not before a moment.
    At(Timestamp),
    /// When a request that is in flight has come back.
    AfterFlight,
    /// Not in this run.
    Never,
}

/// The API keys of a run.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<Key>,
}

impl KeyRing {
    /// Makes a ring. When no key of it may be used now, those that rest but are not dead may be
    /// tried once: a person who runs the program again may well have mended what was wrong.
    #[must_use]
    pub fn new(mut keys: Vec<Key>, now: Timestamp) -> Self {
        let all_aside = keys.iter().all(|key| key.state.is_out(now));
        for key in &mut keys {
            let probe = match key.state {
                KeyState::Quarantined { .. } if all_aside => KeyState::Quarantined { until: now },
                KeyState::Exhausted { .. } if all_aside => KeyState::Exhausted { until: now },
                _ => continue,
            };
            key.state = probe;
        }
        Self { keys }
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells whether the ring has no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns a key.
    #[must_use]
    pub fn key(&self, index: KeyIndex) -> &Key {
        &self.keys[index.0]
    }

    /// Returns all keys, in the order they were given.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Returns all places of the ring.
    pub fn indices(&self) -> impl Iterator<Item = KeyIndex> + use<> {
        (0..self.keys.len()).map(KeyIndex)
    }

    /// Tells whether any key has brought an answer in this run.
    #[must_use]
    pub fn any_served(&self) -> bool {
        self.keys.iter().any(|key| key.served > 0)
    }

    /// Returns the least busy of the keys that may be used now and that `wanted` accepts.
    pub fn pick(&self, now: Timestamp, wanted: impl Fn(KeyIndex) -> bool) -> Option<KeyIndex> {
        self.indices()
            .filter(|index| wanted(*index) && self.ready(*index, now) == Ready::Now)
            .min_by_key(|index| self.key(*index).load())
    }

    /// Returns a key in doubt that `wanted` accepts, when no better one that it accepts will be
    /// there: other keys of the ring may be well, and yet none of them may take this job.
    pub fn pick_doubted(
        &self,
        now: Timestamp,
        wanted: impl Fn(KeyIndex) -> bool,
    ) -> Option<KeyIndex> {
        let accepted = || self.indices().filter(|index| wanted(*index));
        let better = accepted().any(|index| {
            let state = &self.key(index).state;
            *state != KeyState::Doubted && !state.is_out(now)
        });
        let idle = |index: &KeyIndex| {
            let key = self.key(*index);
            key.state == KeyState::Doubted && key.in_flight == 0
        };
        accepted().find(idle).filter(|_| !better)
    }

    /// Says when a key may be used.
    #[must_use]
    pub fn ready(&self, index: KeyIndex, now: Timestamp) -> Ready {
        let key = self.key(index);
        let one_at_a_time = if key.in_flight == 0 {
            Ready::Now
        } else {
            Ready::AfterFlight
        };
        // Not before its first answer, nor after a throttled one, nor just excused.
        let trusted = key.served > 0 && (key.throttles == 0 || key.paced) && !key.excused;
        match key.state {
            KeyState::Healthy if trusted => Ready::Now,
            KeyState::Cooling { until } if trusted && key.paced && until <= now => Ready::Now,
            KeyState::Cooling { until }
            | KeyState::Quarantined { until }
            | KeyState::Exhausted { until } => {
                if until <= now {
                    one_at_a_time
                } else {
                    Ready::At(until)
                }
            }
            KeyState::Doubted if self.has_better_than_doubted(now) => Ready::AfterFlight,
            // One request shows how things stand.
            KeyState::Healthy | KeyState::Doubted => one_at_a_time,
            KeyState::Dead => Ready::Never,
        }
    }

    /// Says when the first of the keys that `wanted` accepts may be used.
    pub fn first_ready(&self, now: Timestamp, wanted: impl Fn(KeyIndex) -> bool) -> Ready {
        let mut first = Ready::Never;
        for index in self.indices().filter(|index| wanted(*index)) {
            first = match (first, self.ready(index, now)) {
                (Ready::Now, _) | (_, Ready::Now) => return Ready::Now,
                (Ready::AfterFlight, _) | (_, Ready::AfterFlight) => Ready::AfterFlight,
                (Ready::At(one), Ready::At(other)) => Ready::At(one.min(other)),
                (Ready::Never, other) => other,
                (first, Ready::Never) => first,
            };
        }
        first
    }

    fn has_better_than_doubted(&self, now: Timestamp) -> bool {
        self.keys.iter().any(|key| match key.state {
            KeyState::Healthy => true,
            KeyState::Cooling { until } => until <= now,
            _ => false,
        })
    }

    /// Notes that a request goes out with a key.
    pub fn sent(&mut self, index: KeyIndex) {
        self.keys[index.0].in_flight += 1;
    }

    /// Notes that a request with a key has come back, however it ended.
    pub fn came_back(&mut self, index: KeyIndex) {
        let key = &mut self.keys[index.0];
        key.in_flight = key.in_flight.saturating_sub(1);
    }

    /// Notes that a key has brought an answer. Returns whether this took it back into the ring.
    pub fn answered(&mut self, index: KeyIndex) -> bool {
        let key = &mut self.keys[index.0];
        key.served += 1;
        key.excused = false;
        key.strikes.clear();
        let was_aside = key.is_set_aside() || key.state == KeyState::Doubted;
        // An answer that was under way when the key was throttled says nothing about the limit.
        if !matches!(key.state, KeyState::Cooling { .. }) {
            key.throttles = 0;
        }
        if was_aside {
            key.heal();
        }
        was_aside
    }

    /// Notes that a rest is over: the first request after it has brought an answer.
    pub fn rested(&mut self, index: KeyIndex, now: Timestamp) {
        let key = &mut self.keys[index.0];
        if matches!(key.state, KeyState::Cooling { until } if until <= now) {
            key.throttles = 0;
            key.heal();
        }
    }

    /// Lets a key, and all that share its limit, rest for a rate limit or a quota; a longer rest
    /// stays. Where a pace is known that the limit allows (`paced`), the rest is over at its end,
    /// else with the first answer after it.
    pub fn throttled(&mut self, index: KeyIndex, until: Timestamp, paced: bool, cause: Cause<'_>) {
        let throttled = &mut self.keys[index.0];
        throttled.throttles = throttled.throttles.saturating_add(1);
        for member in self.members(index) {
            let key = &mut self.keys[member.0];
            let until = match key.state {
                KeyState::Cooling { until: longer } => until.max(longer),
                KeyState::Healthy | KeyState::Doubted => until,
                KeyState::Quarantined { .. } | KeyState::Exhausted { .. } | KeyState::Dead => {
                    continue;
                }
            };
            key.state = KeyState::Cooling { until };
            key.paced = paced;
            key.model_only = cause.model_only;
            cause.reason.clone_into(&mut key.reason);
        }
    }

    /// Takes a key out of the ring, and with an account that is exhausted all keys that share it. A
    /// key that has brought answers in this run is not called dead by one refusal: it is tried
    /// again at `until`. Returns the keys that were in the ring before and are out now.
    pub fn set_aside(
        &mut self,
        index: KeyIndex,
        how: SetAside,
        until: Timestamp,
        cause: Cause<'_>,
    ) -> Vec<KeyIndex> {
        let members = match how {
            SetAside::Exhausted => self.members(index),
            SetAside::Doubted | SetAside::Quarantined | SetAside::Dead => vec![index],
        };
        let mut out = Vec::new();
        for member in members {
            let key = &mut self.keys[member.0];
            let was_in = !key.is_set_aside();
            key.state = match how {
                SetAside::Doubted if was_in => KeyState::Doubted,
                SetAside::Doubted => continue,
                SetAside::Exhausted => KeyState::Exhausted { until },
                SetAside::Dead if key.served == 0 => KeyState::Dead,
                SetAside::Dead | SetAside::Quarantined => KeyState::Quarantined { until },
            };
            key.excused = false;
            key.model_only = cause.model_only;
            cause.reason.clone_into(&mut key.reason);
            if was_in && how != SetAside::Doubted {
                out.push(member);
            }
        }
        out
    }

    /// The key itself and those of its group.
    fn members(&self, index: KeyIndex) -> Vec<KeyIndex> {
        let group = &self.key(index).group;
        let same = |other: &KeyIndex| {
            *other == index || (group.is_some() && self.key(*other).group == *group)
        };
        self.indices().filter(same).collect()
    }

    /// Takes a doubt back: what was refused was not the key's fault.
    pub fn trust(&mut self, index: KeyIndex) {
        let key = &mut self.keys[index.0];
        if key.state == KeyState::Doubted {
            key.heal();
        }
    }

    /// Notes that the doubt about a key comes from connections that are no longer used: they may
    /// have been the cause, so it is not held against the key. Until it brings an answer it gets
    /// one request at a time.
    pub fn excuse(&mut self, index: KeyIndex) {
        self.keys[index.0].excused = true;
    }

    /// Notes that a key was refused for a job that another key got an answer for. A key that has
    /// brought answers itself is set aside at the third such job, another at the first, an excused
    /// one not at all. Returns whether it is out of the ring now.
    pub fn strike(&mut self, index: KeyIndex, job: JobId, until: Timestamp) -> bool {
        let key = &mut self.keys[index.0];
        if key.state != KeyState::Doubted {
            return false;
        }
        if key.excused {
            key.heal();
            return false;
        }
        key.strikes.insert(job);
        if key.served > 0 && key.strikes.len() < MAX_STRIKES {
            key.heal();
            return false;
        }
        key.state = KeyState::Quarantined { until };
        true
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const WHY: Cause<'_> = Cause {
        reason: "refused",
        model_only: false,
    };

    fn ring(states: Vec<KeyState>) -> KeyRing {
        let key = |state| Key {
            state,
            ..Key::new(String::new(), String::new())
        };
        KeyRing::new(states.into_iter().map(key).collect(), NOW)
    }

    fn later(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn the_least_busy_key_comes_first() {
        let mut ring = ring(vec![KeyState::Healthy, KeyState::Healthy]);
        ring.answered(KeyIndex(0));
        ring.sent(KeyIndex(0));
        assert_eq!(ring.pick(NOW, |_| true), Some(KeyIndex(1)));
        assert_eq!(
            ring.pick(NOW, |index| index != KeyIndex(1)),
            Some(KeyIndex(0))
        );
    }

    #[test]
    fn a_throttled_key_comes_back_with_one_request_at_a_time() {
        let mut ring = ring(vec![KeyState::Healthy]);
        ring.throttled(KeyIndex(0), later(5), false, WHY);
        assert_eq!(ring.ready(KeyIndex(0), NOW), Ready::At(later(5)));
        assert_eq!(ring.ready(KeyIndex(0), later(5)), Ready::Now);
        ring.sent(KeyIndex(0));
        assert_eq!(ring.ready(KeyIndex(0), later(6)), Ready::AfterFlight);
        ring.came_back(KeyIndex(0));
        ring.answered(KeyIndex(0));
        ring.rested(KeyIndex(0), later(6));
        ring.sent(KeyIndex(0));
        assert_eq!(ring.ready(KeyIndex(0), later(6)), Ready::Now);
    }

    #[test]
    fn a_longer_rest_is_not_shortened_by_a_later_hint() {
        let mut ring = ring(vec![KeyState::Healthy]);
        ring.throttled(KeyIndex(0), later(60), false, WHY);
        ring.throttled(KeyIndex(0), later(1), false, WHY);
        assert_eq!(ring.ready(KeyIndex(0), NOW), Ready::At(later(60)));
    }

    #[test]
    fn a_doubted_key_is_used_only_when_no_healthy_one_is_there() {
        let mut ring = ring(vec![KeyState::Healthy, KeyState::Healthy]);
        ring.set_aside(KeyIndex(0), SetAside::Doubted, later(60), WHY);
        assert_eq!(ring.pick(NOW, |_| true), Some(KeyIndex(1)));
        ring.set_aside(KeyIndex(1), SetAside::Dead, later(60), WHY);
        assert_eq!(ring.pick(NOW, |_| true), Some(KeyIndex(0)));
    }

    #[test]
    fn a_doubted_key_takes_a_job_that_no_better_one_may_take() {
        let mut ring = ring(vec![KeyState::Healthy, KeyState::Healthy]);
        ring.set_aside(KeyIndex(0), SetAside::Doubted, later(60), WHY);
        assert_eq!(ring.pick_doubted(NOW, |_| true), None);
        let not_the_better = |index| index != KeyIndex(1);
        assert_eq!(ring.pick(NOW, not_the_better), None);
        assert_eq!(ring.pick_doubted(NOW, not_the_better), Some(KeyIndex(0)));
        ring.sent(KeyIndex(0));
        assert_eq!(ring.pick_doubted(NOW, not_the_better), None);
    }

    #[test]
    fn a_key_that_served_is_quarantined_and_not_called_dead() {
        let mut ring = ring(vec![KeyState::Healthy]);
        ring.answered(KeyIndex(0));
        assert_eq!(
            ring.set_aside(KeyIndex(0), SetAside::Dead, later(60), WHY),
            [KeyIndex(0)]
        );
        assert_eq!(
            ring.key(KeyIndex(0)).state,
            KeyState::Quarantined { until: later(60) }
        );
    }

    #[test]
    fn a_key_that_served_is_out_at_the_third_strike_another_at_the_first() {
        let mut ring = ring(vec![KeyState::Healthy, KeyState::Healthy]);
        ring.answered(KeyIndex(0));
        for job in 1..=3 {
            ring.set_aside(KeyIndex(0), SetAside::Doubted, later(60), WHY);
            assert_eq!(ring.strike(KeyIndex(0), JobId(job), later(60)), job == 3);
        }
        ring.set_aside(KeyIndex(1), SetAside::Doubted, later(60), WHY);
        assert!(ring.strike(KeyIndex(1), JobId(1), later(60)));
    }

    #[test]
    fn a_key_that_was_refused_over_old_connections_is_not_struck() {
        let mut ring = ring(vec![KeyState::Healthy]);
        ring.set_aside(KeyIndex(0), SetAside::Doubted, later(60), WHY);
        ring.excuse(KeyIndex(0));
        assert!(!ring.strike(KeyIndex(0), JobId(1), later(60)));
        ring.set_aside(KeyIndex(0), SetAside::Doubted, later(60), WHY);
        assert!(ring.strike(KeyIndex(0), JobId(2), later(60)));
    }

    #[test]
    fn when_every_key_rests_at_the_start_they_may_be_probed_but_dead_ones_not() {
        let resting = KeyState::Quarantined { until: later(600) };
        let mut lone = ring(vec![KeyState::Dead, resting.clone()]);
        assert_eq!(lone.pick(NOW, |_| true), Some(KeyIndex(1)));
        lone.sent(KeyIndex(1));
        assert_eq!(lone.first_ready(NOW, |_| true), Ready::AfterFlight);
        let with_healthy = ring(vec![KeyState::Healthy, resting]);
        assert_eq!(with_healthy.pick(NOW, |_| true), Some(KeyIndex(0)));
        assert_eq!(
            ring(vec![KeyState::Dead]).first_ready(NOW, |_| true),
            Ready::Never
        );
    }

    #[test]
    fn keys_of_a_group_rest_and_run_dry_together() {
        let mut ring = ring(vec![
            KeyState::Healthy,
            KeyState::Healthy,
            KeyState::Healthy,
        ]);
        for shared in [0, 1] {
            ring.keys[shared].group = Some("account".to_owned());
        }
        ring.throttled(KeyIndex(0), later(5), false, WHY);
        assert_eq!(ring.ready(KeyIndex(1), NOW), Ready::At(later(5)));
        assert_eq!(ring.ready(KeyIndex(2), NOW), Ready::Now);
        let out = ring.set_aside(KeyIndex(1), SetAside::Exhausted, later(60), WHY);
        assert_eq!(out, [KeyIndex(0), KeyIndex(1)]);
        assert_eq!(ring.pick(NOW, |_| true), Some(KeyIndex(2)));
    }

    #[test]
    fn a_key_gets_one_request_until_its_first_answer() {
        let mut ring = ring(vec![KeyState::Healthy, KeyState::Healthy]);
        ring.answered(KeyIndex(0));
        ring.sent(KeyIndex(1));
        assert_eq!(ring.ready(KeyIndex(1), NOW), Ready::AfterFlight);
        assert_eq!(ring.ready(KeyIndex(0), NOW), Ready::Now);
        ring.came_back(KeyIndex(1));
        ring.answered(KeyIndex(1));
        ring.sent(KeyIndex(1));
        assert_eq!(ring.ready(KeyIndex(1), NOW), Ready::Now);
    }

    #[test]
    fn a_throttled_key_whose_pace_is_known_goes_on_at_the_end_of_its_rest() {
        let mut ring = ring(vec![KeyState::Healthy]);
        ring.answered(KeyIndex(0));
        ring.throttled(KeyIndex(0), later(5), true, WHY);
        ring.sent(KeyIndex(0));
        assert_eq!(ring.ready(KeyIndex(0), NOW), Ready::At(later(5)));
        assert_eq!(ring.ready(KeyIndex(0), later(5)), Ready::Now);
    }

    #[test]
    fn a_heavier_key_gets_more() {
        let mut ring = ring(vec![KeyState::Healthy, KeyState::Healthy]);
        ring.keys[1].weight = NonZeroU32::new(3).unwrap();
        ring.answered(KeyIndex(0));
        ring.answered(KeyIndex(1));
        let mut sent = [0, 0];
        for _ in 0..40 {
            let index = ring.pick(NOW, |_| true).unwrap();
            ring.sent(index);
            sent[index.0] += 1;
        }
        assert_eq!(sent, [10, 30]);
    }
}
