//! Run events. Their wording is in `progress::wording`.

use std::time::Duration;

use crate::domain::job::JobId;
use crate::domain::price::Cost;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

/// An event of a run that can be shown to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// A run of a batch started.
    Started {
        /// The batch's name.
        batch: String,
        /// Rows of the batch.
        total: u64,
        /// Rows that had already completed or failed permanently.
        settled: u64,
    },
    /// Requests were in flight when an earlier run crashed; their jobs are retried.
    Recovered {
        /// Number of such requests.
        unknown: u64,
    },
    /// The number of requests in flight changed.
    InFlight {
        /// Requests in flight.
        requests: usize,
    },
    /// A job completed and its response is stored.
    Completed {
        /// The job.
        job: JobId,
        /// Time from sending the request to the last byte.
        latency: Duration,
        /// Prompt tokens; 0 if the provider did not report them.
        prompt_tokens: u64,
        /// Completion tokens; 0 if the provider did not report them.
        completion_tokens: u64,
        /// The cost; `None` if the price is unknown.
        cost: Option<Cost>,
    },
    /// An attempt failed and its job returns to the queue.
    Requeued {
        /// The job.
        job: JobId,
        /// The scope of the failure.
        scope: Scope,
        /// The rule that matched.
        rule: &'static str,
    },
    /// A job failed permanently.
    JobFailed {
        /// The job.
        job: JobId,
        /// The scope of the failure.
        scope: Scope,
        /// The rule that matched.
        rule: String,
    },
    /// A key was disabled.
    KeyDisabled {
        /// The key's label.
        key: String,
        /// The provider's message, redacted.
        reason: String,
        /// When it is enabled again; `None` if it stays disabled until reset.
        until: Option<Timestamp>,
    },
    /// A disabled key is enabled again.
    KeyEnabled {
        /// The key's label.
        key: String,
    },
    /// The endpoint is unreachable or returns errors; the run keeps retrying.
    EndpointFailing {
        /// The message of the provider or the operating system.
        message: String,
    },
    /// No requests are sent with a key, or to the endpoint, until a given time. Repeated when that
    /// time changes.
    Waiting {
        /// The key or the endpoint: "key free-2" or "endpoint".
        subject: String,
        /// When the wait ends.
        until: Timestamp,
        /// The reason, as a fragment: "rate limit".
        reason: String,
    },
    /// A wait ended early.
    Resumed {
        /// Same as in `Waiting`.
        subject: String,
    },
    /// The first signal: no more jobs are claimed, and the run waits for requests in flight.
    Draining {
        /// Requests in flight.
        in_flight: usize,
    },
}

#[cfg(test)]
impl RunEvent {
    pub(super) fn started(batch: &str, total: u64, settled: u64) -> Self {
        Self::Started {
            batch: batch.to_owned(),
            total,
            settled,
        }
    }

    pub(super) fn completed(job: i64, tokens: (u64, u64), cost: Option<Cost>) -> Self {
        Self::Completed {
            job: JobId(job),
            latency: Duration::from_millis(5),
            prompt_tokens: tokens.0,
            completion_tokens: tokens.1,
            cost,
        }
    }

    pub(super) fn requeued(job: i64) -> Self {
        Self::Requeued {
            job: JobId(job),
            scope: Scope::Transient,
            rule: "server-error",
        }
    }

    pub(super) fn failed(job: i64) -> Self {
        Self::JobFailed {
            job: JobId(job),
            scope: Scope::Request,
            rule: "too-long".to_owned(),
        }
    }

    pub(super) fn waiting(subject: &str, reason: &str, until: Timestamp) -> Self {
        Self::Waiting {
            subject: subject.to_owned(),
            until,
            reason: reason.to_owned(),
        }
    }

    pub(super) fn disabled(key: &str, reason: &str, until: Option<Timestamp>) -> Self {
        Self::KeyDisabled {
            key: key.to_owned(),
            reason: reason.to_owned(),
            until,
        }
    }
}
