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

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::context::ParseContext;
use super::error_response;
use super::headers::request_id;
use super::response::{SuccessBody, invalid_response};
use crate::api::{Api, CompletionMetadata, InvalidCompletion};
use crate::domain::failure::{ErrorResponse, Failure, ResponseProblem};
use crate::domain::time::Timestamp;

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

/// Parses the body of a success response of an API.
pub(super) fn parse(
    api: Api,
    success: SuccessBody,
    context: ParseContext<'_>,
) -> Result<ParsedCompletion, Failure> {
    let SuccessBody { headers, body } = success;
    let find_error = |json: &str| embedded_error(&headers, json, context);
    match (api.format().parse)(&body, &find_error) {
        Ok(metadata) => Ok(ParsedCompletion { metadata, body }),
        Err(InvalidCompletion::Unparsable(error)) => {
            Err(classify_unparsable(&error, &headers, &body, context))
        }
        Err(InvalidCompletion::Unusable(problem, excerpt)) => {
            Err(invalid_response(problem, &excerpt, &headers, context))
        }
        Err(InvalidCompletion::Error(mut error)) => {
            if error.request_id.is_empty() {
                error.request_id = request_id(&headers, context);
            }
            Err(Failure::ErrorResponse(*error))
        }
    }
}

/// Parses a response from an output file of the Batch API like one from the network. `request_id` is
/// empty if there is none.
pub fn parse_imported(
    api: Api,
    status: u16,
    request_id: &str,
    body: String,
    now: Timestamp,
) -> Result<ParsedCompletion, Failure> {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    if !(200..300).contains(&status) {
        let response = error_response::parse(status, &headers, body.as_bytes(), &[], now);
        return Err(Failure::ErrorResponse(response));
    }
    let context = ParseContext {
        known_keys: &[],
        received_at: now,
    };
    parse(api, SuccessBody { headers, body }, context)
}

/// Returns the error that the body of a success response, or a part of it, describes.
fn embedded_error(
    headers: &HeaderMap,
    json: &str,
    context: ParseContext<'_>,
) -> Option<ErrorResponse> {
    let (keys, now) = (context.known_keys, context.received_at);
    error_response::parse_embedded(headers, json.as_bytes(), keys, now)
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
    if let Some(error) = embedded_error(headers, body, context) {
        return Failure::ErrorResponse(error);
    }
    if is_html(headers, text) {
        return fail(ResponseProblem::Html, text);
    }
    let excerpt = describe_body(text, error);
    fail(ResponseProblem::UnexpectedFormat, &excerpt)
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
    let (line, column) = (error.line(), error.column());
    format!("{problem} at line {line}, column {column}")
}

fn is_html(headers: &HeaderMap, text: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let is_html = |value: &str| value.starts_with("text/html");
    text.starts_with('<') || content_type.is_some_and(|value| value.is_ok_and(is_html))
}

/// Accepts any JSON object without an error.
pub(super) fn parse_probe(success: SuccessBody, context: ParseContext<'_>) -> Result<(), Failure> {
    let SuccessBody { headers, body } = success;
    if let Err(error) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&body) {
        return Err(classify_unparsable(&error, &headers, &body, context));
    }
    embedded_error(&headers, &body, context)
        .map_or(Ok(()), |error| Err(Failure::ErrorResponse(error)))
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
