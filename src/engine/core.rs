//! The main loop: settles finished requests and claims jobs in one transaction, sends them, and
//! waits for the next event. Commits are awaited outside of the `select!`, so they are never
//! canceled.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::job::{Completion, JobClaim};
use crate::domain::price::Prices;
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::progress::event::RunEvent;
use crate::provider::{Client, Exchange};
use crate::scheduler::{Effect, EndpointName, Event, LaneEnd, LaneId, Scheduler, Settings};
use crate::store::{Claim, Spool, Store, StoreError, StoredBatch};

use super::actions::{Actions, completion_of};
use super::changes::Changes;
use super::keys::{EngineKey, EngineKeys};
use super::lane::{Lane, LaneOptions, LaneResult};
use super::rate_headers;
use super::recorder::MAX_GROUP;
use super::salvage::{RunError, salvage, spool_bytes};
use super::shutdown::Shutdown;

/// The dependencies of an engine.
pub struct Deps<'a> {
    /// The queue. The caller holds the run lock.
    pub store: &'a Store,
    /// The client of the endpoint.
    pub client: Client,
    /// The clock.
    pub clock: Clock,
    /// The prices of models.
    pub prices: Prices,
    /// Receives the events that can be shown to the user.
    pub on_event: &'a mut dyn FnMut(&RunEvent),
}

/// What [`Engine::advance`] has come to.
#[derive(Debug)]
pub enum Step {
    /// A batch has ended.
    LaneEnded(Box<LaneResult>),
    /// Another process has changed the queue, so there may be more batches to open. Only while
    /// waiting for work.
    QueueChanged,
    /// No lane is left, or the engine was asked to stop.
    Finished,
}

/// Processes batches.
pub struct Engine<'a> {
    pub(super) store: &'a Store,
    pub(super) clock: Clock,
    pub(super) on_event: &'a mut dyn FnMut(&RunEvent),
    pub(super) scheduler: Scheduler,
    pub(super) actions: Actions,
    pub(super) work: Work,
    pub(super) spool: Option<Spool>,
}

/// What the engine has yet to do, and how it waits.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Effects that need the database.
    pending: VecDeque<Effect>,
    /// The claims of the next round.
    claims: Vec<Claim>,
    ended: VecDeque<LaneResult>,
    /// Detects changes by other processes, if the engine waits for work.
    changes: Option<Changes>,
    /// Whether a warning about the size of the write-ahead log was logged.
    wal_warned: bool,
    /// How long to wait for requests in flight if the queue can no longer be written.
    pub(super) grace: Duration,
    /// The size of the disk space to reserve for results.
    spool_bytes: u64,
}

impl<'a> Engine<'a> {
    /// Creates an engine without lanes.
    #[must_use]
    pub fn new(deps: Deps<'a>, keys: Vec<EngineKey>, settings: Settings) -> Self {
        let endpoint = deps.client.endpoint();
        let name = EndpointName {
            host: endpoint.host().to_owned(),
            base_url: endpoint.display().to_owned(),
        };
        let quotas: Vec<_> = keys.iter().map(|key| key.quota.clone()).collect();
        let seed = (fastrand::u64(..), deps.clock.now());
        Self {
            scheduler: Scheduler::new(settings, name, deps.prices, &quotas, seed),
            actions: Actions::new(EngineKeys::new(keys, endpoint.display()), deps.client),
            store: deps.store,
            clock: deps.clock,
            on_event: deps.on_event,
            work: Work {
                grace: settings.grace,
                spool_bytes: spool_bytes(settings.concurrency.max()),
                ..Work::default()
            },
            spool: None,
        }
    }

    /// From now on, waits for more work when no lane is left, until a shutdown is requested.
    pub async fn stay(&mut self) -> Result<(), RunError> {
        let changes = Changes::new(self.store, self.clock.now()).await?;
        self.work.changes = Some(changes);
        Ok(())
    }

    /// Returns whether a batch has a lane.
    #[must_use]
    pub fn has_lane(&self, batch: i64) -> bool {
        self.actions.lanes.contains_key(&LaneId(batch))
    }

