//! The only module that reads the clock.
//!
//! The wall clock is read once at the start. After that, time advances with the monotonic clock, so
//! that adjustments of the system clock do not move deadlines, and tests can pause time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// A clock that never goes backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts a clock at the system time.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that reads the system time"
    )]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let millis = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        Self::starting_at(Timestamp::from_millis(millis))
    }

    /// Starts a clock at a given time.
    #[must_use]
    pub fn starting_at(started_at: Timestamp) -> Self {
        Self {
            started_at,
            started: Instant::now(),
        }
    }

    /// Returns the current time.
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

    /// Converts a timestamp to an instant for tokio timers; a past one becomes the present.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        let ahead = at.since(self.now());
        // Limited to 30 years, which cannot overflow.
        Instant::now() + ahead.min(Duration::from_hours(24 * 365 * 30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_is_ignored_after_the_start() {
        let clock = Clock::start();
        let start = clock.now();
        // This advances the clock of tokio but not that of the system.
        tokio::time::advance(Duration::from_hours(2)).await;
        assert_eq!(clock.now().since(start), Duration::from_hours(2));
        let past = Timestamp::from_millis(start.as_millis() - 7_200_000);
        assert_eq!(
            clock.instant(past),
            Instant::now(),
            "a past time is due now"
        );
    }
}
