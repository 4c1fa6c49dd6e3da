//! The request history of a batch, for reports. It contains no prompts, responses or messages.

use super::time::Timestamp;
use super::verdict::Scope;

/// A request that returned a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedRequest {
    /// The model reported by the provider.
    pub model: String,
    /// The finish reason; empty if not reported.
    pub finish_reason: String,
    /// Prompt tokens, if reported.
    pub prompt_tokens: Option<u64>,
    /// Completion tokens, if reported.
    pub completion_tokens: Option<u64>,
    /// Milliseconds from sending the request to the last byte of the response.
    pub latency_ms: u64,
    /// Label of the key.
    pub key_label: String,
    /// When the response was complete.
    pub ended_at: Timestamp,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    /// Scope of the failure.
    pub scope: Scope,
    /// Whether its result is unknown, because the program crashed or abandoned it.
    pub unknown: bool,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Wait requested by the provider, in milliseconds.
    pub wait_ms: Option<u64>,
    /// Label of the key; empty if none was used.
    pub key_label: String,
    /// When the request ended.
    pub ended_at: Timestamp,
    /// Whether its row failed permanently with this request.
    pub is_final: bool,
}

impl FailedRequest {
    /// Returns whether it reached a rate limit or a quota.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        !self.unknown && (self.scope == Scope::Quota || self.status == Some(429))
    }
}
