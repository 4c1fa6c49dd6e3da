//! The settings of a scheduler.

use std::time::Duration;

use crate::domain::concurrency::Concurrency;
use crate::domain::price::Cost;
use crate::domain::time::Timestamp;

/// The limits of a run, over all batches. It stops when one is reached; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    /// The time after which no requests are sent.
    pub until: Option<Timestamp>,
    /// The maximum number of rows that complete or fail.
    pub rows: Option<u64>,
    /// The maximum number of requests.
    pub requests: Option<u64>,
    /// The maximum cost, as far as prices are known.
    pub cost: Option<Cost>,
}

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The number of requests in flight.
    pub concurrency: Concurrency,
    /// The maximum number of attempts per job. Rate-limit waits and key switches do not count.
    pub max_attempts: u32,
    /// When to stop the run.
    pub limits: RunLimits,
    /// The longest time to wait for a rate limit or quota before a batch stops.
    pub max_wait: Duration,
    /// The longest time to wait for an unavailable endpoint before a batch stops.
    pub max_outage: Duration,
    /// How long to wait for requests in flight when stopping.
    pub grace: Duration,
}

impl Default for Settings {
    /// 16 requests in flight, 5 attempts, 10 minutes of waiting or outage, 30 s of grace.
    fn default() -> Self {
        Self {
            concurrency: Concurrency::fixed(16),
            max_attempts: 5,
            limits: RunLimits::default(),
            max_wait: Duration::from_mins(10),
            max_outage: Duration::from_mins(10),
            grace: Duration::from_secs(30),
        }
    }
}

/// The endpoint, as named in decisions and messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointName {
    /// The host, which some rules depend on.
    pub host: String,
    /// The base URL, as displayed.
    pub base_url: String,
}
