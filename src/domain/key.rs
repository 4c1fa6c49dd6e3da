//! An API key of a run: its state and the reason for it.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::job::JobId;
use super::time::Timestamp;

/// Returns the name of a key for use in a sentence: `key work`, but `key-1` rather than
/// `key key-1`.
#[must_use]
pub fn display_name(label: &str) -> String {
    if label.to_lowercase().starts_with("key") {
        label.to_owned()
    } else {
        format!("key {label}")
    }
}

/// Returns the text that describes a stored state to users; other words are returned unchanged.
#[must_use]
pub fn state_text(name: &str) -> &str {
    match name {
        "cooling" => "rate limited",
        "quarantined" | "dead" => "disabled",
        "exhausted" => "out of quota",
        other => other,
    }
}

/// The state of a key, as shown to users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The key's label.
    pub label: String,
    /// Name of the state.
    pub state: String,
    /// When the key is enabled again; `None` if the state has no end.
    pub until: Option<Timestamp>,
    /// The provider's message, redacted.
    pub reason: String,
}

/// State of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyState {
    /// Usable.
    #[default]
    Healthy,
    /// Throttled by a rate limit or a quota.
    Cooling {
        /// End of the cooldown.
        until: Timestamp,
    },
    /// Rejected for an unknown reason; the key may not be the cause. Used for other jobs only when
    /// no healthy key is available, one request at a time. This state is not stored.
    Probation,
    /// Rejected for a cause that may be temporary.
    Quarantined {
        /// When a single request probes the key again.
        until: Timestamp,
    },
    /// Its account has run out of credit or quota.
    Exhausted {
        /// When a single request probes the key again.
        until: Timestamp,
    },
    /// Definitely invalid.
    Dead,
}

impl KeyState {
    /// Returns the name of the state, as stored and in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Healthy | Self::Probation => "healthy",
            Self::Cooling { .. } => "cooling",
            Self::Quarantined { .. } => "quarantined",
            Self::Exhausted { .. } => "exhausted",
            Self::Dead => "dead",
        }
    }

    /// Returns when the state ends on its own.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match *self {
            Self::Cooling { until } | Self::Quarantined { until } | Self::Exhausted { until } => {
                Some(until)
            }
            Self::Healthy | Self::Probation | Self::Dead => None,
        }
    }

    /// Describes why a key cannot be used, as in `key-1 is disabled`.
    #[must_use]
    pub fn unusable_text(&self) -> &'static str {
        match self {
            Self::Healthy | Self::Probation => "rejected",
            state => state_text(state.name()),
        }
    }

    /// Restores a state from its stored name and end. An unknown name yields a healthy key.
    #[must_use]
    pub fn from_parts(name: &str, until: Option<Timestamp>) -> Self {
        match (name, until) {
            ("cooling", Some(until)) => Self::Cooling { until },
            ("quarantined", Some(until)) => Self::Quarantined { until },
            ("exhausted", Some(until)) => Self::Exhausted { until },
            ("dead", _) => Self::Dead,
            _ => Self::Healthy,
        }
    }

    /// Returns whether the key is disabled at `now`, so that it cannot provide evidence about a
    /// job.
    #[must_use]
    pub fn is_disabled_at(&self, now: Timestamp) -> bool {
        match *self {
            Self::Quarantined { until } | Self::Exhausted { until } => until > now,
            Self::Dead => true,
            Self::Healthy | Self::Probation | Self::Cooling { .. } => false,
        }
    }
}

/// When a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Now.
    Now,
    /// Not before this time.
    At(Timestamp),
    /// After a request in flight has finished.
    AfterInFlight,
    /// Not in this run.
    Never,
}

/// A key of the ring, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name of the key in messages.
    pub label: String,
    /// Salted fingerprint of the key.
    pub fingerprint: String,
    /// Group of keys that share one account or limit.
    pub group: Option<String>,
    /// Number of requests it receives for each request of a key with weight 1.
    pub weight: NonZeroU32,
    /// Its state.
    pub state: KeyState,
    /// Whether the state applies only to the model of the run.
    pub model_only: bool,
    /// Reason for the state: the provider's message, redacted; empty for a healthy key.
    pub reason: String,
    /// Completions it has returned in this run.
    pub served: u64,
    /// Consecutive throttled requests.
    pub throttles: u32,
    /// Whether its rate limit is known, so that it needs no probe request after a cooldown.
    pub(super) rate_known: bool,
    /// Requests in flight.
    pub(super) in_flight: u32,
    /// Its rejections since its last completion.
    pub(super) rejections: Rejections,
}

/// Rejections of a key since its last completion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rejections {
    /// Whether the last one may have been caused by connections that have since been replaced.
    pub(super) excused: bool,
    /// Jobs that the key was rejected for and another key completed.
    pub(super) strikes: BTreeSet<JobId>,
}

impl Key {
    /// Creates a healthy key of weight 1 without a group.
    #[must_use]
    pub fn new(label: String, fingerprint: String) -> Self {
        Self {
            label,
            fingerprint,
            group: None,
            weight: NonZeroU32::MIN,
            state: KeyState::Healthy,
            model_only: false,
            reason: String::new(),
            served: 0,
            throttles: 0,
            rate_known: false,
            in_flight: 0,
            rejections: Rejections::default(),
        }
    }

    /// Returns the number of requests in flight relative to the weight.
    pub(super) fn load(&self) -> u64 {
        // Scaled to preserve precision in the integer division.
        u64::from(self.in_flight) * 1_000_000 / u64::from(self.weight.get())
    }

    pub(super) fn is_disabled(&self) -> bool {
        matches!(
            self.state,
            KeyState::Dead | KeyState::Quarantined { .. } | KeyState::Exhausted { .. }
        )
    }

    pub(super) fn mark_healthy(&mut self) {
        self.state = KeyState::Healthy;
        self.model_only = false;
        self.reason.clear();
    }
}

/// Why a key is throttled or disabled.
#[derive(Clone, Copy, Debug)]
pub struct StateReason<'a> {
    /// Message of the provider, redacted.
    pub message: &'a str,
    /// Whether it applies only to the model of the run.
    pub model_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_described_by_the_same_words_everywhere() {
        let until = Timestamp::default();
        let exhausted = KeyState::Exhausted { until };
        for (state, name, unusable) in [
            (KeyState::Healthy, "healthy", "rejected"),
            (KeyState::Cooling { until }, "rate limited", "rate limited"),
            (KeyState::Quarantined { until }, "disabled", "disabled"),
            (exhausted, "out of quota", "out of quota"),
            (KeyState::Dead, "disabled", "disabled"),
        ] {
            assert_eq!(state_text(state.name()), name);
            assert_eq!(state.unusable_text(), unusable);
        }
    }

    #[test]
    fn a_display_name_contains_the_word_key_once() {
        for (label, expected) in [("key-1", "key-1"), ("Key 2", "Key 2"), ("work", "key work")] {
            assert_eq!(display_name(label), expected);
        }
    }
}
