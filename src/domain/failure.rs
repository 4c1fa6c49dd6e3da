//! How an attempt went wrong, as data. `verdict::judge` is the one place that says what it means.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an attempt went wrong. The list is closed: whoever adds a case is led by the compiler to
/// the judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The endpoint answered with an error: a status that is no success, or an error in a success.
    Refused(Refusal),
    /// The endpoint answered with a success that holds no answer.
    NoAnswer(NoAnswer),
    /// No complete response came back.
    NoResponse(NoResponse),
}

impl Failure {
    /// Returns what was said, redacted: the provider's message, or what happened in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Refused(refusal) if refusal.message.is_empty() => {
                format!("HTTP {} without a message", refusal.status)
            }
            Self::Refused(refusal) => refusal.message.clone(),
            Self::NoAnswer(no_answer) if no_answer.excerpt.is_empty() => {
                no_answer.problem.words().to_owned()
            }
            Self::NoAnswer(NoAnswer {
                problem, excerpt, ..
            }) => {
                format!("{}: {excerpt}", problem.words())
            }
            Self::NoResponse(no_response) => no_response.detail.clone(),
        }
    }

    /// Returns the HTTP status, when there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::NoAnswer(_) => Some(200),
            Self::NoResponse(_) => None,
        }
    }

    /// Returns the id under which the provider knows the request; empty when it told none.
    #[must_use]
    pub fn request_id(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.request_id,
            Self::NoAnswer(no_answer) => &no_answer.request_id,
            Self::NoResponse(_) => "",
        }
    }
}

/// An error as the endpoint told it, whatever form its body had.
///
/// All text is redacted and cut to 2 KiB before it gets here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status. For an error inside a 200 it is the error's own code where that is a
    /// status (400 to 599), else 502.
    pub status: u16,
    /// The error's `code`, as text; empty when there is none.
    pub code: String,
    /// The error's `type`, as text; empty when there is none.
    pub kind: String,
    /// What the error says, or the start of the body when it has no message.
    pub message: String,
    /// What else the error object names (`reason`, `status`, `metadata` keys, inner codes), as words
    /// with spaces between; empty when there is nothing.
    pub details: String,
    /// What the body was.
    pub form: BodyForm,
    /// The `server` header.
    pub server: String,
    /// The host a redirect points to; empty when it is none.
    pub redirect_to: String,
    /// The id under which the provider knows this request; empty when it told none.
    pub request_id: String,
    /// The provider's own word on whether to retry (`x-should-retry`).
    pub should_retry: Option<bool>,
    /// How long the provider asks to wait, from a header or from the message.
    pub hint: Option<Duration>,
}

/// What the body of a refusal was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyForm {
    /// Nothing at all.
    #[default]
    Empty,
    /// JSON, from the endpoint's own program as a rule.
    Json,
    /// A web page: from a firewall, a proxy, or a server that is no API.
    Html,
    /// Any other text, cut-off JSON among it.
    Text,
}

/// A success without an answer in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// What is wrong with it.
    pub problem: Problem,
    /// What the body said, redacted and cut to 2 KiB; the refusal's text for `Declined`.
    pub excerpt: String,
    /// The id under which the provider knows this request; empty when it told none.
    pub request_id: String,
}

/// What is wrong with a success that holds no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The body is empty or blank.
    Empty,
    /// The body is a web page.
    Html,
    /// The body is not JSON, or not of the form of what was asked for.
    NotChat,
    /// There is no choice in it.
    NoChoices,
    /// The choice has neither text, nor a refusal, nor tool calls.
    NoContent,
    /// There is no vector in it, where embeddings were asked for.
    NoVector,
    /// The model refused (`refusal`), or a filter took the answer (`finish_reason: content_filter`).
    Declined,
    /// The answer does not fit the schema that was given for it.
    SchemaViolation,
    /// The body is larger than the cap.
    TooLarge,
}

impl Problem {
    /// All problems.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::Html,
        Self::NotChat,
        Self::NoChoices,
        Self::NoContent,
        Self::NoVector,
        Self::Declined,
        Self::SchemaViolation,
        Self::TooLarge,
    ];

    /// Returns the problem in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "the response is empty",
            Self::Html => "the response is a web page",
            Self::NotChat => "the response is not a chat completion",
            Self::NoChoices => "the response has no choices",
            Self::NoContent => "the response has neither text nor tool calls",
            Self::NoVector => "the response has no vector",
            Self::Declined => "the model declined to answer",
            Self::SchemaViolation => "the answer does not fit the schema",
            Self::TooLarge => "the response is larger than allowed",
        }
    }
}

/// No complete response: what happened on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoResponse {
    /// Where it broke.
    pub fault: TransportFault,
    /// The chain of causes in words, without the URL.
    pub detail: String,
}

/// Where a request broke on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportFault {
    /// The host's name was not found. Nothing was sent.
    Dns,
    /// No connection came about in time, or it was refused. Nothing was sent.
    Connect,
    /// The certificate is not to be trusted. Nothing was sent.
    Certificate,
    /// The proxy did not let us through. Nothing was sent.
    Proxy,
    /// The connection broke before the response was complete.
    Broken,
    /// The total time for one request ran out; the provider may have worked on it and billed it.
    Timeout,
    /// The worker that made the attempt panicked.
    Panic,
}

impl TransportFault {
    /// All faults.
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
