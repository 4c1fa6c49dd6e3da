//! The APIs that requests can be sent to: chat completions and embeddings.
//!
//! The provider module parses responses with these types, and the export parses the stored bodies
//! with them, so both see the same content.

mod chat;
mod content;
mod embeddings;
mod request_template;

use serde::{Deserialize, Serialize};

pub use chat::ChatCompletion;
pub use content::{Content, StoredBody};
pub use embeddings::EmbeddingsResponse;
pub use request_template::{RequestTemplate, RowFormat};

/// An API of the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Chat completions.
    #[default]
    Chat,
    /// Embeddings.
    Embeddings,
}

impl Api {
    /// All APIs.
    pub const ALL: [Self; 2] = [Self::Chat, Self::Embeddings];

    /// Returns the path below the base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Embeddings => "/embeddings",
        }
    }

    /// Returns the `url` of a request in the `OpenAI` Batch API.
    #[must_use]
    pub fn batch_url(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires it")]
    fn is_chat(&self) -> bool {
        *self == Self::Chat
    }
}

/// The data stored with the body of a completion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionMetadata {
    /// The model reported by the provider; empty if not reported.
    pub model: String,
    /// The finish reason; empty if not reported.
    pub finish_reason: String,
    /// Prompt tokens, if reported.
    pub prompt_tokens: Option<u64>,
    /// Completion tokens, if reported.
    pub completion_tokens: Option<u64>,
}
