//! Retry budget: limits the rate of retries, so that they do not overload a struggling endpoint and
//! a short outage does not use up the attempts of a row.
//!
//! Each retry takes one from the budget, which is refilled over time and by completions. If the
//! budget is empty, the retry borrows from future refills and waits for them. The circuit breaker
//! handles endpoints that are down, the budget endpoints that are degraded.

use std::time::Duration;

use super::time::Timestamp;

/// Maximum number of retries in the budget.
const CAPACITY: f64 = 500.0;
/// Retries added per second.
const REFILL_PER_SECOND: f64 = 10.0;
/// Retries added per completion.
const REFILL_PER_COMPLETION: f64 = 0.2;
/// Longest delay of a retry.
const MAX_DELAY: Duration = Duration::from_mins(2);

/// The retry budget of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    retries: f64,
    as_of: Timestamp,
}

impl RetryBudget {
    /// Creates a full budget.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            retries: CAPACITY,
            as_of: now,
        }
    }

    /// Records a completion.
    pub fn record_success(&mut self) {
        self.retries = (self.retries + REFILL_PER_COMPLETION).min(CAPACITY);
    }

    /// Takes a retry from the budget. Returns its minimum delay: zero while retries remain, at most
    /// 2 minutes.
    pub fn take(&mut self, now: Timestamp) -> Duration {
        let refill = now.since(self.as_of).as_secs_f64() * REFILL_PER_SECOND;
        self.as_of = now.max(self.as_of);
        let min = -MAX_DELAY.as_secs_f64() * REFILL_PER_SECOND;
        self.retries = (self.retries + refill).min(CAPACITY) - 1.0;
        self.retries = self.retries.max(min);
        Duration::from_secs_f64((-self.retries / REFILL_PER_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    /// Takes `count` retries and returns the delay of the last.
    fn take(budget: &mut RetryBudget, count: usize, now: Timestamp) -> Duration {
        let delays = (0..count).map(|_| budget.take(now));
        delays.last().unwrap_or_default()
    }

    #[test]
    fn a_few_retries_are_not_delayed() {
        let mut budget = RetryBudget::new(at(0));
        assert_eq!(take(&mut budget, 500, at(0)), Duration::ZERO);
    }

    #[test]
    fn further_retries_are_delayed_by_at_most_two_minutes() {
        let mut budget = RetryBudget::new(at(0));
        assert_eq!(take(&mut budget, 600, at(0)), Duration::from_secs(10));
        assert_eq!(take(&mut budget, 9000, at(0)), Duration::from_mins(2));
        // By then the borrowed retries are refilled.
        assert_eq!(take(&mut budget, 1, at(121)), Duration::ZERO);
    }

    #[test]
    fn time_and_completions_refill_the_budget() {
        let mut budget = RetryBudget::new(at(0));
        take(&mut budget, 500, at(0));
        assert_eq!(take(&mut budget, 20, at(2)), Duration::ZERO);
        assert!(take(&mut budget, 1, at(2)) > Duration::ZERO);
        for _ in 0..10 {
            budget.record_success();
        }
        assert_eq!(take(&mut budget, 1, at(2)), Duration::ZERO);
    }

    #[test]
    fn a_clock_set_back_refills_nothing() {
        let mut budget = RetryBudget::new(at(100));
        take(&mut budget, 500, at(100));
        assert!(take(&mut budget, 1, at(50)) > Duration::ZERO);
        assert!(take(&mut budget, 1, at(100)) > Duration::ZERO);
    }
}
