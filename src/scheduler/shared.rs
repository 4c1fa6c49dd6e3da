//! What all lanes share: settings, keys, the health of the endpoint, the requests in flight, and the
//! effects that have not been returned yet.

use std::collections::HashMap;

use crate::domain::job::JobClaim;
use crate::domain::price::Prices;
use crate::domain::run_stats::Usage;
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;

use super::backoff::Backoff;
use super::bounds::Bounds;
use super::event::{Effect, LaneId};
use super::health::Health;
use super::keys::Keys;
use super::rate_limit::Permit;
use super::settings::{EndpointName, Settings};

/// The name of the endpoint in `RunEvent::Waiting`.
pub(super) const ENDPOINT: &str = "endpoint";

/// A request in flight.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) lane: LaneId,
    pub(super) permit: Permit,
    /// The generation of the connections when it was sent.
    pub(super) connection_generation: u32,
    pub(super) sent: Timestamp,
    /// Counted attempts of the job before this one.
    pub(super) spent: u32,
    /// The rules of earlier failed attempts of the job.
    pub(super) rules: Vec<String>,
}

/// The state that all lanes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) endpoint: EndpointName,
    pub(super) prices: Prices,
    pub(super) keys: Keys,
    pub(super) health: Health,
    pub(super) backoff: Backoff,
    /// The usage of all lanes, which the limits of the run apply to.
    pub(super) usage: Usage,
    pub(super) requests: HashMap<JobClaim, InFlight>,
    /// What to do after the current event.
    pub(super) effects: Vec<Effect>,
}

impl Shared {
    /// Adds an effect.
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Adds an event to be reported.
    pub(super) fn report(&mut self, event: RunEvent) {
        self.effects.push(Effect::Report(event));
    }

    /// Returns the limits of the run with their present usage.
    pub(super) fn bounds(&self, now: Timestamp) -> Bounds<'_> {
        let limits = &self.settings.limits;
        // Finding the percentile takes longer than everything else here.
        let p95 = limits.until.map(|_| self.health.latencies.p95());
        Bounds {
            limits,
            usage: &self.usage,
            in_flight: self.requests.len() as u64,
            p95: p95.unwrap_or_default(),
            now,
        }
    }

    /// Returns how many more requests the endpoint and the limits of the run allow at a time.
    pub(super) fn free_slots(&self, at: Timestamp) -> usize {
        let slots = match self.health.breaker.probe_at() {
            Some(probe_at) => usize::from(probe_at <= at),
            None => self.health.window.limit(),
        };
        let free = slots.saturating_sub(self.requests.len());
        match free {
            0 => 0,
            free => free.min(self.bounds(at).allowed_requests()),
        }
    }

    /// Records that the endpoint is reachable.
    pub(super) fn record_reachable(&mut self) {
        if self.health.breaker.record_success() {
            let subject = ENDPOINT.to_owned();
            self.report(RunEvent::Resumed { subject });
        }
    }
}
