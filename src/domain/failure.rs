//! How an attempt failed, as data. Only `verdict::classify` interprets it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an attempt failed. The list is exhaustive: a new case does not compile until
/// `verdict::classify` handles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The endpoint returned an error: a status other than 2xx, or an error object inside a 200.
    ErrorResponse(ErrorResponse),
    /// The endpoint returned a success without a usable completion.
    InvalidResponse(InvalidResponse),
    /// No complete response was received.
    Transport(TransportError),
}

impl Failure {
    /// Returns the provider's message, redacted, or a description of the failure.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::ErrorResponse(response) if response.message.is_empty() => {
                format!("HTTP {} without a message", response.status)
            }
            Self::ErrorResponse(response) => response.message.clone(),
            Self::InvalidResponse(response) => {
                let (problem, excerpt) = (response.problem.description(), &response.excerpt);
                let separator = if excerpt.is_empty() { "" } else { ": " };
                format!("{problem}{separator}{excerpt}")
            }
            Self::Transport(error) => error.detail.clone(),
        }
    }

    /// Returns the HTTP status, if there was a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::ErrorResponse(response) => Some(response.status),
            Self::InvalidResponse(_) => Some(200),
            Self::Transport(_) => None,
        }
    }

    /// Returns the provider's request ID; empty if none was sent.
    #[must_use]
    pub fn request_id(&self) -> &str {
        match self {
            Self::ErrorResponse(response) => &response.request_id,
            Self::InvalidResponse(response) => &response.request_id,
            Self::Transport(_) => "",
        }
    }
}

/// An error reported by the endpoint, independent of the format of its body.
///
/// All text is already redacted and truncated to 2 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status. For an error inside a 200, the code of the error if it is a valid status
    /// (400 to 599), otherwise 502.
    pub status: u16,
    /// The `code` of the error as text; empty if missing.
    pub code: String,
    /// The `type` of the error as text; empty if missing.
    pub kind: String,
    /// The message of the error, or the start of the body if it has no message.
    pub message: String,
    /// Further values of the error object (`reason`, `status`, `metadata` keys, nested codes),
    /// separated by spaces.
    pub details: String,
    /// Format of the body.
    pub format: BodyFormat,
    /// Value of the `server` header.
    pub server: String,
    /// Target host of a redirect; empty if the response is not a redirect.
    pub redirect_to: String,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
    /// Whether the provider recommends a retry (`x-should-retry`).
    pub should_retry: Option<bool>,
    /// Requested wait, from a header or the message.
    pub retry_after: Option<Duration>,
}

/// Format of the body of an error response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// No body.
    #[default]
    Empty,
    /// JSON, usually from the API itself.
    Json,
    /// A web page from a firewall, a proxy or a server that is not an API.
    Html,
    /// Any other text, including truncated JSON.
    Text,
}

/// A success response without a usable completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidResponse {
    /// What is wrong with it.
    pub problem: ResponseProblem,
    /// Excerpt of the body, redacted and truncated to 2 KiB; for `Declined`, the refusal of the
    /// model.
    pub excerpt: String,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
}

/// Why a success response has no usable completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseProblem {
    /// The body is empty or blank.
    Empty,
    /// The body is a web page.
    Html,
    /// The body is not JSON, or not in the format of the requested API.
    UnexpectedFormat,
    /// The list of choices is missing or empty.
    NoChoices,
    /// The choice has no text, refusal or tool calls.
    NoContent,
    /// The response to an embeddings request has no vector.
    NoVector,
    /// The model declined (`refusal`), or a filter removed the content
    /// (`finish_reason: content_filter`).
    Declined,
    /// The content does not match the JSON Schema of the batch.
    SchemaViolation,
    /// The body exceeds the size limit.
    TooLarge,
}

impl ResponseProblem {
    /// All problems.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::Html,
        Self::UnexpectedFormat,
        Self::NoChoices,
        Self::NoContent,
        Self::NoVector,
        Self::Declined,
        Self::SchemaViolation,
        Self::TooLarge,
    ];

    /// Returns a description of the problem.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Empty => "the response is empty",
            Self::Html => "the response is a web page",
            Self::UnexpectedFormat => "the response is not in the expected format",
            Self::NoChoices => "the response has no choices",
            Self::NoContent => "the response has neither text nor tool calls",
            Self::NoVector => "the response has no vector",
            Self::Declined => "the model declined the request",
            Self::SchemaViolation => "the response does not match the schema",
            Self::TooLarge => "the response exceeds the size limit",
        }
    }
}

/// A failure to send a request or to receive the complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    /// Kind of failure.
    pub kind: TransportErrorKind,
    /// Description of the failure with its causes, without the URL.
    pub detail: String,
}

/// Kind of a transport error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportErrorKind {
    /// The host name could not be resolved. Nothing was sent.
    Dns,
    /// The connection was refused or timed out. Nothing was sent.
    Connect,
    /// The certificate is not trusted. Nothing was sent.
    Certificate,
    /// The proxy refused the connection. Nothing was sent.
    Proxy,
    /// The connection was lost before the response was complete.
    Broken,
    /// The request exceeded its total timeout; the provider may have processed and billed it.
    Timeout,
    /// The worker panicked.
    Panic,
}

impl TransportErrorKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Dns,
        Self::Connect,
        Self::Certificate,
        Self::Proxy,
        Self::Broken,
        Self::Timeout,
        Self::Panic,
    ];
}
