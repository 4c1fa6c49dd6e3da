//! The events that the scheduler receives, and the effects that it asks for.

use std::time::Duration;

use crate::domain::failure::Failure;
use crate::domain::job::{AttemptRecord, Completion, JobClaim};
use crate::domain::key::Key;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::Cost;
use crate::domain::retry::Transition;
use crate::domain::run_stats::{StopReason, Usage};
use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;

use super::rate_limit::ReportedLimit;
use super::stop::StopLevel;

/// A lane: the scheduling of one batch. The number is the ID of the batch, so that lanes are in
/// import order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub i64);

/// What the scheduler has to know about a batch.
#[derive(Clone, Debug, Default)]
pub struct LaneSetup {
    /// The model of its requests.
    pub model: String,
    /// When the batch should be complete, if there is a deadline.
    pub deadline: Option<Timestamp>,
    /// The keys that serve the model, with their stored states.
    pub keys: Vec<(KeyIndex, Key)>,
    /// Whether jobs were in flight at several crashes. They are sent first, one at a time.
    pub has_suspects: bool,
}

/// A claimed job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The claim.
    pub claim: JobClaim,
    /// Attempts so far that count against the job's limit.
    pub spent: u32,
    /// The rules of earlier failed attempts, oldest first.
    pub rules: Vec<String>,
    /// The estimated size of its request; 0 if no key has a token limit.
    pub request_tokens: u64,
    /// The limit on its completion that the request contains, if any, in tokens.
    pub max_completion_tokens: Option<u64>,
}

/// How a lane has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEnd {
    /// Why it stopped early; `None` if no work remains.
    pub reason: Option<StopReason>,
    /// When to run again, if known.
    pub resume_at: Option<Timestamp>,
    /// What it has used.
    pub usage: Usage,
}

/// Something that has happened.
#[derive(Debug)]
pub enum Event<'e> {
    /// A batch is to be processed.
    LaneOpened(LaneId, LaneSetup),
    /// Jobs of a drained lane can be claimed again.
    LaneReopened(LaneId),
    /// A lane that has ended is no longer needed.
    LaneClosed(LaneId),
    /// Other processes may have changed the queue: all lanes are read again.
    QueueChanged,
    /// The user has reset the state of these keys.
    KeysReset(Vec<KeyIndex>),
    /// Jobs can be claimed now.
    Ready {
        /// Whether results are waiting to be written.
        unwritten: bool,
    },
    /// An [`Effect::Claim`] was executed.
    Claimed {
        /// The lane.
        lane: LaneId,
        /// The jobs.
        jobs: Vec<Candidate>,
        /// When the next job can be claimed; `None` if none is pending.
        next_due: Option<Timestamp>,
    },
    /// An [`Effect::ClaimSuspect`] was executed.
    SuspectClaimed(LaneId, Option<Candidate>),
    /// An [`Effect::CountClaimable`] was executed: the number of jobs that can be claimed, now or
    /// later.
    ClaimableCounted(LaneId, u64),
    /// The provider has reported its limits of requests and tokens with a response for a job.
    LimitsReported(JobClaim, [Option<ReportedLimit>; 2]),
    /// A request returned a completion.
    Completed {
        /// The claim of the job.
        claim: JobClaim,
        /// The completion.
        completion: &'e Completion,
        /// How the completion violates the schema of the batch, if it does.
        violation: Option<&'e Failure>,
        /// The duration of the request.
        latency: Duration,
    },
    /// A request failed.
    Failed {
        /// The claim of the job.
        claim: JobClaim,
        /// The failure.
        failure: &'e Failure,
        /// The duration of the request.
        latency: Duration,
    },
    /// A request was abandoned in flight.
    Abandoned(JobClaim),
    /// The current level of shutdown, with the reason for it.
    StopRequested(StopLevel, Option<StopReason>),
    /// Nothing is waiting to be written: decides which lanes end, and how long to wait.
    Idle,
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Claim up to this many jobs of a lane; 0 only reads when its next job is due.
    Claim(LaneId, usize),
    /// Claim a job of a lane that was in flight at several crashes.
    ClaimSuspect(LaneId),
    /// Count the jobs of a lane that can be claimed.
    CountClaimable(LaneId),
    /// Send the request of a claimed job.
    Send {
        /// The claim of the job.
        claim: JobClaim,
        /// The key to send it with.
        key: KeyIndex,
        /// The start of the key's day, if its requests are counted per day.
        day: Option<Timestamp>,
    },
    /// Complete a job with the completion of the event.
    Complete {
        /// The claim of the job.
        claim: JobClaim,
        /// The key that completed it.
        key: KeyIndex,
        /// The cost, if the price is known.
        cost: Option<Cost>,
    },
    /// Requeue or fail a claimed job.
    Settle {
        /// The claim of the job.
        claim: JobClaim,
        /// The key of its request, if one was sent.
        key: Option<KeyIndex>,
        /// Whether it is requeued or fails.
        transition: Transition,
        /// The failed attempt, if any.
        attempt: Option<AttemptRecord>,
        /// The event to report once the outcome is on disk.
        event: Option<RunEvent>,
    },
    /// Save the states of the keys for a model.
    SaveKeys {
        /// The model.
        model: String,
        /// The keys that serve it.
        keys: Vec<Key>,
    },
    /// Use new connections for later requests.
    Reconnect,
    /// Abandon the requests in flight.
    Abandon,
    /// Report an event to the user.
    Report(RunEvent),
    /// A lane has ended, with nothing in flight.
    EndLane(LaneId, LaneEnd),
    /// Wait for a request to finish, or for this time.
    Wait(Option<Timestamp>),
}
