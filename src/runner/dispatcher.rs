//! The dispatcher: the main loop of a run, and its state.
//!
//! Each round settles finished requests and claims as many jobs as can be sent now, in one
//! transaction. It then sends them and waits for the next event. Commits are awaited outside of the
//! `select!`, so they are never canceled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::task::{Id, JoinError, JoinSet};

use crate::clock::Clock;
use crate::domain::attribution::RejectionTracker;
use crate::domain::circuit_breaker::CircuitBreaker;
use crate::domain::concurrency::ConcurrencyWindow;
use crate::domain::job::JobId;
use crate::domain::keyring::{KeyIndex, KeyRing};
use crate::domain::latency::RecentLatencies;
use crate::domain::retry_budget::RetryBudget;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::progress::event::RunEvent;
use crate::provider::{Client, Exchange};
use crate::schema::Schema;
use crate::store::{AttemptRecord, Claim, ClaimedJob, Store, StoreError, StoredBatch};

use super::rate_limit::{Permit, RateLimiter};
use super::recorder::{MAX_GROUP, Recorder};
use super::run_limits::CostTracker;
use super::salvage::{RunError, spool_bytes};
use super::shutdown::{Shutdown, StopLevel};
use super::{Deps, RunKey, Settings};

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlightRequest {
    pub(super) job: ClaimedJob,
    pub(super) key: KeyIndex,
    /// The tokens reserved with the permit.
    pub(super) tokens: u32,
    /// The dispatcher's `connection_generation` when the request was sent.
    pub(super) connection_generation: u32,
    pub(super) sent: Timestamp,
}

/// Whether and why the run stops.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The run continues.
    Open,
    /// The endpoint seems to reject every request. A success in flight reverts this.
    Tentative(StopReason),
    /// The run stops when the requests in flight have finished.
    Firm(StopReason),
}

/// The next step of the main loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextStep {
    /// Start another round immediately.
    Round,
    /// Wait for a request to finish, or for this time.
    Wait(Option<Timestamp>),
    /// The run is finished.
    Finish,
}

