//! Runs a scenario: drives the scheduler as the engine does, with a virtual clock, an in-memory
//! queue and a simulated provider.
//!
//! It panics if a job is claimed, sent or settled out of order, and if the scheduler spins or waits
//! for nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use promptmill::domain::job::{AttemptRecord, Completion, JobClaim, JobId};
use promptmill::domain::keyring::KeyIndex;
use promptmill::domain::price::Prices;
use promptmill::domain::time::Timestamp;
use promptmill::scheduler::{Effect, EndpointName, Event, LaneEnd, LaneId, Scheduler, StopLevel};

use super::provider::{Provider, Response};
use super::queue::{Outcome, Queue};
use super::scenario::{START, Scenario};

/// How long a transaction takes.
const COMMIT: Duration = Duration::from_millis(2);
/// The maximum number of responses handled between two transactions.
const MAX_GROUP: usize = 256;
/// The IDs of the jobs of lane n start at n times this number.
const JOBS_PER_LANE: i64 = 1_000_000;
/// The maximum number of rounds without a request sent or a response received.
const MAX_IDLE_ROUNDS: u32 = 1000;
/// The maximum number of rounds of a simulation.
const MAX_ROUNDS: usize = 100_000;

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: Timestamp,
    pub(super) job: JobId,
    pub(super) lane: LaneId,
    pub(super) key: KeyIndex,
    /// Other requests in flight at that time.
    pub(super) others: usize,
}

/// What has happened in a simulation.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) sent: Vec<Sent>,
    pub(super) completed: Vec<Timestamp>,
    pub(super) ends: BTreeMap<LaneId, (Timestamp, LaneEnd)>,
    /// The queues of the lanes when they ended.
    pub(super) queues: BTreeMap<LaneId, Queue>,
    pub(super) rounds: usize,
}

#[derive(Debug)]
struct Flight {
    claim: JobClaim,
    response: Response,
}

/// How long to wait: until a time, or without limit.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Option<Timestamp>,
}

/// A settlement that the next transaction writes.
type Settlement = (JobClaim, Outcome, Option<AttemptRecord>);

struct Simulation<'s> {
    scenario: &'s Scenario,
    scheduler: Scheduler,
    provider: Provider,
    now: Timestamp,
    queues: BTreeMap<LaneId, Queue>,
    /// Requests in flight by the arrival of their responses, then in the order they were sent.
    flights: BTreeMap<(Timestamp, usize), Flight>,
    /// Effects that need the database.
    pending: VecDeque<Effect>,
    claims: Vec<(LaneId, usize)>,
    unwritten: Vec<Settlement>,
    idle_rounds: u32,
    history: History,
}

/// Runs a scenario until all of its lanes have ended.
pub(super) fn run(scenario: &Scenario) -> History {
    let seed = (scenario.seed, START);
    let mut simulation = Simulation {
        scenario,
        scheduler: Scheduler::new(
            scenario.settings,
            EndpointName::default(),
            Prices::default(),
            &scenario.keys,
            seed,
        ),
        provider: Provider::new(scenario.endpoint.clone(), scenario.seed, START),
        now: START,
        queues: BTreeMap::new(),
        flights: BTreeMap::new(),
        pending: VecDeque::new(),
        claims: Vec::new(),
        unwritten: Vec::new(),
        idle_rounds: 0,
        history: History::default(),
    };
    for (n, batch) in scenario.batches.iter().enumerate() {
        let (id, setup) = batch.lane(n, &scenario.keys);
        let first = id.0 * JOBS_PER_LANE + 1;
        let queue = Queue::new(first, batch.rows, batch.suspects);
        simulation.queues.insert(id, queue);
        simulation.handle(Event::LaneOpened(id, setup));
    }
    simulation.run_until_all_end();
    simulation.history
}

fn lane_of(job: JobId) -> LaneId {
    LaneId(job.0 / JOBS_PER_LANE)
}

