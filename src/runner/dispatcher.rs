//! The dispatcher: the loop of a run, and all of its state.
//!
//! A round is: settle what has come back and claim as many jobs as may be sent now, in one
//! transaction; send them; wait for the next thing to happen. Only the waiting is asynchronous to
//! the requests in flight, and no commit is ever raced or given up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::task::{Id, JoinError, JoinSet};

use crate::clock::Clock;
use crate::domain::breaker::Breaker;
use crate::domain::budget::RetryBudget;
use crate::domain::doubt::Doubts;
use crate::domain::job::JobId;
use crate::domain::keyring::{KeyIndex, KeyRing};
use crate::domain::latency::Latencies;
use crate::domain::run_stats::{RunStats, StopReason};
use crate::domain::time::Timestamp;
use crate::domain::window::Window;
use crate::failpoint;
use crate::progress::event::RunEvent;
use crate::provider::{Attempt, Client};
use crate::schema::Schema;
use crate::store::{AttemptRecord, Claim, ClaimedJob, Store, StoreError, StoredBatch};

use super::bounds::Bill;
use super::rate_limit::{Permit, RateLimiter};
use super::recorder::{MAX_GROUP, Recorder};
use super::salvage::{RunError, room};
use super::shutdown::{Shutdown, StopLevel};
use super::{Deps, RunKey, Settings};

/// A request in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) job: ClaimedJob,
    pub(super) key: KeyIndex,
    /// The tokens that it was let out for.
    pub(super) tokens: u32,
    /// Over which connections it went out, and when.
    pub(super) connections: u32,
    pub(super) sent: Timestamp,
}

/// Why and how firmly the run ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// It goes on.
    Open,
    /// The endpoint refused as if nothing could succeed; an answer that is still in flight would
    /// prove it wrong.
    Tentative(StopReason),
    /// It ends when what is in flight has come back.
    Firm(StopReason),
}

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Another round at once.
    Round,
    /// Wait for a request to come back or for a moment.
    Wait(Option<Timestamp>),
    /// The run is over.
    Finish,
}

