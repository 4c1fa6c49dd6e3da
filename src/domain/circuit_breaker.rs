//! Circuit breaker: stops sending to an endpoint that is down, except for occasional probes.
//!
//! While it is open, one probe at a time is sent, and failures do not count against the attempts of
//! a job.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::Timestamp;

/// Number of recent attempts considered.
const WINDOW: usize = 20;
/// Minimum number of attempts before the breaker can open.
const MIN_ATTEMPTS: usize = 10;
/// First interval between probes; it doubles with every failed probe.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval between probes.
const MAX_INTERVAL: Duration = Duration::from_mins(1);

/// The circuit breaker of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct CircuitBreaker {
    /// Whether each recent attempt failed with a temporary error, oldest first.
    window: VecDeque<bool>,
    open: Option<OpenState>,
}

#[derive(Clone, Copy, Debug)]
struct OpenState {
    since: Timestamp,
    probe_at: Timestamp,
    interval: Duration,
}

impl CircuitBreaker {
    /// Returns whether the breaker is open: the endpoint is considered down.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns when the breaker opened; `None` while it is closed.
    #[must_use]
    pub fn open_since(&self) -> Option<Timestamp> {
        self.open.map(|open| open.since)
    }

    /// Returns when the next probe can be sent; `None` while the breaker is closed.
    #[must_use]
    pub fn probe_at(&self) -> Option<Timestamp> {
        self.open.map(|open| open.probe_at)
    }

    /// Records a response that shows that the endpoint is up. Returns whether this closed the
    /// breaker.
    pub fn record_success(&mut self) -> bool {
        self.push(false);
        let was_open = self.open.take().is_some();
        if was_open {
            self.window.clear();
        }
        was_open
    }

    /// Records a temporary failure. Returns whether this opened the breaker.
    pub fn record_failure(&mut self, now: Timestamp) -> bool {
        self.push(true);
        if let Some(open) = &mut self.open {
            // Requests that were in flight fail together: the interval doubles only once.
            if now >= open.probe_at {
                open.interval = (open.interval * 2).min(MAX_INTERVAL);
                open.probe_at = now + open.interval;
            }
            return false;
        }
        let failures = self.window.iter().filter(|failed| **failed).count();
        let down = self.window.len() >= MIN_ATTEMPTS && failures * 5 >= self.window.len() * 4;
        if down {
            let (since, probe_at, interval) = (now, now + FIRST_INTERVAL, FIRST_INTERVAL);
            self.open = Some(OpenState {
                since,
                probe_at,
                interval,
            });
        }
        down
    }

    fn push(&mut self, failed: bool) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn opens_when_eight_of_ten_attempts_fail_and_closes_on_the_first_success() {
        let mut breaker = CircuitBreaker::default();
        breaker.record_success();
        breaker.record_success();
        let opened: Vec<bool> = (0..8).map(|_| breaker.record_failure(at(0))).collect();
        assert_eq!(opened.iter().position(|open| *open), Some(7));
        assert_eq!(breaker.probe_at(), Some(at(1)));
        assert!(breaker.record_success());
        assert!(!breaker.is_open());
        assert!(!breaker.record_failure(at(9)));
    }

    #[test]
    fn the_interval_doubles_with_each_failed_probe_up_to_its_maximum() {
        let mut breaker = CircuitBreaker::default();
        for _ in 0..10 {
            breaker.record_failure(at(0));
        }
        // A late failure of a request sent earlier changes nothing.
        breaker.record_failure(at(0));
        assert_eq!(breaker.probe_at(), Some(at(1)));
        let mut now = at(1);
        let mut intervals = Vec::new();
        for _ in 0..7 {
            breaker.record_failure(now);
            let next = breaker.probe_at().unwrap();
            intervals.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(intervals, [2, 4, 8, 16, 32, 60, 60]);
    }
}
