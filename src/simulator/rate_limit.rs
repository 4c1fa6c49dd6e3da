//! Rate limits in responses: OpenAI's error text, and the headers of every response.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::error::SimulatedError;
use super::limits::{LimitKind, LimitReached, RemainingLimits};
use super::token_bucket::RemainingLimit;

/// The headers of one limit: its value, the remaining units, and the time until it is reset.
type LimitHeaders = [HeaderName; 3];

const REQUEST_HEADERS: LimitHeaders = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

const TOKEN_HEADERS: LimitHeaders = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Adds the rate-limit headers to a response.
pub(super) fn write_headers(remaining: RemainingLimits, headers: &mut HeaderMap) {
    let limits = [
        (remaining.requests, REQUEST_HEADERS),
        (remaining.tokens, TOKEN_HEADERS),
    ];
    for (limit, [allowed_name, remaining_name, reset_name]) in limits {
        let Some(RemainingLimit {
            allowed,
            remaining,
            reset,
        }) = limit
        else {
            continue;
        };
        headers.insert(allowed_name, allowed.into());
        headers.insert(remaining_name, remaining.into());
        let reset = HeaderValue::try_from(go_duration(reset));
        let reset = reset.expect("digits and letters are a valid header value");
        headers.insert(reset_name, reset);
    }
}

/// Builds OpenAI's error for a limit that was reached.
pub(super) fn rate_limited(
    model: &str,
    reached: &LimitReached,
    retry_after: bool,
) -> SimulatedError {
    let (unit, kind, abbreviation) = match reached.limit {
        LimitKind::RequestsPerMinute => ("requests per min", "requests", "RPM"),
        LimitKind::TokensPerMinute => ("tokens per min", "tokens", "TPM"),
        LimitKind::RequestsPerDay => ("requests per day", "requests", "RPD"),
    };
    let LimitReached {
        allowed,
        used,
        requested,
        ..
    } = reached;
    let message = match reached.wait {
        Some(wait) => format!(
            "Rate limit reached for {model} in organization org-simulated on {unit} ({abbreviation}): \
             Limit {allowed}, Used {used}, Requested {requested}. Please try again in {}. Visit \
             https://platform.openai.com/account/rate-limits to learn more.",
            go_duration(wait)
        ),
        None => format!(
            "Request too large for {model} in organization org-simulated on {unit} ({abbreviation}): \
             Limit {allowed}, Requested {requested}. The input or output tokens must be reduced \
             in order to run successfully. Visit \
             https://platform.openai.com/account/rate-limits to learn more."
        ),
    };
    SimulatedError {
        retry_after: reached.wait.filter(|_| retry_after),
        ..SimulatedError::new(429, message)
            .kind(kind)
            .code("rate_limit_exceeded")
    }
}

/// Formats a duration as OpenAI does (as in Go): `120ms`, `20s`, `1.5s`, `6m0s`, `2h0m3s`. Rounds
/// up to milliseconds, so that a reported wait is never too short.
pub(super) fn go_duration(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    let fraction = if rest == 0 {
        String::new()
    } else {
        format!(".{rest:03}").trim_end_matches('0').to_owned()
    };
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let seconds = seconds % 60;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: u64, expected: &str) {
        assert_eq!(go_duration(Duration::from_micros(micros)), expected);
    }

    #[test]
    fn durations_are_formatted_as_in_go() {
        check(0, "0ms");
        check(119_001, "120ms");
        check(999_999, "1s");
        check(1_500_000, "1.5s");
        check(41_724_000, "41.724s");
        check(20_000_000, "20s");
        check(360_000_000, "6m0s");
        check(7_203_000_000, "2h0m3s");
    }
}