/// A run on one batch.
pub(super) struct Dispatcher<'a> {
    pub(super) store: &'a Store,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) batch: &'a StoredBatch,
    pub(super) secrets: Vec<Option<Arc<SecretString>>>,
    pub(super) ring: KeyRing,
    pub(super) rate_limiter: RateLimiter,
    pub(super) bill: Bill<'a>,
    pub(super) schema: Option<&'a Schema>,
    /// What is sent instead for jobs whose last answer did not fit the schema.
    pub(super) follow_ups: HashMap<JobId, String>,
    /// Requests with each key that the day's count on disk does not have yet.
    pub(super) uncounted: Vec<u32>,
    /// The first moment of a wait that was told.
    pub(super) wait_told: Option<Timestamp>,
    pub(super) doubts: Doubts,
    pub(super) breaker: Breaker,
    pub(super) budget: RetryBudget,
    pub(super) window: Window,
    pub(super) latencies: Latencies,
    pub(super) recorder: Recorder,
    pub(super) stats: RunStats,
    pub(super) ending: Ending,
    pub(super) on_event: &'a mut dyn FnMut(&RunEvent),
    /// When the next pending job may be claimed, as of the last round; `None` when none is left.
    pub(super) next_due: Option<Timestamp>,
    /// Whether there are jobs that were in flight at several crashes; they go first, one by one.
    pub(super) suspects: bool,
    /// The jobs that were put off because no key is left for them, or that are held until more is
    /// known; with the last refusal, where its cause is not known.
    pub(super) stuck: BTreeMap<JobId, Option<AttemptRecord>>,
    /// Whether keys stand otherwise than was last written down.
    pub(super) keys_changed: bool,
    /// How often the connections were made anew.
    pub(super) connections: u32,
    /// When they last were.
    pub(super) fresh_since: Option<Timestamp>,
    /// Whether it was told that the write-ahead log is long.
    log_told: bool,
    workers: JoinSet<Attempt>,
    flights: HashMap<Id, Flight>,
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
            bill: Bill::new(deps.prices, &batch.template.model),
            schema: deps.schema,
            follow_ups: HashMap::new(),
            uncounted,
            wait_told: None,
            ring: KeyRing::new(keys, deps.clock.now()),
            settings,
            batch,
            secrets,
            doubts: Doubts::default(),
            breaker: Breaker::default(),
            budget: RetryBudget::new(deps.clock.now()),
            window: Window::new(settings.concurrency),
            latencies: Latencies::default(),
            recorder: Recorder::default(),
            stats: RunStats::default(),
            ending: Ending::Open,
            on_event,
            next_due: Some(Timestamp::default()),
            suspects: false,
            stuck: BTreeMap::new(),
            keys_changed: false,
            connections: 0,
            fresh_since: None,
            log_told: false,
            workers: JoinSet::new(),
            flights: HashMap::new(),
        }
    }

    /// Runs to the end, and counts.
    pub(super) async fn run(mut self, mut shutdown: Shutdown) -> Result<RunStats, RunError> {
        self.suspects = self.store.has_suspects(self.batch.id).await?;
        let spool = self
            .store
            .reserve_spool(room(self.settings.concurrency.most()));
        let spool = spool.await?;
        if let Err(cause) = self.rounds(&mut shutdown).await {
            return Err(self.salvage(cause, spool, &mut shutdown).await);
        }
        spool.remove()?;
        if let Ending::Tentative(reason) | Ending::Firm(reason) = self.ending {
            self.stats.stopped_by = Some(reason);
        }
        Ok(self.stats)
    }

    /// Goes round until nothing is left to do and all that has come back is on disk.
    async fn rounds(&mut self, shutdown: &mut Shutdown) -> Result<(), StoreError> {
        let mut deadline = None;
        loop {
            deadline = self.heed(shutdown, deadline);
            self.round().await?;
            match self.next().await? {
                Next::Round => {}
                Next::Wait(until) => self.wait(until, deadline, shutdown).await,
                Next::Finish => return self.save_keys().await,
            }
        }
    }

    /// Tells how many requests are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Does what a signal asks for. Returns when the patience with what is in flight ends.
    fn heed(&mut self, shutdown: &Shutdown, deadline: Option<Timestamp>) -> Option<Timestamp> {
        let (level, reason) = shutdown.level();
        let now = self.clock.now();
        if level == StopLevel::Run && self.time_is_up(now) {
            return Some(self.run_out(deadline, now));
        }
        let deadline = match (level, deadline) {
            (StopLevel::Run, _) => return None,
            (_, None) => {
                self.ending = Ending::Firm(reason.unwrap_or(StopReason::Interrupted));
                (self.on_event)(&RunEvent::Draining {
                    in_flight: self.flights.len(),
                });
                now + self.settings.grace
            }
            (_, Some(deadline)) => deadline,
        };
        if level == StopLevel::Abort || deadline <= now {
            self.give_up();
        }
        Some(deadline)
    }

    /// Settles, claims and sends.
    async fn round(&mut self) -> Result<(), StoreError> {
        if self.keys_changed {
            self.save_keys().await?;
        }
        let now = self.clock.now();
        let permits = self.admit(now);
        if permits.is_empty() && self.recorder.is_empty() {
            return Ok(());
        }
        if self.suspects && self.in_flight() == 0 && self.recorder.is_empty() {
            if let Some(suspect) = self.store.claim_suspect(self.batch.id).await? {
                self.assign(vec![suspect], permits, now);
                return self.count_requests(now).await;
            }
            self.suspects = false;
        }
        // A suspect is alone until what became of it is on disk.
        let limit = if self.suspects { 0 } else { permits.len() };
        let claim = Claim {
            batch: self.batch.id,
            limit,
        };
        let turn = self
            .recorder
            .turn(self.store, claim, now, self.on_event)
            .await?;
        self.watch_log();
        self.next_due = turn.next_due;
        self.assign(turn.claimed, permits, now);
        self.count_requests(now).await
    }

    /// Tells once when the write-ahead log grows without an end.
    fn watch_log(&mut self) {
        if !self.log_told
            && let Some(bytes) = self.store.long_log()
        {
            self.log_told = true;
            tracing::warn!(
                bytes,
                "the write-ahead log cannot be folded back: another program reads the database \
                 without an end"
            );
        }
    }

    /// Sends a job's request with a key. The claim is on disk.
    pub(super) fn launch(&mut self, mut job: ClaimedJob, permit: Permit, now: Timestamp) {
        let Permit { key, tokens } = permit;
        self.uncounted[key.0] += 1;
        self.stuck.remove(&job.id);
        self.stats.requests += 1;
        let body = Bytes::from(self.request_of(&mut job));
        let api = self.batch.template.api;
        let (client, secret) = (self.client.clone(), self.secrets[key.0].clone());
        failpoint::pass("send");
        let worker = self.workers.spawn(async move {
            failpoint::pass("worker");
            client.send(api, body, secret.as_deref(), now).await
        });
        let connections = self.connections;
        let flight = Flight {
            job,
            key,
            tokens,
            connections,
            sent: now,
        };
        self.flights.insert(worker.id(), flight);
    }

    /// Returns what is to be sent for a job. Where there is a schema, the job keeps its request: it may
    /// be needed to ask again.
    fn request_of(&self, job: &mut ClaimedJob) -> String {
        match self.follow_ups.get(&job.id) {
            Some(again) => again.clone(),
            None if self.schema.is_some() => job.request.clone(),
            None => std::mem::take(&mut job.request),
        }
    }

    async fn next(&mut self) -> Result<Next, StoreError> {
        if !self.recorder.is_empty() {
            return Ok(Next::Round);
        }
        let now = self.clock.now();
        if self.flights.is_empty() {
            if !matches!(self.ending, Ending::Open) || self.next_due.is_none() {
                return Ok(Next::Finish);
            }
            if let Some(reason) = self.bound_reached(now) {
                self.ending = Ending::Firm(reason);
                return Ok(Next::Finish);
            }
            let all_stuck = self.all_stuck().await?;
            if let Some(reason) = self.hopeless(all_stuck, now) {
                self.ending = Ending::Firm(reason);
                return Ok(Next::Finish);
            }
        }
        let until = self.wake_at(now);
        self.tell_wait(until, now);
        Ok(Next::Wait(until))
    }

    /// Tells whether every job that is left is stuck, so that none can tell anything of another.
    async fn all_stuck(&self) -> Result<bool, StoreError> {
        if self.stuck.is_empty() {
            return Ok(false);
        }
        let waiting = self.store.claimable(self.batch.id).await?;
        Ok(waiting <= self.stuck.len() as u64)
    }

    /// Waits until a request comes back, a moment is reached, or a signal comes; then takes in all
    /// that has come back by then.
    pub(super) async fn wait(
        &mut self,
        until: Option<Timestamp>,
        deadline: Option<Timestamp>,
        shutdown: &mut Shutdown,
    ) {
        let requests = self.in_flight();
        (self.on_event)(&RunEvent::InFlight { requests });
        let time_is_up = self.settings.bounds.until.filter(|_| deadline.is_none());
        let until = [until, deadline, time_is_up].into_iter().flatten().min();
        let sleep = async {
            match until {
                Some(until) => tokio::time::sleep_until(self.clock.instant(until)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(landed) = self.workers.join_next_with_id() => self.land(landed),
            () = shutdown.changed() => {}
            () = sleep => {}
        }
        for _ in 1..MAX_GROUP {
            let Some(landed) = self.workers.try_join_next_with_id() else {
                break;
            };
            self.land(landed);
        }
    }

    fn land(&mut self, landed: Result<(Id, Attempt), JoinError>) {
        let (id, attempt) = match landed {
            Ok((id, attempt)) => (id, Some(attempt)),
            Err(error) => (error.id(), None),
        };
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        failpoint::pass("answer");
        self.ring.came_back(flight.key);
        self.rate_limiter.came_back(flight.key);
        self.conclude(flight, attempt);
    }

    /// Gives up what is in flight: nobody knows how those requests end.
    pub(super) fn give_up(&mut self) {
        while let Some(landed) = self.workers.try_join_next_with_id() {
            self.land(landed);
        }
        self.workers.abort_all();
        self.workers.detach_all();
        for (_, flight) in std::mem::take(&mut self.flights) {
            self.ring.came_back(flight.key);
            self.rate_limiter.came_back(flight.key);
            self.abandon(&flight);
        }
    }
}
