//! The actions that need no database: sends requests and passes outcomes to the recorder.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::failure::Failure;
use crate::domain::job::{AttemptRecord, Completion, JobClaim};
use crate::domain::keyring::KeyIndex;
use crate::domain::price::Cost;
use crate::domain::retry::Transition;
use crate::domain::time::Timestamp;
use crate::domain::tokens;
use crate::failpoint;
use crate::progress::event::RunEvent;
use crate::provider::{Client, ParsedCompletion};
use crate::scheduler::{Candidate, Effect, LaneId};
use crate::store::{ClaimedJob, JobOutcome, Settlement};

use super::flights::{Flights, HeldJob};
use super::keys::EngineKeys;
use super::lane::Lane;
use super::recorder::Recorder;

/// The lanes, the keys, the requests in flight, and the results to be written.
#[derive(Debug)]
pub(super) struct Actions {
    pub(super) keys: EngineKeys,
    client: Client,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    pub(super) flights: Flights,
    pub(super) recorder: Recorder,
    /// The completion that the current effects are about, and its latency.
    pub(super) completion: Option<(Completion, Duration)>,
}

impl Actions {
    pub(super) fn new(keys: EngineKeys, client: Client) -> Self {
        Self {
            keys,
            client,
            lanes: BTreeMap::new(),
            flights: Flights::default(),
            recorder: Recorder::default(),
            completion: None,
        }
    }

    /// Keeps the request of a claimed job until it is settled, and describes it to the scheduler.
    pub(super) fn hold(&mut self, lane: LaneId, job: ClaimedJob, with_tokens: bool) -> Candidate {
        let claim = JobClaim {
            job: job.id,
            number: job.claim_no,
        };
        let api = self.lanes.get(&lane).map(Lane::api).filter(|_| with_tokens);
        let candidate = Candidate {
            claim,
            spent: job.spent,
            rules: job.rules,
            request_tokens: api.map_or(0, |_| tokens::estimate_request(&job.request)),
            max_completion_tokens: api.and_then(|api| api.max_completion_tokens(&job.request)),
        };
        let request = job.request;
        self.flights.held.insert(claim, HeldJob { lane, request });
        candidate
    }

    /// Executes an effect, or returns it if it needs the database.
    pub(super) fn execute(&mut self, effect: Effect, now: Timestamp) -> Option<Effect> {
        match effect {
            Effect::Send {
                claim,
                key,
                day: None,
            } => self.send(claim, key, now),
            Effect::Settle {
                claim,
                key,
                transition,
                attempt,
                event,
            } => self.settle((claim, key), outcome_of(transition), attempt, event),
            Effect::Complete { claim, key, cost } => self.complete(claim, key, cost),
            Effect::Reconnect => match self.client.reconnect() {
                Ok(client) => self.client = client,
                Err(error) => tracing::debug!(%error, "cannot replace the connections"),
            },
            effect => return Some(effect),
        }
        None
    }

    /// Sends the request of a job. Its claim must be on disk, and the request counted.
    pub(super) fn send(&mut self, claim: JobClaim, key: KeyIndex, now: Timestamp) {
        let Some(held) = self.flights.held.get_mut(&claim) else {
            return;
        };
        let Some(lane) = self.lanes.get(&held.lane) else {
            return;
        };
        let body = Bytes::from(lane.request_body(claim.job, &mut held.request));
        let api = lane.api();
        let (client, secret) = (self.client.clone(), self.keys.secret(key));
        failpoint::hit_or_panic("send");
        self.flights.send(claim, async move {
            failpoint::hit_or_panic("worker");
            client.send(api, body, secret.as_deref(), now).await
        });
    }

    /// Returns how a completion violates the schema of its batch, if it does. The next request of
    /// the job then contains the completion and the reason for its rejection.
    pub(super) fn check_schema(
        &mut self,
        claim: JobClaim,
        completion: &Completion,
    ) -> Option<Failure> {
        let held = self.flights.held.get_mut(&claim)?;
        let lane = self.lanes.get_mut(&held.lane)?;
        lane.check_schema(claim.job, &held.request, completion)
    }

    fn complete(&mut self, claim: JobClaim, key: KeyIndex, cost: Option<Cost>) {
        let Some((completion, latency)) = self.completion.take() else {
            return;
        };
        let event = RunEvent::Completed {
            job: claim.job,
            latency,
            prompt_tokens: completion.prompt_tokens.unwrap_or_default(),
            completion_tokens: completion.completion_tokens.unwrap_or_default(),
            cost,
        };
        let outcome = JobOutcome::Done(completion);
        self.settle((claim, Some(key)), outcome, None, Some(event));
    }

    /// Passes the outcome of a job to the recorder. `key` is the key of its request, if one was
    /// sent.
    fn settle(
        &mut self,
        (claim, key): (JobClaim, Option<KeyIndex>),
        outcome: JobOutcome,
        attempt: Option<AttemptRecord>,
        event: Option<RunEvent>,
    ) {
        let Some(held) = self.flights.held.remove(&claim) else {
            return;
        };
        if !matches!(outcome, JobOutcome::Requeued { .. })
            && let Some(lane) = self.lanes.get_mut(&held.lane)
        {
            lane.forget_follow_up(claim.job);
        }
        let settlement = Settlement {
            id: claim.job,
            claim_no: claim.number,
            requests: u32::from(key.is_some()),
            outcome,
            attempt,
            key_label: key.map_or_else(String::new, |key| self.keys.label(key).to_owned()),
        };
        self.recorder.push(settlement, event);
    }
}

fn outcome_of(transition: Transition) -> JobOutcome {
    match transition {
        Transition::Fail => JobOutcome::Failed,
        Transition::Requeue {
            not_before,
            counted,
        } => JobOutcome::Requeued {
            not_before,
            counted,
        },
    }
}

/// Combines a parsed completion with the metadata of its request.
pub(super) fn completion_of(
    parsed: ParsedCompletion,
    request_id: String,
    latency: Duration,
) -> Completion {
    let metadata = parsed.metadata;
    Completion {
        body: parsed.body,
        model: metadata.model,
        finish_reason: metadata.finish_reason,
        prompt_tokens: metadata.prompt_tokens,
        completion_tokens: metadata.completion_tokens,
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        request_id,
    }
}
