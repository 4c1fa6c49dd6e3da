//! Claimed jobs until they are settled, and the requests in flight.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use crate::domain::failure::{Failure, TransportError, TransportErrorKind};
use crate::domain::job::JobClaim;
use crate::provider::{Exchange, RateHeaders};
use crate::scheduler::LaneId;

/// A claimed job.
#[derive(Debug)]
pub(super) struct HeldJob {
    pub(super) lane: LaneId,
    /// The request body; empty once it is sent, unless a follow-up may need it.
    pub(super) request: String,
}

/// Claimed jobs and requests in flight.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Claimed jobs until they are settled.
    pub(super) held: HashMap<JobClaim, HeldJob>,
    workers: JoinSet<Exchange>,
    claims: HashMap<Id, JobClaim>,
}

impl Flights {
    /// Sends the request of a job.
    pub(super) fn send(
        &mut self,
        claim: JobClaim,
        request: impl Future<Output = Exchange> + Send + 'static,
    ) {
        let worker = self.workers.spawn(request);
        self.claims.insert(worker.id(), claim);
    }

    /// Returns the number of requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.claims.len()
    }

    /// Waits for a request to finish; forever if there is none.
    pub(super) async fn next(&mut self) -> Option<(JobClaim, Exchange)> {
        match self.workers.join_next_with_id().await {
            Some(finished) => self.finished(finished),
            None => std::future::pending().await,
        }
    }

    /// Returns a request that has finished, if there is one.
    pub(super) fn try_next(&mut self) -> Option<(JobClaim, Exchange)> {
        let finished = self.workers.try_join_next_with_id()?;
        self.finished(finished)
    }

    fn finished(
        &mut self,
        finished: Result<(Id, Exchange), JoinError>,
    ) -> Option<(JobClaim, Exchange)> {
        let (id, exchange) = finished.unwrap_or_else(|error| (error.id(), panicked()));
        Some((self.claims.remove(&id)?, exchange))
    }

    /// Abandons the requests in flight, and returns the claims of their jobs.
    pub(super) fn abandon(&mut self) -> Vec<JobClaim> {
        self.workers.abort_all();
        self.workers.detach_all();
        self.claims.drain().map(|(_, claim)| claim).collect()
    }
}

/// The result of a worker that panicked.
fn panicked() -> Exchange {
    Exchange {
        outcome: Err(Failure::Transport(TransportError {
            kind: TransportErrorKind::Panic,
            detail: "the worker panicked; this is a bug in promptmill".to_owned(),
        })),
        rate: RateHeaders::default(),
        request_id: String::new(),
        status: None,
        latency: Duration::ZERO,
        clock_ahead: None,
    }
}
