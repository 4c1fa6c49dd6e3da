//! Reads the body of a success into an answer or a failure. A body that is empty, a web page, no
//! chat completion or an error in disguise is a failure, never an answer.
//!
//! What a failure quotes is never a part of an answer: only its shape, or a body that is no JSON.

#![expect(
    clippy::result_large_err,
    reason = "a failure is data and moves once per request"
)]

use std::collections::BTreeMap;
use std::fmt;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::headers::request_id;
use super::refusal;
use super::response::{Reading, Received, no_answer};
use crate::domain::completion::{ChatCompletion, CompletionMetadata, EmbeddingList};
use crate::domain::failure::{Failure, Problem, Refusal};
use crate::domain::request_template::Api;

/// An answer: the body as it came and what was read from it.
#[derive(Clone, PartialEq, Eq)]
pub struct ParsedCompletion {
    /// What is kept beside the body.
    pub metadata: CompletionMetadata,
    /// The response body as it came, in JSON.
    pub body: String,
}

impl fmt::Debug for ParsedCompletion {
    /// Shows the body's length only: an answer is never in a log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Success")
            .field("reply", &self.metadata)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Reads the body of a success.
pub(super) type Read = fn(Received, Reading<'_>) -> Result<ParsedCompletion, Failure>;

/// Returns what reads the answers of a part of the API.
pub(super) fn reader(api: Api) -> Read {
    match api {
        Api::Chat => chat,
        Api::Embeddings => embeddings,
    }
}

/// Reads embeddings.
fn embeddings(received: Received, reading: Reading<'_>) -> Result<ParsedCompletion, Failure> {
    let Received { headers, body } = received;
    let list: EmbeddingList<'_> =
        serde_json::from_str(&body).map_err(|error| not_chat(&error, &headers, &body, reading))?;
    let has_vector = list.json().is_some();
    if list.has_error() || !has_vector {
        told_error(&headers, &body, reading)?;
    }
    if !has_vector {
        let said = shape(&body);
        return Err(no_answer(Problem::NoVector, &said, &headers, reading));
    }
    let metadata = list.metadata();
    Ok(ParsedCompletion { metadata, body })
}

/// Reads a chat completion.
fn chat(received: Received, reading: Reading<'_>) -> Result<ParsedCompletion, Failure> {
    let Received { headers, body } = received;
    let metadata = match serde_json::from_str::<ChatCompletion<'_>>(&body) {
        Ok(chat) => judge_chat(&chat, &headers, &body, reading)?,
        Err(error) => return Err(not_chat(&error, &headers, &body, reading)),
    };
    Ok(ParsedCompletion { metadata, body })
}

fn judge_chat(
    chat: &ChatCompletion<'_>,
    headers: &HeaderMap,
    body: &str,
    reading: Reading<'_>,
) -> Result<CompletionMetadata, Failure> {
    if chat.has_error() || !chat.has_choice() {
        told_error(headers, body, reading)?;
    }
    let fail = |problem, said: &str| Err(no_answer(problem, said, headers, reading));
    if !chat.has_choice() {
        return fail(Problem::NoChoices, &shape(body));
    }
    if let Some(error) = chat.choice_error() {
        told_error(headers, &format!(r#"{{"error":{error}}}"#), reading)?;
    }
    if let Some(refusal) = chat.refusal() {
        return fail(Problem::Declined, refusal);
    }
    match chat.finish_reason() {
        "content_filter" => fail(Problem::Declined, "finish_reason: content_filter"),
        "error" => Err(broken_choice(headers, reading)),
        _ if chat.text().is_some() => Ok(chat.metadata()),
        "" => fail(Problem::NoContent, "no finish_reason"),
        reason => fail(Problem::NoContent, &format!("finish_reason: {reason}")),
    }
}

/// Fails when the body of a success tells an error.
fn told_error(headers: &HeaderMap, body: &str, reading: Reading<'_>) -> Result<(), Failure> {
    match refusal::error_in_success(headers, body.as_bytes(), reading.known, reading.now) {
        Some(refusal) => Err(Failure::Refused(refusal)),
        None => Ok(()),
    }
}

/// The provider gave up in the middle of an answer, and said no more than that.
fn broken_choice(headers: &HeaderMap, reading: Reading<'_>) -> Failure {
    Failure::Refused(Refusal {
        status: 502,
        message: "the answer broke off with finish_reason: error".to_owned(),
        request_id: request_id(headers, reading.known),
        ..Refusal::default()
    })
}

fn not_chat(
    error: &serde_json::Error,
    headers: &HeaderMap,
    body: &str,
    reading: Reading<'_>,
) -> Failure {
    let text = body.trim_start();
    let fail = |problem, said| no_answer(problem, said, headers, reading);
    if text.is_empty() {
        return fail(Problem::Empty, "");
    }
    if let Err(failure) = told_error(headers, body, reading) {
        return failure;
    }
    if is_html(headers, text) {
        return fail(Problem::Html, text);
    }
    fail(Problem::NotChat, &what_else(text, error))
}

/// Says what a body is that is no chat completion. Only a body that is no JSON is quoted.
fn what_else(text: &str, error: &serde_json::Error) -> String {
    if text.starts_with("data:") || text.starts_with("event:") {
        return "an event stream, though none was asked for".to_owned();
    }
    if !text.starts_with(['{', '[', '"']) {
        return text.to_owned();
    }
    let problem = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax | Category::Io => "the JSON is broken",
        Category::Data => "the JSON is of another form",
    };
    format!(
        "{problem}: line {}, column {}",
        error.line(),
        error.column()
    )
}

fn is_html(headers: &HeaderMap, text: &str) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    text.starts_with('<') || kind.is_some_and(|kind| kind.starts_with("text/html"))
}

/// Says of what shape a JSON body is, without its values: an answer of another kind may be in it.
fn shape(body: &str) -> String {
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(body) {
        Ok(fields) => {
            let names: Vec<_> = fields.keys().map(String::as_str).collect();
            format!("an object with the fields: {}", names.join(", "))
        }
        Err(_) => "no object".to_owned(),
    }
}

/// Reads a success of any kind of endpoint: an object that tells no error.
pub(super) fn any(received: Received, reading: Reading<'_>) -> Result<(), Failure> {
    let Received { headers, body } = received;
    if let Err(error) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&body) {
        return Err(not_chat(&error, &headers, &body, reading));
    }
    told_error(&headers, &body, reading)
}

/// A list of models; some providers leave out the object around it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ModelList {
    Object { data: Vec<Model> },
    Array(Vec<Model>),
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// Reads the list of models, by their ids.
pub(super) fn models(received: Received, reading: Reading<'_>) -> Result<Vec<String>, Failure> {
    let Received { headers, body } = received;
    match serde_json::from_str(&body) {
        Ok(ModelList::Object { data } | ModelList::Array(data)) => {
            Ok(data.into_iter().map(|model| model.id).collect())
        }
        Err(error) => Err(not_chat(&error, &headers, &body, reading)),
    }
}
