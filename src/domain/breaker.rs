//! The circuit breaker: an endpoint that is down is left alone, and tried now and then.
//!
//! While it is open, one probe at a time is sent, and failures are the endpoint's fault: they use
//! up no job's attempts.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::Timestamp;

/// How many of the last attempts are looked at.
const WINDOW: usize = 20;
/// Fewer attempts than this prove nothing.
const MIN_SEEN: usize = 10;
/// The first pause; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// The breaker of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    /// Whether each of the last attempts met a fault that passes, the oldest first.
    window: VecDeque<bool>,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    probe_at: Timestamp,
    pause: Duration,
}

impl Breaker {
    /// Tells whether the endpoint counts as down.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns since when the endpoint counts as down.
    #[must_use]
    pub fn open_since(&self) -> Option<Timestamp> {
        self.open.map(|open| open.since)
    }

    /// Returns when the next probe may be sent; `None` while the endpoint is up.
    #[must_use]
    pub fn probe_at(&self) -> Option<Timestamp> {
        self.open.map(|open| open.probe_at)
    }

    /// Notes any response that shows that the endpoint is up. Returns whether it had been down.
    pub fn reached(&mut self) -> bool {
        self.push(false);
        let was_open = self.open.take().is_some();
        if was_open {
            self.window.clear();
        }
        was_open
    }

    /// Notes an attempt that met a fault that passes. Returns whether this opened the breaker.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.push(true);
        if let Some(open) = &mut self.open {
            // Those that were in flight when it opened come back together: one step for all.
            if now >= open.probe_at {
                open.pause = (open.pause * 2).min(MAX_PAUSE);
                open.probe_at = now + open.pause;
            }
            return false;
        }
        let faults = self.window.iter().filter(|fault| **fault).count();
        let down = self.window.len() >= MIN_SEEN && faults * 5 >= self.window.len() * 4;
        if down {
            let (since, probe_at, pause) = (now, now + FIRST_PAUSE, FIRST_PAUSE);
            self.open = Some(Open {
                since,
                probe_at,
                pause,
            });
        }
        down
    }

    fn push(&mut self, fault: bool) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn it_opens_when_four_fifths_of_ten_fail_and_closes_with_the_first_answer() {
        let mut breaker = Breaker::default();
        breaker.reached();
        breaker.reached();
        let opened: Vec<bool> = (0..8).map(|_| breaker.failed(at(0))).collect();
        assert_eq!(opened.iter().position(|open| *open), Some(7));
        assert_eq!(breaker.probe_at(), Some(at(1)));
        assert!(breaker.reached());
        assert!(!breaker.is_open());
        assert!(!breaker.failed(at(9)));
    }

    #[test]
    fn the_pause_doubles_with_each_failed_probe_up_to_its_cap() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(at(0));
        }
        // A straggler from before changes nothing.
        breaker.failed(at(0));
        assert_eq!(breaker.probe_at(), Some(at(1)));
        let mut now = at(1);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            breaker.failed(now);
            let next = breaker.probe_at().unwrap();
            pauses.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }
}
