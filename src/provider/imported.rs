//! Reads a response that came by way of a file, as if it had come by the network.

#![expect(
    clippy::result_large_err,
    reason = "a failure is data and moves once per request"
)]

use reqwest::header::{HeaderMap, HeaderValue};

use super::completion::{self, ParsedCompletion};
use super::refusal;
use super::response::{Reading, Received};
use crate::domain::failure::Failure;
use crate::domain::request_template::Api;
use crate::domain::time::Timestamp;

/// Reads an answer out of a status and a body, or how it went wrong. An empty `request_id` is none.
pub fn read_imported(
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
        let refusal = refusal::read(status, &headers, body.as_bytes(), &[], now);
        return Err(Failure::Refused(refusal));
    }
    let reading = Reading { known: &[], now };
    completion::reader(api)(Received { headers, body }, reading)
}
