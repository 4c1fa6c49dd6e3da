//! Timestamps, as stored in the database.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A Unix time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates a timestamp from milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the time elapsed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_millis(millis.unsigned_abs())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Adds a duration, rounded up to a whole millisecond so that a wait is never too short.
    fn add(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(
            self.0
                .saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_round_up_and_saturate() {
        let at = Timestamp::from_millis(5);
        assert_eq!((at + Duration::from_micros(1)).as_millis(), 6);
        assert_eq!((at + Duration::MAX).as_millis(), i64::MAX);
        assert_eq!(at.since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
