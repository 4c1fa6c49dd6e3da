//! The retry budget: how many rows may be asked again, so that a sick endpoint is not made sicker
//! and no row uses up its attempts on one bad spell.
//!
//! A retry takes one from the budget, which time and answers refill. What it has not got is lent,
//! and the retry waits until it would have come in. The breaker is for endpoints that are down;
//! this is for those that are half down.

use std::time::Duration;

use super::time::Timestamp;

/// The most retries that are saved up.
const MOST: f64 = 500.0;
/// Retries that come in with each second.
const A_SECOND: f64 = 10.0;
/// Retries that come in with each answer.
const AN_ANSWER: f64 = 0.2;
/// The longest that a retry is put off for the budget.
const LONGEST: Duration = Duration::from_mins(2);

/// The retry budget of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    retries: f64,
    as_of: Timestamp,
}

impl RetryBudget {
    /// Makes a full budget.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            retries: MOST,
            as_of: now,
        }
    }

    /// Notes an answer.
    pub fn answered(&mut self) {
        self.retries = (self.retries + AN_ANSWER).min(MOST);
    }

    /// Takes a retry. Returns how long it has to wait at least; nothing while there are retries
    /// left, at most 2 minutes.
    pub fn take(&mut self, now: Timestamp) -> Duration {
        let come_in = now.since(self.as_of).as_secs_f64() * A_SECOND;
        self.as_of = now.max(self.as_of);
        let least = -LONGEST.as_secs_f64() * A_SECOND;
        self.retries = (self.retries + come_in).min(MOST) - 1.0;
        self.retries = self.retries.max(least);
        Duration::from_secs_f64((-self.retries / A_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    /// Takes so many retries; returns the wait of the last.
    fn take(budget: &mut RetryBudget, count: usize, now: Timestamp) -> Duration {
        let waits = (0..count).map(|_| budget.take(now));
        waits.last().unwrap_or_default()
    }

    #[test]
    fn a_few_retries_wait_for_nothing() {
        let mut budget = RetryBudget::new(at(0));
        assert_eq!(take(&mut budget, 500, at(0)), Duration::ZERO);
    }

    #[test]
    fn more_of_them_are_spread_over_time_and_wait_two_minutes_at_most() {
        let mut budget = RetryBudget::new(at(0));
        assert_eq!(take(&mut budget, 600, at(0)), Duration::from_secs(10));
        assert_eq!(take(&mut budget, 9000, at(0)), Duration::from_mins(2));
        // What was lent is paid back by then.
        assert_eq!(take(&mut budget, 1, at(121)), Duration::ZERO);
    }

    #[test]
    fn time_and_answers_bring_retries() {
        let mut budget = RetryBudget::new(at(0));
        take(&mut budget, 500, at(0));
        assert_eq!(take(&mut budget, 20, at(2)), Duration::ZERO);
        assert!(take(&mut budget, 1, at(2)) > Duration::ZERO);
        for _ in 0..10 {
            budget.answered();
        }
        assert_eq!(take(&mut budget, 1, at(2)), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_put_back_brings_nothing() {
        let mut budget = RetryBudget::new(at(100));
        take(&mut budget, 500, at(100));
        assert!(take(&mut budget, 1, at(50)) > Duration::ZERO);
        assert!(take(&mut budget, 1, at(100)) > Duration::ZERO);
    }
}