/// A run of one batch.
pub(super) struct Dispatcher<'a> {
    pub(super) store: &'a Store,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) batch: &'a StoredBatch,
    pub(super) secrets: Vec<Option<Arc<SecretString>>>,
    pub(super) ring: KeyRing,
    pub(super) rate_limiter: RateLimiter,
    pub(super) costs: CostTracker<'a>,
    pub(super) schema: Option<&'a Schema>,
    /// Request bodies for jobs whose last response did not match the schema.
    pub(super) follow_ups: HashMap<JobId, String>,
    /// Requests per key that are not yet saved in the daily counts.
    pub(super) uncounted: Vec<u32>,
    /// The end of the wait that was reported last.
    pub(super) reported_wait: Option<Timestamp>,
    pub(super) rejections: RejectionTracker,
    pub(super) breaker: CircuitBreaker,
    pub(super) budget: RetryBudget,
    pub(super) window: ConcurrencyWindow,
    pub(super) latencies: RecentLatencies,
    pub(super) recorder: Recorder,
    pub(super) stats: RunStats,
    pub(super) ending: Ending,
    pub(super) on_event: &'a mut dyn FnMut(&RunEvent),
    /// When the next pending job can be claimed, as of the last round; `None` if there is none.
    pub(super) next_due: Option<Timestamp>,
    /// Whether jobs were in flight at several crashes. They are sent first, one at a time.
    pub(super) has_suspects: bool,
    /// Jobs that no key can be used for or that are on hold, with the last error if its cause is
    /// unknown.
    pub(super) stuck: BTreeMap<JobId, Option<AttemptRecord>>,
    /// Whether the states of keys have changed since they were last saved.
    pub(super) keys_changed: bool,
    /// Incremented when new connections replace the old ones.
    pub(super) connection_generation: u32,
    /// When the connections were last replaced.
    pub(super) reconnected_at: Option<Timestamp>,
    /// Whether a warning about the size of the write-ahead log was logged.
    wal_warned: bool,
    workers: JoinSet<Exchange>,
    in_flight_requests: HashMap<Id, InFlightRequest>,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(
        deps: Deps<'a>,
        batch: &'a StoredBatch,
        keys: Vec<RunKey>,
        settings: Settings,
        on_event: &'a mut dyn FnMut(&RunEvent),
    ) -> Self {
        let rate_limiter = RateLimiter::new(&keys, deps.clock.now());
        let uncounted = vec![0; keys.len()];
        let (keys, secrets): (Vec<_>, Vec<_>) =
            keys.into_iter().map(|key| (key.key, key.secret)).unzip();
        Self {
            store: deps.store,
            client: deps.client,
            clock: deps.clock,
            rate_limiter,
            costs: CostTracker::new(deps.prices, &batch.template.model),
            schema: deps.schema,
            follow_ups: HashMap::new(),
            uncounted,
            reported_wait: None,
            ring: KeyRing::new(keys, deps.clock.now()),
            settings,
            batch,
            secrets,
            rejections: RejectionTracker::default(),
            breaker: CircuitBreaker::default(),
            budget: RetryBudget::new(deps.clock.now()),
            window: ConcurrencyWindow::new(settings.concurrency),
            latencies: RecentLatencies::default(),
            recorder: Recorder::default(),
            stats: RunStats::default(),
            ending: Ending::Open,
            on_event,
            next_due: Some(Timestamp::default()),
            has_suspects: false,
            stuck: BTreeMap::new(),
            keys_changed: false,
            connection_generation: 0,
            reconnected_at: None,
            wal_warned: false,
            workers: JoinSet::new(),
            in_flight_requests: HashMap::new(),
        }
    }

    /// Runs the batch, and returns the statistics.
    pub(super) async fn run(mut self, mut shutdown: Shutdown) -> Result<RunStats, RunError> {
        self.has_suspects = self.store.has_suspects(self.batch.id).await?;
        let spool = self
            .store
            .reserve_spool(spool_bytes(self.settings.concurrency.max()));
        let spool = spool.await?;
        if let Err(cause) = self.run_loop(&mut shutdown).await {
            return Err(self.salvage(cause, spool, &mut shutdown).await);
        }
        spool.remove()?;
        if let Ending::Tentative(reason) | Ending::Firm(reason) = self.ending {
            self.stats.stopped_by = Some(reason);
        }
        Ok(self.stats)
    }

    /// Runs the main loop until no work remains and all results are on disk.
    async fn run_loop(&mut self, shutdown: &mut Shutdown) -> Result<(), StoreError> {
        let mut deadline = None;
        loop {
            deadline = self.handle_shutdown(shutdown, deadline);
            self.round().await?;
            match self.next_step().await? {
                NextStep::Round => {}
                NextStep::Wait(until) => self.wait(until, deadline, shutdown).await,
                NextStep::Finish => return self.save_key_states().await,
            }
        }
    }

    /// Returns the number of requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight_requests.len()
    }

    /// Handles a shutdown request. Returns the deadline for the requests in flight.
    fn handle_shutdown(
        &mut self,
        shutdown: &Shutdown,
        deadline: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let (level, reason) = shutdown.level();
        let now = self.clock.now();
        if level == StopLevel::Run && self.max_runtime_reached(now) {
            return Some(self.stop_at_max_runtime(deadline, now));
        }
        let deadline = match (level, deadline) {
            (StopLevel::Run, _) => return None,
            (_, None) => {
                self.ending = Ending::Firm(reason.unwrap_or(StopReason::Interrupted));
                (self.on_event)(&RunEvent::Draining {
                    in_flight: self.in_flight_requests.len(),
                });
                now + self.settings.grace
            }
            (_, Some(deadline)) => deadline,
        };
        if level == StopLevel::Abort || deadline <= now {
            self.abandon_in_flight();
        }
        Some(deadline)
    }

    /// Settles finished requests, claims jobs and sends them.
    async fn round(&mut self) -> Result<(), StoreError> {
        if self.keys_changed {
            self.save_key_states().await?;
        }
        let now = self.clock.now();
        let permits = self.acquire_permits(now);
        if permits.is_empty() && self.recorder.is_empty() {
            return Ok(());
        }
        if self.has_suspects && self.in_flight() == 0 && self.recorder.is_empty() {
            if let Some(suspect) = self.store.claim_suspect(self.batch.id).await? {
                self.assign(vec![suspect], permits, now);
                return self.save_request_counts(now).await;
            }
            self.has_suspects = false;
        }
        // A suspect runs alone until its result is on disk.
        let limit = if self.has_suspects { 0 } else { permits.len() };
        let claim = Claim {
            batch: self.batch.id,
            limit,
        };
        let update = self
            .recorder
            .settle_and_claim(self.store, &[claim], now, self.on_event)
            .await?;
        self.check_wal();
        let claimed = update.claims.into_iter().next().unwrap_or_default();
        self.next_due = claimed.next_due;
        self.assign(claimed.jobs, permits, now);
        self.save_request_counts(now).await
    }

    /// Logs a warning, once per run, if the write-ahead log keeps growing.
    fn check_wal(&mut self) {
        if !self.wal_warned
            && let Some(bytes) = self.store.oversized_wal()
        {
            self.wal_warned = true;
            tracing::warn!(
                bytes,
                "cannot checkpoint the write-ahead log: another program holds a read transaction"
            );
        }
    }

    /// Sends the request of a job. Its claim must be on disk.
    pub(super) fn dispatch(&mut self, mut job: ClaimedJob, permit: Permit, now: Timestamp) {
        let Permit { key, tokens } = permit;
        self.uncounted[key.0] += 1;
        self.stuck.remove(&job.id);
        self.stats.requests += 1;
        let body = Bytes::from(self.request_body(&mut job));
        let api = self.batch.template.api;
        let (client, secret) = (self.client.clone(), self.secrets[key.0].clone());
        failpoint::hit_or_panic("send");
        let worker = self.workers.spawn(async move {
            failpoint::hit_or_panic("worker");
            client.send(api, body, secret.as_deref(), now).await
        });
        let connection_generation = self.connection_generation;
        let request = InFlightRequest {
            job,
            key,
            tokens,
            connection_generation,
            sent: now,
        };
        self.in_flight_requests.insert(worker.id(), request);
    }

    /// Returns the body to send. With a schema, the job keeps its request for a follow-up.
    fn request_body(&self, job: &mut ClaimedJob) -> String {
        match self.follow_ups.get(&job.id) {
            Some(follow_up) => follow_up.clone(),
            None if self.schema.is_some() => job.request.clone(),
            None => std::mem::take(&mut job.request),
        }
    }

    async fn next_step(&mut self) -> Result<NextStep, StoreError> {
        if !self.recorder.is_empty() {
            return Ok(NextStep::Round);
        }
        let now = self.clock.now();
        if self.in_flight_requests.is_empty() {
            if !matches!(self.ending, Ending::Open) || self.next_due.is_none() {
                return Ok(NextStep::Finish);
            }
            if let Some(reason) = self.limit_reached(now) {
                self.ending = Ending::Firm(reason);
                return Ok(NextStep::Finish);
            }
            let all_stuck = self.all_stuck().await?;
            if let Some(reason) = self.reason_to_stop(all_stuck, now) {
                self.ending = Ending::Firm(reason);
                return Ok(NextStep::Finish);
            }
        }
        let until = self.wake_at(now);
        self.report_wait(until, now);
        Ok(NextStep::Wait(until))
    }

    /// Returns whether all remaining jobs are stuck, so that no further evidence is expected.
    async fn all_stuck(&self) -> Result<bool, StoreError> {
        if self.stuck.is_empty() {
            return Ok(false);
        }
        let waiting = self.store.claimable(self.batch.id).await?;
        Ok(waiting <= self.stuck.len() as u64)
    }

    /// Waits for a request, a time or a shutdown, then handles all finished requests.
    pub(super) async fn wait(
        &mut self,
        until: Option<Timestamp>,
        deadline: Option<Timestamp>,
        shutdown: &mut Shutdown,
    ) {
        let requests = self.in_flight();
        (self.on_event)(&RunEvent::InFlight { requests });
        let run_end = self.settings.limits.until.filter(|_| deadline.is_none());
        let until = [until, deadline, run_end].into_iter().flatten().min();
        let sleep = async {
            match until {
                Some(until) => tokio::time::sleep_until(self.clock.instant(until)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(finished) = self.workers.join_next_with_id() => self.finish_request(finished),
            () = shutdown.changed() => {}
            () = sleep => {}
        }
        for _ in 1..MAX_GROUP {
            let Some(finished) = self.workers.try_join_next_with_id() else {
                break;
            };
            self.finish_request(finished);
        }
    }

    fn finish_request(&mut self, finished: Result<(Id, Exchange), JoinError>) {
        let (id, exchange) = match finished {
            Ok((id, exchange)) => (id, Some(exchange)),
            Err(error) => (error.id(), None),
        };
        let Some(request) = self.in_flight_requests.remove(&id) else {
            return;
        };
        failpoint::hit_or_panic("answer");
        self.ring.end_request(request.key);
        self.rate_limiter.request_finished(request.key);
        self.handle_result(request, exchange);
    }

    /// Abandons the requests in flight. Their results are unknown.
    pub(super) fn abandon_in_flight(&mut self) {
        while let Some(finished) = self.workers.try_join_next_with_id() {
            self.finish_request(finished);
        }
        self.workers.abort_all();
        self.workers.detach_all();
        for (_, request) in std::mem::take(&mut self.in_flight_requests) {
            self.ring.end_request(request.key);
            self.rate_limiter.request_finished(request.key);
            self.record_abandoned(&request);
        }
    }
}
