//! What happens in a run, as values; the words for it are in this room alone.

use std::time::Duration;

use crate::domain::job::JobId;
use crate::domain::price::Cost;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Scope;

/// Something that happened in a run and that a person may want to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The run begins on a batch.
    Started {
        /// The batch's name.
        batch: String,
        /// Rows of the batch.
        total: u64,
        /// Rows that have their answer, or have failed for good, from before.
        settled: u64,
    },
    /// Requests were in flight when an earlier run died; their jobs are asked again.
    Rescued {
        /// How many.
        unknown: u64,
    },
    /// So many requests are in flight now.
    InFlight {
        /// How many.
        requests: usize,
    },
    /// A job got its answer, and it is safely stored.
    Answered {
        /// The job.
        job: JobId,
        /// From sending to the last byte.
        latency: Duration,
        /// Tokens of the request, as far as the provider told.
        prompt_tokens: u64,
        /// Tokens of the answer, as far as the provider told.
        completion_tokens: u64,
        /// What it cost; `None` when its price is not known.
        cost: Option<Cost>,
    },
    /// An attempt failed and its job goes back to the queue.
    Requeued {
        /// The job.
        job: JobId,
        /// Whose fault it was.
        scope: Scope,
        /// The rule that said so.
        rule: &'static str,
    },
    /// A job failed for good.
    JobFailed {
        /// The job.
        job: JobId,
        /// Whose fault it was.
        scope: Scope,
        /// The rule that said so.
        rule: String,
    },
    /// A key was set aside.
    KeySetAside {
        /// The key's label.
        key: String,
        /// What the provider said, redacted.
        reason: String,
        /// When it is tried again; `None` for not by itself.
        until: Option<Timestamp>,
    },
    /// A key that was set aside is used again.
    KeyBack {
        /// The key's label.
        key: String,
    },
    /// The endpoint cannot be reached, or does not answer well: the run goes on trying.
    Trouble {
        /// What happened, in the words of the provider or the system.
        what: String,
    },
    /// Nothing is sent with a key, or to the endpoint, before a moment. Said again when the moment
    /// moves.
    Waiting {
        /// Who: "key free-2", "the endpoint".
        who: String,
        /// The moment.
        until: Timestamp,
        /// Why, as a fragment: "rate limit".
        why: String,
    },
    /// What was waited for has come early.
    GoesOn {
        /// Who waited.
        who: String,
    },
    /// A first signal came: no more jobs are claimed, those in flight are waited for.
    Draining {
        /// Requests in flight.
        in_flight: usize,
    },
}
