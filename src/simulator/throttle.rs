//! How a limit is told: in OpenAI's words, and in the headers of every response.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::bucket::Level;
use super::limits::{Levels, Limit, Reached};
use super::refusal::Refusal;

/// The headers of one limit: all of it, what is left, and when all of it is back.
type Names = [HeaderName; 3];

const OF_REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

const OF_TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Writes the levels into the headers of a response.
pub(super) fn write(levels: Levels, headers: &mut HeaderMap) {
    let limits = [(levels.requests, OF_REQUESTS), (levels.tokens, OF_TOKENS)];
    for (level, [limit, remaining, reset]) in limits {
        let Some(Level {
            allowed,
            remaining: left,
            reset: back,
        }) = level
        else {
            continue;
        };
        headers.insert(limit, allowed.into());
        headers.insert(remaining, left.into());
        let back = HeaderValue::try_from(go_duration(back));
        headers.insert(reset, back.expect("digits and letters are a header value"));
    }
}

/// A limit that was reached, in OpenAI's words.
pub(super) fn rate_limited(model: &str, reached: &Reached, retry_after: bool) -> Refusal {
    let (unit, kind, sign) = match reached.limit {
        Limit::RequestsPerMinute => ("requests per min", "requests", "RPM"),
        Limit::TokensPerMinute => ("tokens per min", "tokens", "TPM"),
        Limit::RequestsPerDay => ("requests per day", "requests", "RPD"),
    };
    let Reached {
        allowed,
        used,
        requested,
        ..
    } = reached;
    let message = match reached.wait {
        Some(wait) => format!(
            "Rate limit reached for {model} in organization org-simulated on {unit} ({sign}): \
             Limit {allowed}, Used {used}, Requested {requested}. Please try again in {}. Visit \
             https://platform.openai.com/account/rate-limits to learn more.",
            go_duration(wait)
        ),
        None => format!(
            "Request too large for {model} in organization org-simulated on {unit} ({sign}): \
             Limit {allowed}, Requested {requested}. The input or output tokens must be reduced \
             in order to run successfully. Visit \
             https://platform.openai.com/account/rate-limits to learn more."
        ),
    };
    Refusal {
        retry_after: reached.wait.filter(|_| retry_after),
        ..Refusal::new(429, message)
            .kind(kind)
            .code("rate_limit_exceeded")
    }
}

/// Writes a time as OpenAI does, after Go: `120ms`, `20s`, `1.5s`, `6m0s`, `2h0m3s`. Rounds up to a
/// millisecond, so that a wait is never told too short.
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
    fn times_are_written_as_go_does() {
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
