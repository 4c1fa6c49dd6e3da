//! What happened to a batch, request by request: the facts for those who look back at a run. No
//! prompt, answer or message is among them.

use super::time::Timestamp;
use super::verdict::Scope;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedRequest {
    /// The model, as the provider told it.
    pub model: String,
    /// Why the answer ended; empty when the provider told nothing.
    pub finish_reason: String,
    /// Tokens of the request, where the provider told.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where the provider told.
    pub completion_tokens: Option<u64>,
    /// Milliseconds from sending to the last byte.
    pub latency_ms: u64,
    /// The label of the key that was used.
    pub key_label: String,
    /// When it came.
    pub ended_at: Timestamp,
}

/// A request that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// Whose fault it was.
    pub scope: Scope,
    /// Whether its end is unknown: the program died, or gave it up.
    pub unknown: bool,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Milliseconds that the provider asked to wait.
    pub wait_ms: Option<u64>,
    /// The label of the key that was used; empty when none was.
    pub key_label: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether its row failed for good with it.
    pub is_last: bool,
}

impl FailedRequest {
    /// Tells whether it met a rate limit or a quota.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        !self.unknown && (self.scope == Scope::Quota || self.status == Some(429))
    }
}
