//! The health of the endpoint: circuit breaker, concurrency window, retry budget, latencies, and
//! the age of the connections.

use std::time::Duration;

use crate::domain::circuit_breaker::CircuitBreaker;
use crate::domain::concurrency::{Concurrency, ConcurrencyWindow};
use crate::domain::retry_budget::RetryBudget;
use crate::domain::time::Timestamp;

/// The minimum time between two replacements of the connections.
const RECONNECT_INTERVAL: Duration = Duration::from_mins(1);

/// What is known about the endpoint.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) breaker: CircuitBreaker,
    pub(super) budget: RetryBudget,
    pub(super) window: ConcurrencyWindow,
    pub(super) latencies: RecentLatencies,
    /// Incremented when new connections replace the old ones.
    pub(super) connection_generation: u32,
    /// When the connections were last replaced.
    reconnected_at: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(concurrency: Concurrency, now: Timestamp) -> Self {
        Self {
            breaker: CircuitBreaker::default(),
            budget: RetryBudget::new(now),
            window: ConcurrencyWindow::new(concurrency),
            latencies: RecentLatencies::default(),
            connection_generation: 0,
            reconnected_at: None,
        }
    }

    /// Starts a new generation of connections, unless the last one is recent. Returns whether it
    /// did.
    pub(super) fn renew_connections(&mut self, now: Timestamp) -> bool {
        let is_recent = |last| now.since(last) < RECONNECT_INTERVAL;
        if self.reconnected_at.is_some_and(is_recent) {
            return false;
        }
        self.reconnected_at = Some(now);
        self.connection_generation += 1;
        true
    }
}

/// Number of latencies kept.
const LATENCIES: usize = 100;

/// The most recent latencies.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentLatencies {
    last: Vec<Duration>,
    /// Index of the oldest entry when full.
    oldest: usize,
}

impl RecentLatencies {
    /// Records a latency and drops the oldest.
    pub(super) fn record(&mut self, latency: Duration) {
        if self.last.len() < LATENCIES {
            self.last.push(latency);
        } else {
            self.last[self.oldest] = latency;
            self.oldest = (self.oldest + 1) % LATENCIES;
        }
    }

    /// Returns the 95th percentile; zero if nothing is recorded.
    pub(super) fn p95(&self) -> Duration {
        let mut sorted = self.last.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
        sorted.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p95_of(millis: impl IntoIterator<Item = u64>) -> Duration {
        let mut latencies = RecentLatencies::default();
        for millis in millis {
            latencies.record(Duration::from_millis(millis));
        }
        latencies.p95()
    }

    #[test]
    fn p95_covers_95_of_100() {
        assert_eq!(p95_of([]), Duration::ZERO);
        assert_eq!(p95_of([7]), Duration::from_millis(7));
        assert_eq!(p95_of((1..=100).rev()), Duration::from_millis(95));
    }

    #[test]
    fn only_the_last_100_count() {
        assert_eq!(p95_of((0..900).chain(1..=100)), Duration::from_millis(95));
    }
}
