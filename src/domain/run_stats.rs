//! Counts of a run, from which its summary and exit code are derived.

use std::ops::AddAssign;

use super::price::Cost;
use super::time::Timestamp;
use super::verdict::Scope;

/// What a run has used and achieved so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent.
    pub requests: u64,
    /// Requests that reached a rate limit or a quota.
    pub throttled: u64,
    /// Requests abandoned in flight, with an unknown result.
    pub unknown: u64,
    /// Prompt tokens, as reported by the provider.
    pub prompt_tokens: u64,
    /// Completion tokens, as reported by the provider.
    pub completion_tokens: u64,
    /// Rows that were completed or failed permanently.
    pub finished: u64,
    /// Completions returned.
    pub completions: u64,
    /// The cost, as far as prices are known.
    pub cost: Cost,
    /// Completions with an unknown price.
    pub unpriced: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.throttled += other.throttled;
        self.unknown += other.unknown;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.finished += other.finished;
        self.completions += other.completions;
        self.cost += other.cost;
        self.unpriced += other.unpriced;
    }
}

/// Rows by status, including those of earlier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// All rows.
    pub total: u64,
    /// Completed rows.
    pub done: u64,
    /// Permanently failed rows.
    pub failed: u64,
    /// Rows that are neither completed nor failed.
    pub remaining: u64,
}

impl AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.done += other.done;
        self.failed += other.failed;
        self.remaining += other.remaining;
    }
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// The rows of the batch.
    pub rows: RowCounts,
    /// What the run has used and achieved. Its unknown requests include those that were in flight
    /// when an earlier run crashed.
    pub usage: Usage,
    /// Requests that were in flight when an earlier run crashed and that this run sends again.
    pub recovered: u64,
    /// Why jobs failed or are waiting, most frequent first.
    pub causes: Vec<Cause>,
    /// Why the run stopped early; `None` if nothing remained to do.
    pub stopped_by: Option<StopReason>,
    /// When to run again, if known.
    pub resume_at: Option<Timestamp>,
}

impl RunStats {
    /// Replaces the result of a batch with a later one of the same run. What both have used adds up.
    pub fn replace(&mut self, later: Self) {
        let (mut usage, recovered) = (self.usage, self.recovered + later.recovered);
        usage += later.usage;
        *self = Self {
            usage,
            recovered,
            ..later
        };
    }

    /// Adds the result of another batch. The first stop reason and the earliest time to run again
    /// are kept.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.usage += other.usage;
        self.recovered += other.recovered;
        self.causes.extend(other.causes);
        self.stopped_by = self.stopped_by.take().or(other.stopped_by);
        self.resume_at = [self.resume_at, other.resume_at]
            .into_iter()
            .flatten()
            .min();
    }
}

/// A cause of failures, with the number of affected jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Scope of the failure.
    pub scope: Scope,
    /// Rule that classified the failure.
    pub rule: String,
    /// Most recent message of the provider, redacted.
    pub message: String,
    /// What to do about it; empty if there is nothing to do.
    pub hint: String,
    /// Number of affected jobs.
    pub jobs: u64,
}

/// Why a run stopped before all work was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
    /// No usable API key left, with the reason for each key, or with another cause.
    NoUsableKey(String),
    /// Configuration error (address, endpoint, model or certificate), with its description.
    Misconfigured(String),
    /// The endpoint was unavailable for too long.
    Unavailable,
    /// Remaining rows are waiting for a rate limit or a quota for longer than the run can wait.
    Quota,
    /// A limit of the run was reached, given by its flag.
    Limit(&'static str),
}
