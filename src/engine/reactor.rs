//! Passes events to the scheduler, executes the effects that need no database, and waits for
//! requests.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::job::{Completion, JobClaim};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::progress::event::RunEvent;
use crate::provider::Exchange;
use crate::scheduler::{Effect, Event, Scheduler};

use super::actions::{Actions, completion_of};
use super::rate_headers;
use super::recorder::MAX_GROUP;
use super::shutdown::Shutdown;

/// The part of an engine that works without the database.
pub(super) struct Reactor<'a> {
    pub(super) scheduler: Scheduler,
    pub(super) actions: Actions,
    pub(super) clock: Clock,
    pub(super) on_event: &'a mut dyn FnMut(&RunEvent),
    /// Effects that need the database.
    pub(super) pending: VecDeque<Effect>,
}

impl Reactor<'_> {
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
                effect => self.pending.extend(self.actions.execute(effect, now)),
            }
        }
    }

    /// Waits for a request, a time or a shutdown, then handles all finished requests.
    pub(super) async fn wait(&mut self, until: Option<Timestamp>, shutdown: &mut Shutdown) {
        let requests = self.actions.flights.in_flight();
        (self.on_event)(&RunEvent::InFlight { requests });
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
