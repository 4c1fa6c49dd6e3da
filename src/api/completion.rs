//! Completions of any API: the data stored with them, their content, and why a body is not one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::failure::{ErrorResponse, ResponseProblem};

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

/// The token counts of a response.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
}

impl Usage {
    /// Parses the counts. Invalid counts are unknown counts and do not fail the response.
    pub(super) fn parse(json: Option<&RawValue>) -> Self {
        json.and_then(|json| serde_json::from_str(json.get()).ok())
            .unwrap_or_default()
    }
}

/// The content of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The text of a chat completion.
    Text(Cow<'a, str>),
    /// The vector of an embedding, as JSON.
    Vector(Cow<'a, str>),
}

impl Content<'_> {
    /// Returns the content as text; a vector as JSON.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Vector(text) => text,
        }
    }
}

/// Why the body of a success response is not a completion.
#[derive(Debug)]
pub enum InvalidCompletion {
    /// The body is not in the format of the API.
    Unparsable(serde_json::Error),
    /// The body contains an error.
    Error(Box<ErrorResponse>),
    /// The body has no usable completion: the problem, and an excerpt for messages.
    Unusable(ResponseProblem, String),
}

impl From<serde_json::Error> for InvalidCompletion {
    fn from(error: serde_json::Error) -> Self {
        Self::Unparsable(error)
    }
}

/// Returns the error that a JSON text describes, if any. The provider module knows the formats.
pub type FindError<'a> = &'a dyn Fn(&str) -> Option<ErrorResponse>;

/// Fails if a JSON text describes an error.
pub(super) fn reject_error(json: &str, find: FindError<'_>) -> Result<(), InvalidCompletion> {
    match find(json) {
        Some(error) => Err(InvalidCompletion::Error(Box::new(error))),
        None => Ok(()),
    }
}

/// Lists the fields of a JSON body without their values, which can contain a completion.
pub(super) fn describe_fields(body: &str) -> String {
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(body) {
        Ok(fields) => {
            let names: Vec<_> = fields.keys().map(String::as_str).collect();
            format!("JSON object with the fields {}", names.join(", "))
        }
        Err(_) => "not a JSON object".to_owned(),
    }
}
