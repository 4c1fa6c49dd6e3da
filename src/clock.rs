//! The one place that reads the clock.
//!
//! The wall clock is read once; from there on time advances with the monotonic clock, so that a
//! clock that is set while a run lasts moves no deadline, and tests can hold time still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// A clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts a clock at the system's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        Self {
            started_at: Timestamp::from_millis(millis),
            started: Instant::now(),
        }
    }

    /// Returns the present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.started_at.as_millis().saturating_add(elapsed))
    }

    /// Returns when the clock was started.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Returns the time since the clock was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the instant of a moment, for tokio's timers; a moment that is past is now.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        let ahead = at.since(self.now());
        // Thirty years ahead is never, and does not overflow.
        Instant::now() + ahead.min(Duration::from_hours(24 * 365 * 30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_its_start_the_systems_clock_has_no_say() {
        let clock = Clock::start();
        let begun = clock.now();
        // Here time passes as tokio is told, while the system's clock goes its own way.
        tokio::time::advance(Duration::from_hours(2)).await;
        assert_eq!(clock.now().since(begun), Duration::from_hours(2));
        let past = Timestamp::from_millis(begun.as_millis() - 7_200_000);
        assert_eq!(clock.instant(past), Instant::now(), "no wait is negative");
    }
}
