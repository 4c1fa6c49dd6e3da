//! The tally: the counts of a run, from which its summary and its exit code follow.

use super::price::Cost;
use super::time::Timestamp;
use super::verdict::Scope;

/// What a run did and what it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Rows of the batch.
    pub total: u64,
    /// Rows with an answer, those of earlier runs among them.
    pub done: u64,
    /// Rows that failed for good, those of earlier runs among them.
    pub failed: u64,
    /// Rows still to be answered.
    pub left: u64,
    /// Requests sent by this run.
    pub requests: u64,
    /// Requests of this run that met a rate limit or a quota.
    pub throttled: u64,
    /// Requests that were in flight when a run died or was stopped: nobody knows their end.
    pub unknown: u64,
    /// Requests that were in flight when an earlier run died, whose jobs this run asks again.
    pub rescued: u64,
    /// Tokens of this run's requests, as far as the provider told.
    pub prompt_tokens: u64,
    /// Tokens of this run's answers, as far as the provider told.
    pub completion_tokens: u64,
    /// Rows that this run brought to their end: answered, or failed for good.
    pub ended: u64,
    /// Answers that this run got.
    pub answers: u64,
    /// What this run's answers cost, as far as prices are known.
    pub cost: Cost,
    /// Answers of this run whose price is not known.
    pub unpriced: u64,
    /// Why jobs failed or wait, most frequent first.
    pub causes: Vec<Cause>,
    /// Why the run ended before the work did; `None` when nothing was left to do.
    pub stopped_by: Option<StopReason>,
    /// When it makes sense to run again, where that is known.
    pub resume_at: Option<Timestamp>,
}

impl RunStats {
    /// Adds the counts of a further batch; how that one ended is how the whole ended.
    pub fn add(&mut self, other: Self) {
        self.total += other.total;
        self.done += other.done;
        self.failed += other.failed;
        self.left += other.left;
        self.requests += other.requests;
        self.throttled += other.throttled;
        self.unknown += other.unknown;
        self.rescued += other.rescued;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.ended += other.ended;
        self.answers += other.answers;
        self.cost += other.cost;
        self.unpriced += other.unpriced;
        self.causes.extend(other.causes);
        self.stopped_by = other.stopped_by;
        self.resume_at = other.resume_at;
    }
}

/// One cause of failures, with the number of jobs it hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Whose fault it is.
    pub scope: Scope,
    /// The rule that said so.
    pub rule: String,
    /// What the provider said, the last time, redacted.
    pub message: String,
    /// What a person should do about it; empty where there is nothing to do.
    pub hint: String,
    /// Jobs it hit.
    pub jobs: u64,
}

/// Why a run ended before the work did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
    /// No key is left that may be used: says why, key by key, or why keys are not the cause.
    NoUsableKey(String),
    /// The set-up cannot work (address, endpoint, model, certificate): says what is wrong.
    Misconfigured(String),
    /// The endpoint did not answer for too long.
    Unavailable,
    /// What is left waits for a limit, longer than the run may wait.
    Quota,
    /// The run has gone as far as it was allowed: says by which bound, as a fragment.
    Limit(&'static str),
}
