//! Claims on jobs, and their settlements.

use serde::{Deserialize, Serialize};

use crate::domain::job::{AttemptRecord, Completion, JobId};
use crate::domain::time::Timestamp;

/// A claim on up to `limit` due jobs of a batch, in input order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The batch ID.
    pub batch: i64,
    /// Maximum number of jobs; 0 claims none.
    pub limit: usize,
}

/// A claimed job, which can be sent and settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job.
    pub id: JobId,
    /// The number of this claim, which the settlement must have.
    pub claim_no: i64,
    /// Attempts so far that count against the job's limit.
    pub spent: u32,
    /// The rules of earlier failed attempts, oldest first.
    pub rules: Vec<String>,
    /// The request body.
    pub request: String,
}

/// The result of settling and claiming in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueUpdate {
    /// The result of each claim, in the order of the claims.
    pub claims: Vec<ClaimResult>,
    /// Settlements without effect, because the job was no longer held under their claim.
    pub stale: u64,
}

/// The result of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimResult {
    /// The claimed jobs, in input order.
    pub jobs: Vec<ClaimedJob>,
    /// When the next job of the batch can be claimed; `None` if none is pending.
    pub next_due: Option<Timestamp>,
}

/// The outcome of a claimed job. It is only applied if `claim_no` is the current claim of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The job.
    pub id: JobId,
    /// The claim under which the job was held.
    pub claim_no: i64,
    /// Number of HTTP requests sent under this claim: 0 or 1.
    pub requests: u32,
    /// The outcome.
    #[serde(rename = "settled_as")]
    pub outcome: JobOutcome,
    /// The failed attempt, if the request did not succeed.
    pub attempt: Option<AttemptRecord>,
    /// The label of the API key; empty if none was used.
    pub key_label: String,
}

impl Settlement {
    /// Returns the approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.outcome {
            JobOutcome::Done(completion) => completion.body.len(),
            JobOutcome::Requeued { .. } | JobOutcome::Failed => 0,
        }
    }
}

/// The state of a job after a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobOutcome {
    /// Completed.
    Done(Completion),
    /// Pending again.
    Requeued {
        /// The earliest time of the next claim.
        not_before: Timestamp,
        /// Whether the attempt counts against the job's limit.
        counted: bool,
    },
    /// Failed permanently.
    Failed,
}
