//! The main loop: settles finished requests and claims jobs in one transaction, sends them, and
//! waits for the next event. Commits are awaited outside of the `select!`, so they are never
//! canceled.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::job::JobClaim;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::Prices;
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;
use crate::provider::Client;
use crate::scheduler::{
    Effect, EndpointName, Event, LaneEnd, LaneId, Scheduler, Settings, StopLevel,
};
use crate::store::{Claim, Spool, Store, StoreError, StoredBatch};

use super::actions::Actions;
use super::changes::Changes;
use super::keys::{EngineKey, EngineKeys};
use super::lane::{Lane, LaneOptions, LaneResult};
use super::reactor::Reactor;
use super::salvage::{RunError, Salvage, spool_bytes};
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
    store: &'a Store,
    reactor: Reactor<'a>,
    work: Work,
    /// Reserved disk space for results, in case that the database cannot be written.
    spool: Option<Spool>,
}

/// What the engine has yet to do, and how it waits.
#[derive(Debug, Default)]
struct Work {
    /// The claims of the next round.
    claims: Vec<Claim>,
    ended: VecDeque<LaneResult>,
    /// Detects changes by other processes, if the engine waits for work.
    changes: Option<Changes>,
    /// Whether a warning about the size of the write-ahead log was logged.
    wal_warned: bool,
    /// How long to wait for requests in flight if the queue can no longer be written.
    grace: Duration,
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
            reactor: Reactor {
                scheduler: Scheduler::new(settings, name, deps.prices, &quotas, seed),
                actions: Actions::new(EngineKeys::new(keys, endpoint.display()), deps.client),
                clock: deps.clock,
                on_event: deps.on_event,
                pending: VecDeque::new(),
            },
            store: deps.store,
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
        let changes = Changes::new(self.store, self.reactor.clock.now()).await?;
        self.work.changes = Some(changes);
        Ok(())
    }

    /// Returns whether a batch has a lane.
    #[must_use]
    pub fn has_lane(&self, batch: i64) -> bool {
        self.reactor.actions.lanes.contains_key(&LaneId(batch))
    }

    /// Returns whether a key serves a model.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.reactor.actions.keys.serves(model)
    }

    /// Prepares a batch: returns its lane if it has rows to be sent; otherwise, its result follows
    /// as [`Step::LaneEnded`].
    pub async fn prepare(
        &mut self,
        batch: StoredBatch,
        options: LaneOptions,
    ) -> Result<Option<Lane>, RunError> {
        let now = self.reactor.clock.now();
        let mut lane = Lane::new(batch, options, now);
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
        let keys = &mut self.reactor.actions.keys;
        let (id, setup) = (lane.id(), lane.setup(self.store, keys).await?);
        (self.reactor.on_event)(&lane.started(self.store).await?);
        if recovered > 0 {
            let unknown = recovered;
            (self.reactor.on_event)(&RunEvent::Recovered { unknown });
        }
        self.reactor.actions.lanes.insert(id, lane);
        self.reactor.handle(Event::LaneOpened(id, setup));
        Ok(())
    }

    /// Works until a batch ends, the queue is changed by another process, or nothing is left.
    ///
    /// An error means that the database can no longer be read or written. Results that are already
    /// stored are kept, and later results are spooled.
    pub async fn advance(&mut self, shutdown: &mut Shutdown) -> Result<Step, RunError> {
        match self.run_until_step(shutdown).await {
            Ok(step) => Ok(step),
            Err(cause) => Err(self.salvage(cause, shutdown).await),
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
            self.reactor.handle(Event::StopRequested(level, reason));
            let now = self.reactor.clock.now();
            if !self.reactor.scheduler.accepts_lanes(now) {
                self.work.changes = None;
            }
            if self.reactor.actions.lanes.is_empty() && self.work.changes.is_none() {
                return Ok(Step::Finished);
            }
            self.round().await?;
            if !self.reactor.actions.recorder.is_empty() {
                continue;
            }
            self.reactor.handle(Event::Idle);
            if let Some(wait) = self.execute_pending().await? {
                let poll_at = self.work.changes.as_ref().map(|changes| changes.poll_at);
                let until = [wait.until, poll_at].into_iter().flatten().min();
                self.reactor.wait(until, shutdown).await;
            }
            if let Some(changes) = &mut self.work.changes
                && let keys = &mut self.reactor.actions.keys
                && let now = self.reactor.clock.now()
                && let Some(reset) = changes.poll(self.store, keys, now).await?
            {
                self.reactor.handle(Event::KeysReset(reset));
                self.reactor.handle(Event::QueueChanged);
                return Ok(Step::QueueChanged);
            }
        }
    }

    /// Settles finished requests, claims jobs and sends them.
    async fn round(&mut self) -> Result<(), StoreError> {
        let unwritten = !self.reactor.actions.recorder.is_empty();
        self.reactor.handle(Event::Ready { unwritten });
        self.execute_pending().await?;
        let claims = std::mem::take(&mut self.work.claims);
        if claims.is_empty() && self.reactor.actions.recorder.is_empty() {
            return Ok(());
        }
        let now = self.reactor.clock.now();
        let reactor = &mut self.reactor;
        let recorder = &mut reactor.actions.recorder;
        let results = recorder
            .settle_and_claim(self.store, &claims, now, reactor.on_event)
            .await?;
        self.check_wal();
        if !self.reactor.actions.recorder.is_empty() {
            // The rest of the results follows, after which the lanes must be read again.
            self.reactor.handle(Event::QueueChanged);
        }
        let with_tokens = self.reactor.scheduler.has_token_limit();
        for (claim, result) in claims.iter().zip(results) {
            let lane = LaneId(claim.batch);
            let jobs = result
                .jobs
                .into_iter()
                .map(|job| self.reactor.actions.hold(lane, job, with_tokens));
            let event = Event::Claimed {
                lane,
                jobs: jobs.collect(),
                next_due: result.next_due,
            };
            self.reactor.handle(event);
        }
        self.execute_pending().await?;
        Ok(())
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

    /// Executes the effects that need the database. Returns how long to wait, if that was decided.
    async fn execute_pending(&mut self) -> Result<Option<Wait>, StoreError> {
        let (mut wait, mut counted) = (None, Vec::new());
        while let Some(effect) = self.reactor.pending.pop_front() {
            match effect {
                Effect::Wait(until) => wait = Some(Wait { until }),
                Effect::Send { claim, key, day } => {
                    let keys = &mut self.reactor.actions.keys;
                    if let Some(day) = day {
                        keys.count_request(key, day);
                    }
                    counted.push((claim, key));
                }
                Effect::Claim(lane, limit) => self.work.claims.push(Claim {
                    batch: lane.0,
                    limit,
                }),
                Effect::ClaimSuspect(lane) => {
                    let job = self.store.claim_suspect(lane.0).await?;
                    let with_tokens = self.reactor.scheduler.has_token_limit();
                    let job = job.map(|job| self.reactor.actions.hold(lane, job, with_tokens));
                    self.reactor.handle(Event::SuspectClaimed(lane, job));
                }
                Effect::CountClaimable(lane) => {
                    let jobs = self.store.claimable(lane.0).await?;
                    self.reactor.handle(Event::ClaimableCounted(lane, jobs));
                }
                Effect::SaveKeys { model, keys } => {
                    let (now, known) = (self.reactor.clock.now(), &mut self.reactor.actions.keys);
                    known.save(self.store, (&model, &keys), now).await?;
                }
                Effect::EndLane(lane, end) => self.end_lane(lane, end).await?,
                _ => {}
            }
        }
        self.send_counted(counted).await?;
        Ok(wait)
    }

    /// Sends requests that count toward daily limits, once their number is on disk.
    async fn send_counted(
        &mut self,
        requests: Vec<(JobClaim, KeyIndex)>,
    ) -> Result<(), StoreError> {
        let actions = &mut self.reactor.actions;
        actions.keys.save_request_counts(self.store).await?;
        for (claim, key) in requests {
            actions.send(claim, key, self.reactor.clock.now());
        }
        Ok(())
    }

    /// Continues with the duplicates of a lane that has ended, if there are any; otherwise closes
    /// it.
    async fn end_lane(&mut self, id: LaneId, end: LaneEnd) -> Result<(), StoreError> {
        let now = self.reactor.clock.now();
        let Some(lane) = self.reactor.actions.lanes.get_mut(&id) else {
            return Ok(());
        };
        if lane.continues(self.store, &end, now).await? {
            self.reactor.handle(Event::LaneReopened(id));
            return Ok(());
        }
        self.reactor.handle(Event::LaneClosed(id));
        if let Some(lane) = self.reactor.actions.lanes.remove(&id) {
            let result = lane.close(self.store, Some(end), now).await?;
            self.work.ended.push_back(result);
        }
        Ok(())
    }

    /// Stops after an error of the database: spools finished results immediately, then waits for the
    /// requests in flight, up to the grace period, and spools their results.
    async fn salvage(&mut self, cause: StoreError, shutdown: &mut Shutdown) -> RunError {
        let Some(spool) = self.spool.take() else {
            return RunError::Store(cause);
        };
        let (reactor, mut salvage) = (&mut self.reactor, Salvage::new(spool));
        let in_flight = reactor.actions.flights.in_flight();
        (reactor.on_event)(&RunEvent::Draining { in_flight });
        let deadline = reactor.clock.now() + self.work.grace;
        loop {
            let now = reactor.clock.now();
            if shutdown.level().0 == StopLevel::Abort || now >= deadline {
                reactor.abandon_in_flight();
            }
            salvage.keep(&mut reactor.actions.recorder, now);
            if reactor.actions.flights.in_flight() == 0 {
                return salvage.finish(cause);
            }
            reactor.wait(Some(deadline), shutdown).await;
        }
    }
}

/// How long to wait: until a time, or without limit.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Option<Timestamp>,
}
