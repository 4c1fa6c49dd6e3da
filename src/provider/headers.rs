//! Parses the response headers that are relevant for every status. Headers of errors, such as
//! `Retry-After`, are parsed with the error.

use reqwest::header::{DATE, HeaderMap};

use super::context::ParseContext;
use crate::domain::time::{self, Timestamp};

/// The rate limits that the provider reports for a key, as raw header values; `None` if not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests allowed per window.
    pub limit_requests: Option<String>,
    /// Requests remaining in the current window.
    pub remaining_requests: Option<String>,
    /// When the request limit resets: a time or a duration, in the provider's own format.
    pub reset_requests: Option<String>,
    /// Tokens allowed per window.
    pub limit_tokens: Option<String>,
    /// Tokens remaining in the current window.
    pub remaining_tokens: Option<String>,
    /// When the token limit resets: a time or a duration, in the provider's own format.
    pub reset_tokens: Option<String>,
}

impl RateHeaders {
    pub(super) fn parse(headers: &HeaderMap, context: ParseContext<'_>) -> Self {
        // The header of OpenAI, or that of Anthropic.
        let value = |names: [&'static str; 2]| {
            let mut names = names.into_iter();
            names.find_map(|name| header_value(headers, name, context))
        };
        Self {
            limit_requests: value([
                "x-ratelimit-limit-requests",
                "anthropic-ratelimit-requests-limit",
            ]),
            remaining_requests: value([
                "x-ratelimit-remaining-requests",
                "anthropic-ratelimit-requests-remaining",
            ]),
            reset_requests: value([
                "x-ratelimit-reset-requests",
                "anthropic-ratelimit-requests-reset",
            ]),
            limit_tokens: value([
                "x-ratelimit-limit-tokens",
                "anthropic-ratelimit-tokens-limit",
            ]),
            remaining_tokens: value([
                "x-ratelimit-remaining-tokens",
                "anthropic-ratelimit-tokens-remaining",
            ]),
            reset_tokens: value([
                "x-ratelimit-reset-tokens",
                "anthropic-ratelimit-tokens-reset",
            ]),
        }
    }
}

/// Headers with the request ID. Those of providers precede those of relays.
const REQUEST_ID_HEADERS: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "cf-ray"];

/// Returns the provider's request ID; empty if none was sent.
pub(super) fn request_id(headers: &HeaderMap, context: ParseContext<'_>) -> String {
    REQUEST_ID_HEADERS
        .into_iter()
        .find_map(|name| header_value(headers, name, context))
        .unwrap_or_default()
}

/// Returns the time of the response according to the endpoint's clock, to the second.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    time::parse_http_date(text)
}

/// The maximum length of a header value, in bytes. Longer values are ignored.
const MAX_HEADER_BYTES: usize = 128;

/// Returns the value of a header, unless it is blank, too long, or contains a key.
fn header_value(
    headers: &HeaderMap,
    name: &'static str,
    context: ParseContext<'_>,
) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    let is_usable = !value.is_empty()
        && value.len() <= MAX_HEADER_BYTES
        && !context.secrets().any(|key| value.contains(key));
    is_usable.then(|| value.to_owned())
}