impl Simulation<'_> {
    fn run_until_all_end(&mut self) {
        while !self.queues.is_empty() {
            self.history.rounds += 1;
            self.idle_rounds += 1;
            assert!(self.idle_rounds < MAX_IDLE_ROUNDS, "the scheduler spins");
            assert!(self.history.rounds < MAX_ROUNDS, "the run does not end");
            let level = self.stop_level();
            self.handle(Event::StopRequested(level, None));
            self.round();
            if !self.unwritten.is_empty() {
                continue;
            }
            self.handle(Event::Idle);
            if let Some(wait) = self.execute_pending() {
                self.wait(wait.until);
            }
        }
    }

    fn stop_level(&self) -> StopLevel {
        let stops = self.scenario.stops.iter();
        let past = stops.filter(|(after, _)| START + *after <= self.now);
        past.map(|(_, level)| *level).max().unwrap_or_default()
    }

    /// Settles finished requests, claims jobs and sends them.
    fn round(&mut self) {
        let unwritten = !self.unwritten.is_empty();
        self.handle(Event::Ready { unwritten });
        self.execute_pending();
        let claims = std::mem::take(&mut self.claims);
        if claims.is_empty() && self.unwritten.is_empty() {
            return;
        }
        for (claim, outcome, attempt) in std::mem::take(&mut self.unwritten) {
            let rule = attempt.map(|attempt| attempt.rule);
            let queue = self.queue(lane_of(claim.job));
            queue.settle(claim, outcome, rule);
        }
        let now = self.now;
        let claim = |(lane, limit)| {
            let queue = self.queue(lane);
            let jobs = queue.claim(limit, now);
            let next_due = queue.next_due();
            Event::Claimed {
                lane,
                jobs,
                next_due,
            }
        };
        let results: Vec<_> = claims.into_iter().map(claim).collect();
        self.now = now + COMMIT;
        for result in results {
            self.handle(result);
        }
    }

    fn queue(&mut self, lane: LaneId) -> &mut Queue {
        self.queues.get_mut(&lane).expect("the lane is open")
    }

    /// Passes an event to the scheduler, and executes the effects that do not need the database.
    fn handle(&mut self, event: Event<'_>) {
        for effect in self.scheduler.on(event, self.now) {
            self.execute(effect);
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Send { claim, key, .. } => self.send(claim, key),
            Effect::Complete { claim, .. } => {
                self.history.completed.push(self.now);
                self.unwritten.push((claim, Outcome::Done, None));
            }
            Effect::Settle {
                claim,
                transition,
                attempt,
                ..
            } => {
                let settlement = (claim, Outcome::NotDone(transition), attempt);
                self.unwritten.push(settlement);
            }
            Effect::Abandon => {
                for flight in std::mem::take(&mut self.flights).into_values() {
                    self.provider.finish(&flight.response);
                    self.handle(Event::Abandoned(flight.claim));
                }
            }
            Effect::Report(_) | Effect::Reconnect => {}
            effect => self.pending.push_back(effect),
        }
    }

    fn send(&mut self, claim: JobClaim, key: KeyIndex) {
        let job = claim.job;
        let is_in_flight = self.flights.values().any(|flight| flight.claim.job == job);
        assert!(!is_in_flight, "sent while in flight: {job:?}");
        self.idle_rounds = 0;
        self.history.sent.push(Sent {
            at: self.now,
            job,
            lane: lane_of(job),
            key,
            others: self.flights.len(),
        });
        let response = self.provider.receive(job, key, self.now);
        let arrival = (self.now + response.latency, self.history.sent.len());
        self.flights.insert(arrival, Flight { claim, response });
    }

    /// Executes the effects that need the database. Returns how long to wait, if that was decided.
    fn execute_pending(&mut self) -> Option<Wait> {
        let mut wait = None;
        while let Some(effect) = self.pending.pop_front() {
            match effect {
                Effect::Wait(until) => wait = Some(Wait { until }),
                Effect::Claim(lane, limit) => self.claims.push((lane, limit)),
                Effect::ClaimSuspect(lane) => {
                    let job = self.queue(lane).claim_suspect();
                    self.now = self.now + COMMIT;
                    self.handle(Event::SuspectClaimed(lane, job));
                }
                Effect::CountClaimable(lane) => {
                    let jobs = self.queue(lane).claimable() as u64;
                    self.handle(Event::ClaimableCounted(lane, jobs));
                }
                Effect::EndLane(lane, end) => {
                    self.handle(Event::LaneClosed(lane));
                    let queue = self.queues.remove(&lane).expect("a lane ends once");
                    self.history.queues.insert(lane, queue);
                    self.history.ends.insert(lane, (self.now, end));
                }
                _ => {}
            }
        }
        wait
    }

    /// Waits for a response, a time or a stop, then handles the responses that have arrived.
    fn wait(&mut self, until: Option<Timestamp>) {
        let arrival = self.flights.first_key_value().map(|((at, _), _)| *at);
        let stops = self.scenario.stops.iter().map(|(after, _)| START + *after);
        let stop = stops.filter(|at| *at > self.now).min();
        let next = [until, arrival, stop].into_iter().flatten().min();
        self.now = self.now.max(next.expect("the scheduler waits for nothing"));
        for _ in 0..MAX_GROUP {
            match self.flights.first_entry() {
                Some(first) if first.key().0 <= self.now => {
                    let flight = first.remove();
                    self.finish(&flight);
                }
                _ => break,
            }
        }
    }

    fn finish(&mut self, flight: &Flight) {
        self.idle_rounds = 0;
        let (claim, response) = (flight.claim, &flight.response);
        self.provider.finish(response);
        if response.reported.is_some() {
            let limits = [response.reported, None];
            self.handle(Event::LimitsReported(claim, limits));
        }
        let latency = response.latency;
        match &response.failure {
            Some(failure) => self.handle(Event::Failed {
                claim,
                failure,
                latency,
            }),
            None => self.handle(Event::Completed {
                claim,
                completion: &completion(),
                violation: None,
                latency,
            }),
        }
    }
}

fn completion() -> Completion {
    Completion {
        body: String::new(),
        model: "m".to_owned(),
        finish_reason: "stop".to_owned(),
        prompt_tokens: Some(200),
        completion_tokens: Some(100),
        latency_ms: 0,
        request_id: String::new(),
    }
}
