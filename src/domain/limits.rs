//! Rate limits configured for a key or a group of keys.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::time_zone::TimeZone;

/// The limits of a key, or of a group of keys that share an account. `None` means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyLimits {
    /// Requests per minute.
    pub rpm: Option<NonZeroU32>,
    /// Prompt and completion tokens per minute.
    pub tpm: Option<NonZeroU32>,
    /// Requests per day.
    pub rpd: Option<NonZeroU32>,
    /// Requests in flight.
    #[serde(rename = "concurrency")]
    pub in_flight: Option<NonZeroU32>,
    /// The time zone in which the day of `rpd` begins; UTC by default.
    pub zone: TimeZone,
}

impl KeyLimits {
    /// Returns these limits, with unset ones taken from `others`.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        let zone_is_set = self.zone != TimeZone::default();
        Self {
            rpm: self.rpm.or(others.rpm),
            tpm: self.tpm.or(others.tpm),
            rpd: self.rpd.or(others.rpd),
            in_flight: self.in_flight.or(others.in_flight),
            zone: if zone_is_set {
                self.zone
            } else {
                others.zone.clone()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_limits_are_taken_from_the_others() {
        let rpm = |n| KeyLimits {
            rpm: NonZeroU32::new(n),
            ..KeyLimits::default()
        };
        let others = KeyLimits {
            tpm: NonZeroU32::new(9),
            ..rpm(7)
        };
        let merged = rpm(5).or(&others);
        assert_eq!([merged.rpm, merged.tpm], [5, 9].map(NonZeroU32::new));
    }
}