    /// Returns whether a key serves a model.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.actions.keys.serves(model)
    }

    /// Prepares a batch: returns its lane if it has rows to be sent; otherwise, its result follows
    /// as [`Step::LaneEnded`].
    pub async fn prepare(
        &mut self,
        batch: StoredBatch,
        options: LaneOptions,
    ) -> Result<Option<Lane>, RunError> {
        let now = self.clock.now();
        let mut lane = Lane::new(batch, options);
        if lane.prepare(self.store, now).await? > 0 {
            return Ok(Some(lane));
        }
        let result = lane.close(self.store, None, now).await?;
        self.work.ended.push_back(result);
        Ok(None)
    }

    /// Starts to process a batch. Before the first one, disk space is reserved for results, in case
    /// that the database cannot be written. `recovered` is the number of requests that were in
    /// flight when an earlier run crashed.
    pub async fn open(&mut self, lane: Lane, recovered: u64) -> Result<(), RunError> {
        if self.spool.is_none() {
            self.spool = Some(self.store.reserve_spool(self.work.spool_bytes).await?);
        }
        let (id, setup) = (lane.id(), lane.setup(self.store, &self.actions.keys).await?);
        (self.on_event)(&lane.started(self.store).await?);
        if recovered > 0 {
            let unknown = recovered;
            (self.on_event)(&RunEvent::Recovered { unknown });
        }
        self.actions.lanes.insert(id, lane);
        self.handle(Event::LaneOpened(id, setup));
        Ok(())
    }

    /// Works until a batch ends, the queue is changed by another process, or nothing is left.
    ///
    /// An error means that the database can no longer be read or written. Results that are already
    /// stored are kept, and later results are spooled.
    pub async fn advance(&mut self, shutdown: &mut Shutdown) -> Result<Step, RunError> {
        match self.run_until_step(shutdown).await {
            Ok(step) => Ok(step),
            Err(cause) => Err(salvage(self, cause, shutdown).await),
        }
    }

    /// Removes the reserved disk space. Call this after [`Step::Finished`].
    pub fn close(&mut self) -> Result<(), RunError> {
        self.spool.take().map_or(Ok(()), Spool::remove)?;
        Ok(())
    }

    async fn run_until_step(&mut self, shutdown: &mut Shutdown) -> Result<Step, StoreError> {
        loop {
            if let Some(result) = self.work.ended.pop_front() {
                return Ok(Step::LaneEnded(Box::new(result)));
            }
            let (level, reason) = shutdown.level();
            self.handle(Event::StopRequested(level, reason));
            let is_waiting = self.work.changes.is_some() && !self.scheduler.is_stopping();
            if self.actions.lanes.is_empty() && !is_waiting {
                return Ok(Step::Finished);
            }
            self.round().await?;
            if !self.actions.recorder.is_empty() {
                continue;
            }
            self.handle(Event::Idle);
            if let Some(wait) = self.execute_pending().await? {
                self.wait(wait.until, shutdown).await;
            }
            if let Some(changes) = &mut self.work.changes
                && changes.poll(self.store, self.clock.now()).await?
            {
                self.handle(Event::QueueChanged);
                return Ok(Step::QueueChanged);
            }
        }
    }

    /// Settles finished requests, claims jobs and sends them.
    async fn round(&mut self) -> Result<(), StoreError> {
        let unwritten = !self.actions.recorder.is_empty();
        self.handle(Event::Ready { unwritten });
        self.execute_pending().await?;
        let claims = std::mem::take(&mut self.work.claims);
        if claims.is_empty() && self.actions.recorder.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let recorder = &mut self.actions.recorder;
        let results = recorder
            .settle_and_claim(self.store, &claims, now, self.on_event)
            .await?;
        self.check_wal();
        if !self.actions.recorder.is_empty() {
            // The rest of the results follows, after which the lanes must be read again.
            self.handle(Event::QueueChanged);
        }
        let with_tokens = self.scheduler.has_token_limit();
        for (claim, result) in claims.iter().zip(results) {
            let lane = LaneId(claim.batch);
            let jobs = result
                .jobs
                .into_iter()
                .map(|job| self.actions.hold(lane, job, with_tokens));
            let event = Event::Claimed {
                lane,
                jobs: jobs.collect(),
                next_due: result.next_due,
            };
            self.handle(event);
        }
        self.actions.keys.save_request_counts(self.store).await
    }

    /// Logs a warning, once, if the write-ahead log keeps growing.
    fn check_wal(&mut self) {
        if !self.work.wal_warned
            && let Some(bytes) = self.store.oversized_wal()
        {
            self.work.wal_warned = true;
            tracing::warn!(
                bytes,
                "cannot checkpoint the write-ahead log: another program holds a read transaction"
            );
        }
    }

    /// Passes an event to the scheduler, and executes the effects that do not need the database.
    pub(super) fn handle(&mut self, event: Event<'_>) {
        let effects = self.scheduler.on(event, self.clock.now());
        self.execute(effects);
    }

    fn execute(&mut self, effects: Vec<Effect>) {
        let now = self.clock.now();
        for effect in effects {
            match effect {
                Effect::Report(event) => (self.on_event)(&event),
                Effect::Abandon => self.abandon_in_flight(),
                effect => self.work.pending.extend(self.actions.execute(effect, now)),
            }
        }
    }

    /// Executes the effects that need the database. Returns how long to wait, if that was decided.
    async fn execute_pending(&mut self) -> Result<Option<Wait>, StoreError> {
        let mut wait = None;
        while let Some(effect) = self.work.pending.pop_front() {
            match effect {
                Effect::Wait(until) => wait = Some(Wait { until }),
                Effect::Claim(lane, limit) => self.work.claims.push(Claim {
                    batch: lane.0,
                    limit,
                }),
                Effect::ClaimSuspect(lane) => {
                    let job = self.store.claim_suspect(lane.0).await?;
                    let with_tokens = self.scheduler.has_token_limit();
                    let job = job.map(|job| self.actions.hold(lane, job, with_tokens));
                    self.handle(Event::SuspectClaimed(lane, job));
                }
                Effect::CountClaimable(lane) => {
                    let jobs = self.store.claimable(lane.0).await?;
                    self.handle(Event::ClaimableCounted(lane, jobs));
                }
                Effect::SaveKeys { model, keys } => {
                    let now = self.clock.now();
                    self.actions
                        .keys
                        .save(self.store, (&model, &keys), now)
                        .await?;
                }
                Effect::EndLane(lane, end) => self.end_lane(lane, end).await?,
                _ => {}
            }
        }
        Ok(wait)
    }

    /// Continues with the duplicates of a lane that has ended, if there are any; otherwise closes
    /// it.
    async fn end_lane(&mut self, id: LaneId, end: LaneEnd) -> Result<(), StoreError> {
        let now = self.clock.now();
        let Some(lane) = self.actions.lanes.get_mut(&id) else {
            return Ok(());
        };
        if lane.continues(self.store, &end, now).await? {
            self.handle(Event::LaneReopened(id));
            return Ok(());
        }
        self.handle(Event::LaneClosed(id));
        if let Some(lane) = self.actions.lanes.remove(&id) {
            let result = lane.close(self.store, Some(end), now).await?;
            self.work.ended.push_back(result);
        }
        Ok(())
    }

    /// Waits for a request, a time or a shutdown, then handles all finished requests.
    pub(super) async fn wait(&mut self, until: Option<Timestamp>, shutdown: &mut Shutdown) {
        let requests = self.actions.flights.in_flight();
        (self.on_event)(&RunEvent::InFlight { requests });
        let poll_at = self.work.changes.as_ref().map(|changes| changes.poll_at);
        let until = [until, poll_at].into_iter().flatten().min();
        let sleep = async {
            match until {
                Some(until) => tokio::time::sleep_until(self.clock.instant(until)).await,
                None => std::future::pending().await,
            }
        };
        let finished = tokio::select! {
            biased;
            finished = self.actions.flights.next() => finished,
            () = shutdown.changed() => None,
            () = sleep => None,
        };
        if let Some((claim, exchange)) = finished {
            self.finish_request(claim, exchange);
        }
        for _ in 1..MAX_GROUP {
            let Some((claim, exchange)) = self.actions.flights.try_next() else {
                break;
            };
            self.finish_request(claim, exchange);
        }
    }

    fn finish_request(&mut self, claim: JobClaim, exchange: Exchange) {
        failpoint::hit_or_panic("answer");
        let (now, latency) = (self.clock.now(), exchange.latency);
        if let Some(limits) = rate_headers::limits(&exchange, now) {
            self.handle(Event::LimitsReported(claim, limits));
        }
        let failure = match exchange.outcome {
            Ok(parsed) => {
                let completion = completion_of(parsed, exchange.request_id, latency);
                return self.complete(claim, completion, latency);
            }
            Err(failure) => failure,
        };
        let failure = &failure;
        self.handle(Event::Failed {
            claim,
            failure,
            latency,
        });
    }

    /// Handles a completion. One that violates the schema of the batch is a failure.
    fn complete(&mut self, claim: JobClaim, completion: Completion, latency: Duration) {
        let violation = self.actions.check_schema(claim, &completion);
        let is_valid = violation.is_none();
        let event = Event::Completed {
            claim,
            completion: &completion,
            violation: violation.as_ref(),
            latency,
        };
        let effects = self.scheduler.on(event, self.clock.now());
        if is_valid {
            self.actions.completion = Some((completion, latency));
        }
        self.execute(effects);
    }

    /// Abandons the requests in flight. Their results are unknown.
    pub(super) fn abandon_in_flight(&mut self) {
        while let Some((claim, exchange)) = self.actions.flights.try_next() {
            self.finish_request(claim, exchange);
        }
        for claim in self.actions.flights.abandon() {
            self.handle(Event::Abandoned(claim));
        }
    }
}

/// How long to wait: until a time, or without limit.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Option<Timestamp>,
}
