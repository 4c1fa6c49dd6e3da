//! Parses the bodies of success responses. An empty body, a web page, JSON with a different
//! structure and an error inside a success response are failures.
//!
//! A failure never quotes a completion. It quotes only the field names of a JSON body, or a body
//! that is not JSON.

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

use super::error_response;
use super::headers::request_id;
use super::response::{ParseContext, SuccessBody, invalid_response};
use crate::api::Api;
use crate::api::{ChatCompletion, CompletionMetadata, EmbeddingsResponse};
use crate::domain::failure::{ErrorResponse, Failure, ResponseProblem};

/// A completion: the response body and its metadata.
#[derive(Clone, PartialEq, Eq)]
pub struct ParsedCompletion {
    /// The metadata stored with the body.
    pub metadata: CompletionMetadata,
    /// The response body as received, in JSON.
    pub body: String,
}

impl fmt::Debug for ParsedCompletion {
    /// Shows only the length of the body, to keep completions out of logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ParsedCompletion")
            .field("metadata", &self.metadata)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Parses the body of a success response.
pub(super) type Parser = fn(SuccessBody, ParseContext<'_>) -> Result<ParsedCompletion, Failure>;

/// Returns the parser for responses of an API.
pub(super) fn parser(api: Api) -> Parser {
    match api {
        Api::Chat => parse_chat,
        Api::Embeddings => parse_embeddings,
    }
}

fn parse_embeddings(
    success: SuccessBody,
    context: ParseContext<'_>,
) -> Result<ParsedCompletion, Failure> {
    let SuccessBody { headers, body } = success;
    let list: EmbeddingsResponse<'_> = serde_json::from_str(&body)
        .map_err(|error| classify_unparsable(&error, &headers, &body, context))?;
    let has_vector = list.json().is_some();
    if list.has_error() || !has_vector {
        check_embedded_error(&headers, &body, context)?;
    }
    if !has_vector {
        let excerpt = describe_fields(&body);
        return Err(invalid_response(
            ResponseProblem::NoVector,
            &excerpt,
            &headers,
            context,
        ));
    }
    let metadata = list.metadata();
    Ok(ParsedCompletion { metadata, body })
}

fn parse_chat(
    success: SuccessBody,
    context: ParseContext<'_>,
) -> Result<ParsedCompletion, Failure> {
    let SuccessBody { headers, body } = success;
    let metadata = match serde_json::from_str::<ChatCompletion<'_>>(&body) {
        Ok(chat) => validate_chat(&chat, &headers, &body, context)?,
        Err(error) => return Err(classify_unparsable(&error, &headers, &body, context)),
    };
    Ok(ParsedCompletion { metadata, body })
}

fn validate_chat(
    chat: &ChatCompletion<'_>,
    headers: &HeaderMap,
    body: &str,
    context: ParseContext<'_>,
) -> Result<CompletionMetadata, Failure> {
    if chat.has_error() || !chat.has_choice() {
        check_embedded_error(headers, body, context)?;
    }
    let fail = |problem, excerpt: &str| Err(invalid_response(problem, excerpt, headers, context));
    if !chat.has_choice() {
        return fail(ResponseProblem::NoChoices, &describe_fields(body));
    }
    if let Some(error) = chat.choice_error() {
        check_embedded_error(headers, &format!(r#"{{"error":{error}}}"#), context)?;
    }
    if let Some(refusal) = chat.refusal() {
        return fail(ResponseProblem::Declined, refusal);
    }
    match chat.finish_reason() {
        "content_filter" => fail(ResponseProblem::Declined, "finish_reason: content_filter"),
        "error" => Err(interrupted_choice(headers, context)),
        _ if chat.text().is_some() => Ok(chat.metadata()),
        "" => fail(ResponseProblem::NoContent, "no finish_reason"),
        reason => fail(
            ResponseProblem::NoContent,
            &format!("finish_reason: {reason}"),
        ),
    }
}

/// Fails if the body of a success response contains an error.
fn check_embedded_error(
    headers: &HeaderMap,
    body: &str,
    context: ParseContext<'_>,
) -> Result<(), Failure> {
    let ParseContext {
        known_keys,
        received_at,
    } = context;
    match error_response::parse_embedded(headers, body.as_bytes(), known_keys, received_at) {
        Some(response) => Err(Failure::ErrorResponse(response)),
        None => Ok(()),
    }
}

/// Returns the failure for a completion that the provider aborted without an error message.
fn interrupted_choice(headers: &HeaderMap, context: ParseContext<'_>) -> Failure {
    Failure::ErrorResponse(ErrorResponse {
        status: 502,
        message: "the provider aborted the response (finish_reason: error)".to_owned(),
        request_id: request_id(headers, context.known_keys),
        ..ErrorResponse::default()
    })
}

/// Returns the failure for a body that does not parse.
fn classify_unparsable(
    error: &serde_json::Error,
    headers: &HeaderMap,
    body: &str,
    context: ParseContext<'_>,
) -> Failure {
    let text = body.trim_start();
    let fail = |problem, excerpt| invalid_response(problem, excerpt, headers, context);
    if text.is_empty() {
        return fail(ResponseProblem::Empty, "");
    }
    if let Err(failure) = check_embedded_error(headers, body, context) {
        return failure;
    }
    if is_html(headers, text) {
        return fail(ResponseProblem::Html, text);
    }
    fail(
        ResponseProblem::UnexpectedFormat,
        &describe_body(text, error),
    )
}

/// Describes a body that does not parse, quoting it only if it is not JSON.
fn describe_body(text: &str, error: &serde_json::Error) -> String {
    if text.starts_with("data:") || text.starts_with("event:") {
        return "event stream instead of JSON".to_owned();
    }
    if !text.starts_with(['{', '[', '"']) {
        return text.to_owned();
    }
    let problem = match error.classify() {
        Category::Eof => "truncated JSON",
        Category::Syntax | Category::Io => "malformed JSON",
        Category::Data => "unexpected JSON structure",
    };
    format!(
        "{problem} at line {}, column {}",
        error.line(),
        error.column()
    )
}

fn is_html(headers: &HeaderMap, text: &str) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    text.starts_with('<') || content_type.is_some_and(|value| value.starts_with("text/html"))
}

/// Lists the fields of a JSON body without their values, which can contain a completion.
fn describe_fields(body: &str) -> String {
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(body) {
        Ok(fields) => {
            let names: Vec<_> = fields.keys().map(String::as_str).collect();
            format!("JSON object with the fields {}", names.join(", "))
        }
        Err(_) => "not a JSON object".to_owned(),
    }
}

/// Accepts any JSON object without an error.
pub(super) fn parse_probe(success: SuccessBody, context: ParseContext<'_>) -> Result<(), Failure> {
    let SuccessBody { headers, body } = success;
    if let Err(error) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&body) {
        return Err(classify_unparsable(&error, &headers, &body, context));
    }
    check_embedded_error(&headers, &body, context)
}

/// A list of models. Some providers return a bare array.
#[derive(Deserialize)]
#[serde(untagged)]
enum ListModelsResponse {
    Object { data: Vec<ListedModel> },
    Array(Vec<ListedModel>),
}

#[derive(Deserialize)]
struct ListedModel {
    id: String,
}

/// Parses the list of models, and returns their IDs.
pub(super) fn parse_models(
    success: SuccessBody,
    context: ParseContext<'_>,
) -> Result<Vec<String>, Failure> {
    let SuccessBody { headers, body } = success;
    match serde_json::from_str(&body) {
        Ok(ListModelsResponse::Object { data } | ListModelsResponse::Array(data)) => {
            Ok(data.into_iter().map(|model| model.id).collect())
        }
        Err(error) => Err(classify_unparsable(&error, &headers, &body, context)),
    }
}
