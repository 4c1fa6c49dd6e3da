//! The health of the endpoint: circuit breaker, concurrency window, retry budget, latencies, and
//! the age of the connections.

use std::time::Duration;

use crate::domain::circuit_breaker::CircuitBreaker;
use crate::domain::concurrency::{Concurrency, ConcurrencyWindow};
use crate::domain::latency::RecentLatencies;
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
