//! Parses responses from Batch API output files like responses from the network.

#![expect(
    clippy::result_large_err,
    reason = "a failure is data and moves once per request"
)]

use reqwest::header::{HeaderMap, HeaderValue};

use super::completion::{self, ParsedCompletion};
use super::error_response;
use super::response::{ParseContext, SuccessBody};
use crate::api::Api;
use crate::domain::failure::Failure;
use crate::domain::time::Timestamp;

/// Parses the status and body of a response. `request_id` is empty if there is none.
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
    completion::parse(api, SuccessBody { headers, body }, context)
}
