//! The headers of a response that are worth knowing whatever its status is. How long to wait, and
//! all else that an error says, is read with the error.

use reqwest::header::{DATE, HeaderMap};

use super::response::secrets;
use crate::domain::civil;
use crate::domain::time::Timestamp;

/// The provider's word on its limits for this key, as raw header values. Absent where it sent none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests allowed in a window.
    pub limit_requests: Option<String>,
    /// Requests left in this window.
    pub remaining_requests: Option<String>,
    /// When the requests are back: a time or a duration, in the provider's own spelling.
    pub reset_requests: Option<String>,
    /// Tokens allowed in a window.
    pub limit_tokens: Option<String>,
    /// Tokens left in this window.
    pub remaining_tokens: Option<String>,
    /// When the tokens are back: a time or a duration, in the provider's own spelling.
    pub reset_tokens: Option<String>,
}

impl RateHeaders {
    pub(super) fn read(headers: &HeaderMap, known: &[&str]) -> Self {
        let first = |names: [&'static str; 2]| {
            names
                .into_iter()
                .find_map(|name| short(headers, name, known))
        };
        Self {
            limit_requests: first([
                "x-ratelimit-limit-requests",
                "anthropic-ratelimit-requests-limit",
            ]),
            remaining_requests: first([
                "x-ratelimit-remaining-requests",
                "anthropic-ratelimit-requests-remaining",
            ]),
            reset_requests: first([
                "x-ratelimit-reset-requests",
                "anthropic-ratelimit-requests-reset",
            ]),
            limit_tokens: first([
                "x-ratelimit-limit-tokens",
                "anthropic-ratelimit-tokens-limit",
            ]),
            remaining_tokens: first([
                "x-ratelimit-remaining-tokens",
                "anthropic-ratelimit-tokens-remaining",
            ]),
            reset_tokens: first([
                "x-ratelimit-reset-tokens",
                "anthropic-ratelimit-tokens-reset",
            ]),
        }
    }
}

/// Headers under which providers tell the id of a request, the provider's own before its relays'.
const REQUEST_ID_HEADERS: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "cf-ray"];

/// Returns the id under which the provider knows a request; empty when it told none.
pub(super) fn request_id(headers: &HeaderMap, known: &[&str]) -> String {
    REQUEST_ID_HEADERS
        .into_iter()
        .find_map(|name| short(headers, name, known))
        .unwrap_or_default()
}

/// Returns the moment at which the endpoint says it answered, to the second.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    civil::http_date(text)
}

/// The longest header value that is believed, in bytes.
const HEADER_CAP: usize = 128;

/// Returns a header's text, unless it is blank, too long, or an echo of a key.
fn short(headers: &HeaderMap, name: &'static str, known: &[&str]) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    let is_fit = !value.is_empty()
        && value.len() <= HEADER_CAP
        && !secrets(known).any(|key| value.contains(key));
    is_fit.then(|| value.to_owned())
}
