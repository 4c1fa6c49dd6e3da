//! The runner: takes jobs from the queue, sends them, and writes back what came of them.
//!
//! The dispatcher decides and keeps all state, the workers each make one request, the recorder
//! writes in groups. There is one way to wait, the queue's `not_before`: no worker ever sleeps.

mod admission;
mod backoff;
mod bounds;
mod dispatcher;
mod failed;
mod outcome;
mod rate_limit;
mod recorder;
mod salvage;
mod shutdown;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::domain::key::Key;
use crate::domain::limits::KeyLimits;
use crate::domain::price::{Cost, Prices};
use crate::domain::run_stats::RunStats;
use crate::domain::time::Timestamp;
use crate::domain::window::Concurrency;
use crate::progress::event::RunEvent;
use crate::provider::Client;
use crate::schema::Schema;
use crate::store::{Store, StoredBatch};

pub use salvage::RunError;
pub use shutdown::{Shutdown, ShutdownSwitch, StopLevel};

/// A key of the run: what the ring knows of it, and the secret itself. An endpoint that wants no
/// key has one entry without a secret.
#[derive(Clone, Debug)]
pub struct RunKey {
    /// Label, print and state.
    pub key: Key,
    /// The secret; `None` sends no `Authorization` header.
    pub secret: Option<Arc<SecretString>>,
    /// What it may send.
    pub limits: KeyLimits,
    /// What its group may send; without a group it counts for nothing.
    pub group_limits: KeyLimits,
    /// Requests of its present day that earlier runs made.
    pub today: u32,
}

/// How far a run may go. What is reached ends it with work left; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// No request goes out after this moment.
    pub until: Option<Timestamp>,
    /// The most rows that get an answer or fail for good.
    pub rows: Option<u64>,
    /// The most requests.
    pub requests: Option<u64>,
    /// The most money, as far as prices are known.
    pub cost: Option<Cost>,
}

impl Bounds {
    /// Takes off what a run has used up, for the next one.
    pub fn use_up(&mut self, stats: &RunStats) {
        self.rows = self.rows.map(|most| most.saturating_sub(stats.ended));
        self.requests = self
            .requests
            .map(|most| most.saturating_sub(stats.requests));
        self.cost = self.cost.map(|most| most.minus(stats.cost));
    }
}

/// The limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many requests may be in flight.
    pub concurrency: Concurrency,
    /// The most attempts of a job; waiting for a limit and changing the key are none.
    pub max_attempts: u32,
    /// How far it may go.
    pub bounds: Bounds,
    /// When all that is left waits longer than this for a limit, the run ends.
    pub max_wait: Duration,
    /// When the endpoint has been down for longer than this, the run ends.
    pub max_outage: Duration,
    /// How long a first signal lets the requests in flight go on.
    pub grace: Duration,
}

impl Default for Settings {
    /// 16 in flight, 5 attempts, no limit a minute, 10 minutes of waiting or outage, 30 s of grace.
    fn default() -> Self {
        Self {
            concurrency: Concurrency::fixed(16),
            max_attempts: 5,
            bounds: Bounds::default(),
            max_wait: Duration::from_mins(10),
            max_outage: Duration::from_mins(10),
            grace: Duration::from_secs(30),
        }
    }
}

/// What a run works with.
#[derive(Debug)]
pub struct Deps<'a> {
    /// The queue. The caller holds the run lock.
    pub store: &'a Store,
    /// Where the requests go.
    pub client: Client,
    /// The present.
    pub clock: Clock,
    /// What tokens cost.
    pub prices: &'a Prices,
    /// What every answer is to fit, if anything.
    pub schema: Option<&'a Schema>,
}

/// Works a batch until nothing is left that can be done, or it is told to stop.
///
/// Returns the counts and, when work is left, the reason. An error means that the queue can no
/// longer be written; all that was recorded before it is kept, and so is what came back after.
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
