//! One key of the ring: where it stands, and why.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::job::JobId;
use super::time::Timestamp;

/// Returns what a key is called in a sentence: `key work`, but not `key key-1`.
#[must_use]
pub fn titled(label: &str) -> String {
    if label.to_lowercase().starts_with("key") {
        label.to_owned()
    } else {
        format!("key {label}")
    }
}

/// Where a key stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyState {
    /// May be used.
    #[default]
    Healthy,
    /// Rests for a rate limit or a quota.
    Cooling {
        /// Until then.
        until: Timestamp,
    },
    /// Was refused without anybody knowing why. It is used for other jobs only when no healthy key
    /// is there, one request at a time. Lasts no longer than the run.
    Doubted,
    /// Was refused for a cause that may pass.
    Quarantined {
        /// Then one request tries it again.
        until: Timestamp,
    },
    /// The account behind it has no money or no quota left.
    Exhausted {
        /// Then one request tries it again.
        until: Timestamp,
    },
    /// Is definitely invalid.
    Dead,
}

impl KeyState {
    /// Returns the state's name, as it is stored and shown. A doubt is not kept.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Healthy | Self::Doubted => "healthy",
            Self::Cooling { .. } => "cooling",
            Self::Quarantined { .. } => "quarantined",
            Self::Exhausted { .. } => "exhausted",
            Self::Dead => "dead",
        }
    }

    /// Returns when the state ends by itself.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match *self {
            Self::Cooling { until } | Self::Quarantined { until } | Self::Exhausted { until } => {
                Some(until)
            }
            Self::Healthy | Self::Doubted | Self::Dead => None,
        }
    }

    /// Reads a state back from its name and end. An unknown name is a healthy key.
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

    /// Tells whether the key is out until a moment or for good, so that it can give no evidence.
    #[must_use]
    pub fn is_out(&self, now: Timestamp) -> bool {
        match *self {
            Self::Quarantined { until } | Self::Exhausted { until } => until > now,
            Self::Dead => true,
            Self::Healthy | Self::Doubted | Self::Cooling { .. } => false,
        }
    }
}

/// One key of the ring. Its secret lives elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's name for people.
    pub label: String,
    /// A salted print of the key.
    pub fingerprint: String,
    /// The limit or account that it shares with other keys of the same group.
    pub group: Option<String>,
    /// How many requests it gets for each of a key of weight 1.
    pub weight: NonZeroU32,
    /// Where it stands.
    pub state: KeyState,
    /// Whether the state is about the run's model only.
    pub model_only: bool,
    /// Why, as the provider said it, redacted; empty for a healthy key.
    pub reason: String,
    /// Answers it has brought in this run.
    pub served: u64,
    /// Throttled answers since the last good one.
    pub throttles: u32,
    /// Whether it need not be tried one by one after its rest, because its pace is known.
    pub(super) paced: bool,
    /// Requests in flight.
    pub(super) in_flight: u32,
    /// Whether its last doubt came from connections that are no longer used, with no answer since.
    pub(super) excused: bool,
    /// The jobs that it was refused for and another key was not, since its last answer.
    pub(super) strikes: BTreeSet<JobId>,
}

impl Key {
    /// Makes a healthy key of weight 1, in no group.
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
            paced: false,
            in_flight: 0,
            excused: false,
            strikes: BTreeSet::new(),
        }
    }

    /// How busy it is for its weight.
    pub(super) fn load(&self) -> u64 {
        // Scaled, so that whole numbers tell a third from a half.
        u64::from(self.in_flight) * 1_000_000 / u64::from(self.weight.get())
    }

    pub(super) fn is_set_aside(&self) -> bool {
        matches!(
            self.state,
            KeyState::Dead | KeyState::Quarantined { .. } | KeyState::Exhausted { .. }
        )
    }

    pub(super) fn heal(&mut self) {
        self.state = KeyState::Healthy;
        self.model_only = false;
        self.reason.clear();
    }
}

/// Why a key comes to rest or is set aside.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// What the provider said, redacted.
    pub reason: &'a str,
    /// Whether it is about the run's model only.
    pub model_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_called_a_key_once() {
        for (label, expected) in [("key-1", "key-1"), ("Key 2", "Key 2"), ("work", "key work")] {
            assert_eq!(titled(label), expected);
        }
    }
}
