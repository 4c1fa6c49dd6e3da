//! The keys: one ring per model, since a key can be rejected for one model only, and one rate
//! limiter for all models, since limits belong to accounts.

use crate::domain::key::{Key, StateReason};
use crate::domain::keyring::{KeyIndex, KeyRing};
use crate::domain::time::Timestamp;
use crate::domain::verdict::KeyPenalty;

use super::rate_limit::{KeyQuota, Permit, RateLimiter};

/// The index of the ring of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingIndex(usize);

/// The keys that serve a model.
#[derive(Debug)]
struct ModelKeys {
    model: String,
    ring: KeyRing,
    /// Whether their states have changed since they were last saved.
    changed: bool,
}

/// All keys with their states and limits.
#[derive(Debug)]
pub(super) struct Keys {
    models: Vec<ModelKeys>,
    pub(super) limiter: RateLimiter,
}

impl Keys {
    pub(super) fn new(quotas: &[KeyQuota], now: Timestamp) -> Self {
        Self {
            models: Vec::new(),
            limiter: RateLimiter::new(quotas, now),
        }
    }

    /// Returns the ring of a model. If it is new, it consists of `keys`.
    pub(super) fn open(
        &mut self,
        model: &str,
        keys: Vec<(KeyIndex, Key)>,
        now: Timestamp,
    ) -> RingIndex {
        let known = self.models.iter().position(|known| known.model == model);
        if let Some(index) = known {
            return RingIndex(index);
        }
        let indices: Vec<_> = keys.iter().map(|(index, _)| *index).collect();
        self.models.push(ModelKeys {
            model: model.to_owned(),
            ring: KeyRing::new(keys, now),
            changed: false,
        });
        let new = RingIndex(self.models.len() - 1);
        for other in 0..new.0 {
            for index in &indices {
                self.copy_state(RingIndex(other), new, *index);
            }
        }
        new
    }

    /// Returns the keys that serve a model.
    pub(super) fn ring(&self, ring: RingIndex) -> &KeyRing {
        &self.models[ring.0].ring
    }

    /// Returns the keys that serve a model. Changes that concern other models too are made with the
    /// methods of this type.
    pub(super) fn ring_mut(&mut self, ring: RingIndex) -> &mut KeyRing {
        &mut self.models[ring.0].ring
    }

    /// Records that the states of the keys of a model must be saved.
    pub(super) fn mark_changed(&mut self, ring: RingIndex) {
        self.models[ring.0].changed = true;
    }

    /// Returns the model of a ring and its keys, to be saved.
    pub(super) fn take(&mut self, ring: RingIndex) -> (String, Vec<Key>) {
        let model = &mut self.models[ring.0];
        model.changed = false;
        (model.model.clone(), model.ring.keys().to_vec())
    }

    /// Returns the models whose keys must be saved, with the keys.
    pub(super) fn take_changed(&mut self) -> Vec<(String, Vec<Key>)> {
        let rings = (0..self.models.len()).filter(|ring| self.models[*ring].changed);
        let changed: Vec<_> = rings.map(RingIndex).collect();
        changed.into_iter().map(|ring| self.take(ring)).collect()
    }

    /// Throttles a key for all models, or for one if the reason says so.
    pub(super) fn throttle(
        &mut self,
        ring: RingIndex,
        key: KeyIndex,
        (until, rate_known): (Timestamp, bool),
        reason: StateReason<'_>,
    ) {
        self.ring_mut(ring).throttle(key, until, rate_known, reason);
        self.share_group(ring, key);
    }

    /// Applies a penalty for all models, or for one if the reason says so. Returns the keys that
    /// this has disabled.
    pub(super) fn penalize(
        &mut self,
        ring: RingIndex,
        key: KeyIndex,
        (penalty, until): (KeyPenalty, Timestamp),
        reason: StateReason<'_>,
    ) -> Vec<KeyIndex> {
        let disabled = self.ring_mut(ring).penalize(key, penalty, until, reason);
        self.share_group(ring, key);
        disabled
    }

    /// Records a completion. Returns whether this re-enabled the key.
    pub(super) fn record_success(
        &mut self,
        ring: RingIndex,
        key: KeyIndex,
        now: Timestamp,
    ) -> bool {
        let keys = self.ring_mut(ring);
        keys.end_cooldown(key, now);
        let enabled = keys.record_success(key);
        for other in (0..self.models.len()).filter(|other| *other != ring.0) {
            self.models[other].ring.adopt_success(key, now);
        }
        enabled
    }

    /// Resets the state of a key for all models. Returns its label if it was throttled or disabled.
    pub(super) fn reset(&mut self, key: KeyIndex) -> Option<String> {
        let mut label = None;
        for model in &mut self.models {
            if model.ring.reset(key) {
                label = Some(model.ring.key(key).label.clone());
            }
        }
        label
    }

    /// Acquires a permit for a key, if one is available now.
    pub(super) fn acquire(
        &mut self,
        ring: RingIndex,
        key: KeyIndex,
        now: Timestamp,
    ) -> Option<Permit> {
        let permit = self.limiter.try_acquire(key, now)?;
        self.ring_mut(ring).begin_request(key);
        Some(permit)
    }

    /// Returns an unused permit.
    pub(super) fn refund(&mut self, ring: RingIndex, permit: Permit, now: Timestamp) {
        self.ring_mut(ring).end_request(permit.key);
        self.limiter.refund(permit, now);
    }

    /// Records that a request has finished.
    pub(super) fn request_finished(&mut self, ring: RingIndex, key: KeyIndex) {
        self.ring_mut(ring).end_request(key);
        self.limiter.request_finished(key);
    }

    fn share_group(&mut self, from: RingIndex, key: KeyIndex) {
        if self.models.len() == 1 {
            return;
        }
        for member in self.ring(from).members(key) {
            for other in (0..self.models.len()).filter(|other| *other != from.0) {
                self.copy_state(from, RingIndex(other), member);
            }
        }
    }

    fn copy_state(&mut self, from: RingIndex, to: RingIndex, key: KeyIndex) {
        if let Some(state) = self.ring(from).find(key).cloned() {
            self.ring_mut(to).adopt_state(key, &state);
        }
    }
}
