//! A token bucket (GCRA) in whole nanoseconds, so that no rounding error makes a reported wait too
//! short. The current time is an argument.

use std::time::Duration;

/// Nanoseconds in a minute.
const MINUTE: u64 = 60_000_000_000;

/// A token bucket, stored as the time at which it is full again.
#[derive(Debug)]
pub(super) struct TokenBucket {
    allowed: u32,
    burst: u32,
    /// Nanoseconds until one unit is replenished.
    unit: u64,
    /// When the bucket is full again, in nanoseconds since the start.
    full_at: u64,
}

/// A limit and its remaining units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RemainingLimit {
    pub(super) allowed: u32,
    pub(super) remaining: u32,
    /// How long until all units are available.
    pub(super) reset: Duration,
}

impl TokenBucket {
    /// Creates a full bucket of `burst` units, replenished at `allowed` units per minute. For both,
    /// 0 counts as 1.
    pub(super) fn new(allowed: u32, burst: u32) -> Self {
        let allowed = allowed.max(1);
        Self {
            allowed,
            burst: burst.max(1),
            unit: MINUTE / u64::from(allowed),
            full_at: 0,
        }
    }

    /// Returns the number of units per minute.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Returns the number of units in use.
    pub(super) fn used(&self, now: u64) -> u32 {
        self.burst - self.remaining(now)
    }

    /// Returns how long until `count` units are available; `None` if never.
    pub(super) fn wait(&self, count: u32, now: u64) -> Option<Duration> {
        let surplus = self.burst.checked_sub(count)?;
        let ready = self.full_at.saturating_sub(self.cost(surplus));
        Some(Duration::from_nanos(ready.saturating_sub(now)))
    }

    /// Takes `count` units, which must be available.
    pub(super) fn take(&mut self, count: u32, now: u64) {
        self.full_at = self.full_at.max(now).saturating_add(self.cost(count));
    }

    /// Returns the limit with its remaining units.
    pub(super) fn limit(&self, now: u64) -> RemainingLimit {
        RemainingLimit {
            allowed: self.allowed,
            remaining: self.remaining(now),
            reset: Duration::from_nanos(self.full_at.saturating_sub(now)),
        }
    }

    /// Returns the nanoseconds until `count` units are replenished.
    fn cost(&self, count: u32) -> u64 {
        self.unit.saturating_mul(u64::from(count))
    }

    fn remaining(&self, now: u64) -> u32 {
        let used = self.full_at.saturating_sub(now).div_ceil(self.unit);
        self.burst - u32::try_from(used).unwrap_or(u32::MAX).min(self.burst)
    }
}
