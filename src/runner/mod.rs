//! The runner claims jobs from the queue, sends their requests, and stores the results.
//!
//! The dispatcher owns all state and makes all decisions, each worker sends one request, and the
//! recorder writes results in groups. Workers never sleep: jobs wait in the queue (`not_before`).

mod admission;
mod backoff;
mod dispatcher;
mod failed;
mod outcome;
mod rate_limit;
mod recorder;
mod run_limits;
mod salvage;
mod shutdown;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::domain::concurrency::Concurrency;
use crate::domain::key::Key;
use crate::domain::limits::KeyLimits;
use crate::domain::price::{Cost, Prices};
use crate::domain::run_stats::RunStats;
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;
use crate::provider::Client;
use crate::schema::Schema;
use crate::store::{Store, StoredBatch};

pub use salvage::RunError;
pub use shutdown::{Shutdown, ShutdownSwitch, StopLevel};

/// A key of the run with its secret and limits. An endpoint without authentication has one entry
/// without a secret.
#[derive(Clone, Debug)]
pub struct RunKey {
    /// Label, fingerprint and state.
    pub key: Key,
    /// The secret; `None` sends no `Authorization` header.
    pub secret: Option<Arc<SecretString>>,
    /// The limits of the key.
    pub limits: KeyLimits,
    /// The limits of the key's group, ignored without a group.
    pub group_limits: KeyLimits,
    /// Requests sent by earlier runs on the current day.
    pub today: u32,
}

/// The limits of a run, which stops when one is reached; `None` means no limit.
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

impl RunLimits {
    /// Reduces the limits by the usage of a run, for the next run.
    pub fn subtract(&mut self, stats: &RunStats) {
        self.rows = self.rows.map(|max| max.saturating_sub(stats.finished));
        self.requests = self.requests.map(|max| max.saturating_sub(stats.requests));
        self.cost = self.cost.map(|max| max.saturating_sub(stats.cost));
    }
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
    /// The longest time to wait for a rate limit or quota before the run stops.
    pub max_wait: Duration,
    /// The longest time to wait for an unavailable endpoint before the run stops.
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

/// The dependencies of a run.
#[derive(Debug)]
pub struct Deps<'a> {
    /// The queue. The caller holds the run lock.
    pub store: &'a Store,
    /// The client of the endpoint.
    pub client: Client,
    /// The clock.
    pub clock: Clock,
    /// The prices of models.
    pub prices: &'a Prices,
    /// The JSON Schema that responses must match, if any.
    pub schema: Option<&'a Schema>,
}

/// Runs a batch until no more work is possible, or until a shutdown is requested.
///
/// Returns the statistics and, if rows remain, the reason. An error means that the database can no
/// longer be read or written. Results that are already stored are kept, and later results are
/// spooled.
pub async fn run(
    deps: Deps<'_>,
    batch: &StoredBatch,
    keys: Vec<RunKey>,
    settings: Settings,
    shutdown: Shutdown,
    on_event: &mut dyn FnMut(&RunEvent),
) -> Result<RunStats, RunError> {
    dispatcher::Dispatcher::new(deps, batch, keys, settings, on_event)
        .run(shutdown)
        .await
}
