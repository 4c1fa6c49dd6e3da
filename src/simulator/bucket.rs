//! A token bucket, kept as one moment in whole nanoseconds (GCRA), so that a wait that was told is
//! never too short by a rounding error. The moment `now` is an argument.

use std::time::Duration;

/// Nanoseconds in a minute.
const MINUTE: u64 = 60_000_000_000;

/// A token bucket, kept as the moment at which it is full again.
#[derive(Debug)]
pub(super) struct Bucket {
    allowed: u32,
    burst: u32,
    /// Nanoseconds for one unit to come back.
    unit: u64,
    /// When the bucket is full, in nanoseconds since the start.
    full_at: u64,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) allowed: u32,
    pub(super) remaining: u32,
    /// How long until all of it is back.
    pub(super) reset: Duration,
}

impl Bucket {
    /// Makes a full bucket of `burst` units, of which `allowed` come back in a minute; each is at
    /// least 1.
    pub(super) fn new(allowed: u32, burst: u32) -> Self {
        let allowed = allowed.max(1);
        Self {
            allowed,
            burst: burst.max(1),
            unit: MINUTE / u64::from(allowed),
            full_at: 0,
        }
    }

    /// Returns how many units come back in a minute.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Returns how many units are in use.
    pub(super) fn used(&self, now: u64) -> u32 {
        self.burst - self.remaining(now)
    }

    /// Returns how long until `count` units are there; `None` when they never can be.
    pub(super) fn wait(&self, count: u32, now: u64) -> Option<Duration> {
        let room = self.burst.checked_sub(count)?;
        let ready = self.full_at.saturating_sub(self.cost(room));
        Some(Duration::from_nanos(ready.saturating_sub(now)))
    }

    /// Takes `count` units, which must be there.
    pub(super) fn take(&mut self, count: u32, now: u64) {
        self.full_at = self.full_at.max(now).saturating_add(self.cost(count));
    }

    /// Returns what is left.
    pub(super) fn level(&self, now: u64) -> Level {
        Level {
            allowed: self.allowed,
            remaining: self.remaining(now),
            reset: Duration::from_nanos(self.full_at.saturating_sub(now)),
        }
    }

    /// Returns the nanoseconds for `count` units to come back.
    fn cost(&self, count: u32) -> u64 {
        self.unit.saturating_mul(u64::from(count))
    }

    fn remaining(&self, now: u64) -> u32 {
        let used = self.full_at.saturating_sub(now).div_ceil(self.unit);
        self.burst - u32::try_from(used).unwrap_or(u32::MAX).min(self.burst)
    }
}
