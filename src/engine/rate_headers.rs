//! Interprets the rate-limit headers of responses.
//!
//! `x-ratelimit-limit-requests` is a limit per minute for most providers and per day for some. The
//! time until the reset distinguishes them, since a per-minute limit resets within a minute.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::retry_after::duration;
use crate::domain::time::{Timestamp, parse_rfc3339};
use crate::provider::{Exchange, RateHeaders};
use crate::scheduler::ReportedLimit;

/// A limit that resets within this time is a per-minute limit. Includes a tolerance for clock
/// differences.
const MINUTE: Duration = Duration::from_secs(65);

/// Returns the limits of requests and tokens that a response reports, if any.
pub(super) fn limits(exchange: &Exchange, now: Timestamp) -> Option<[Option<ReportedLimit>; 2]> {
    if exchange.rate == RateHeaders::default() {
        return None;
    }
    // `Date` has a resolution of one second, so small differences are ignored.
    let ahead = exchange.clock_ahead.filter(|ahead| ahead.abs() > 2000);
    let provider_now = now.as_millis().saturating_add(ahead.unwrap_or(0));
    let provider_now = Timestamp::from_millis(provider_now);
    Some(parse(&exchange.rate, provider_now, now))
}

/// Parses the limits of requests and of tokens. `provider_now` is the time by the provider's clock,
/// `now` by ours.
fn parse(
    headers: &RateHeaders,
    provider_now: Timestamp,
    now: Timestamp,
) -> [Option<ReportedLimit>; 2] {
    let RateHeaders {
        limit_requests,
        remaining_requests,
        reset_requests,
        limit_tokens,
        remaining_tokens,
        reset_tokens,
    } = headers;
    let requests = [limit_requests, remaining_requests, reset_requests];
    let tokens = [limit_tokens, remaining_tokens, reset_tokens];
    [requests, tokens].map(|limit| parse_limit(limit, provider_now, now))
}

fn parse_limit(
    [limit, remaining, reset]: [&Option<String>; 3],
    provider_now: Timestamp,
    now: Timestamp,
) -> Option<ReportedLimit> {
    let reset = reset
        .as_deref()
        .and_then(|text| time_until(text, provider_now));
    match reset {
        Some(reset) if reset > MINUTE => Some(ReportedLimit::LongWindow {
            remaining: number(remaining.as_deref()?)?,
            until: now + reset,
        }),
        _ => Some(ReportedLimit::Minute {
            limit: NonZeroU32::new(number(limit.as_deref()?)?)?,
            remaining: remaining.as_deref().and_then(number),
        }),
    }
}

/// Parses a count. Values beyond `u32` are ignored.
fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// Parses a duration or a time: `6m0s`, `120ms`, `1.5`, an RFC 3339 time, or a Unix timestamp.
fn time_until(text: &str, now: Timestamp) -> Option<Duration> {
    let time = parse_rfc3339(text).or_else(|| duration::unix_time(text));
    time.map(|time| time.since(now))
        .or_else(|| duration::parse(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_464_000_000);

    #[track_caller]
    fn check(limit: &str, remaining: &str, reset: &str, expected: Option<ReportedLimit>) {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let headers = RateHeaders {
            limit_requests: value(limit),
            remaining_requests: value(remaining),
            reset_requests: value(reset),
            ..RateHeaders::default()
        };
        assert_eq!(parse(&headers, NOW, NOW), [expected, None]);
    }

    fn minute(limit: u32, remaining: impl Into<Option<u32>>) -> Option<ReportedLimit> {
        Some(ReportedLimit::Minute {
            limit: NonZeroU32::new(limit)?,
            remaining: remaining.into(),
        })
    }

    #[test]
    fn limits_that_reset_within_a_minute_are_per_minute() {
        check("3000", "2999", "20ms", minute(3000, 2999));
        check("60", "0", "1m0s", minute(60, 0));
        check("50", "49", "2026-11-23T20:00:01Z", minute(50, 49));
        check("50", "49", "", minute(50, 49));
        check("50", "", "", minute(50, None));
        check("500", "499", "0.12", minute(500, 499));
    }

    #[test]
    fn limits_that_reset_later_belong_to_a_long_window() {
        let long_window = |remaining, seconds| {
            let until = NOW + Duration::from_secs(seconds);
            Some(ReportedLimit::LongWindow { remaining, until })
        };
        check("14400", "14370", "2m59s", long_window(14_370, 179));
        check("5", "0", "2026-11-24T00:00:00Z", long_window(0, 4 * 3600));
    }

    #[test]
    fn invalid_headers_are_ignored() {
        check("", "3", "1s", None);
        check("many", "3", "1s", None);
        check("0", "0", "1s", None);
        check("-5", "3", "1s", None);
        check("99999999999", "3", "1s", None);
        check("5", "x", "1h", None);
        check("5", "4", "soon", minute(5, 4));
    }
}
