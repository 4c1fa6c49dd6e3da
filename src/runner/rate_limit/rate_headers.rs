//! What a provider tells of its limits with each response, read for the pace.
//!
//! `x-ratelimit-limit-requests` is a limit a minute at most providers and a limit a day at some.
//! Which one shows in the time until it is back in full: a minute's limit is never further away
//! than a minute.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::civil;
use crate::domain::retry_after::duration;
use crate::domain::time::Timestamp;
use crate::provider::RateHeaders;

/// A limit that is back in full within this time is one of a minute; the rest is for slow clocks.
const MINUTE: Duration = Duration::from_secs(65);

/// What was told of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportedLimit {
    /// So many a minute, of which so many are left.
    Minute {
        limit: NonZeroU32,
        left: Option<u32>,
    },
    /// So many are left in a window longer than a minute, which ends at a moment.
    Longer { left: u32, until: Timestamp },
}

/// Reads what was told of requests and of tokens, at `there` by the provider's clock and `now` by
/// ours.
pub(super) fn read(
    headers: &RateHeaders,
    there: Timestamp,
    now: Timestamp,
) -> [Option<ReportedLimit>; 2] {
    [
        parse(
            [
                &headers.limit_requests,
                &headers.remaining_requests,
                &headers.reset_requests,
            ],
            there,
            now,
        ),
        parse(
            [
                &headers.limit_tokens,
                &headers.remaining_tokens,
                &headers.reset_tokens,
            ],
            there,
            now,
        ),
    ]
}

fn parse(
    [limit, remaining, reset]: [&Option<String>; 3],
    there: Timestamp,
    now: Timestamp,
) -> Option<ReportedLimit> {
    let reset = reset.as_deref().and_then(|text| time_until(text, there));
    match reset {
        Some(reset) if reset > MINUTE => Some(ReportedLimit::Longer {
            left: number(remaining.as_deref()?)?,
            until: now + reset,
        }),
        _ => Some(ReportedLimit::Minute {
            limit: NonZeroU32::new(number(limit.as_deref()?)?)?,
            left: remaining.as_deref().and_then(number),
        }),
    }
}

/// Reads a count; one beyond `u32` is as good as none at all.
fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// Reads a time or a moment, as providers write them: `6m0s`, `120ms`, `1.5`, an RFC 3339 time, or
/// seconds since 1970.
fn time_until(text: &str, now: Timestamp) -> Option<Duration> {
    let moment = civil::rfc3339(text).or_else(|| duration::epoch(text));
    moment
        .map(|moment| moment.since(now))
        .or_else(|| duration::exact(text))
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
        assert_eq!(read(&headers, NOW, NOW), [expected, None]);
    }

    fn minute(limit: u32, left: impl Into<Option<u32>>) -> Option<ReportedLimit> {
        Some(ReportedLimit::Minute {
            limit: NonZeroU32::new(limit)?,
            left: left.into(),
        })
    }

    #[test]
    fn a_limit_that_is_back_within_a_minute_is_one_of_a_minute() {
        check("3000", "2999", "20ms", minute(3000, 2999));
        check("60", "0", "1m0s", minute(60, 0));
        check("50", "49", "2026-11-23T20:00:01Z", minute(50, 49));
        check("50", "49", "", minute(50, 49));
        check("50", "", "", minute(50, None));
        check("500", "499", "0.12", minute(500, 499));
    }

    #[test]
    fn of_a_longer_window_it_counts_what_is_left() {
        let until = |seconds| NOW + Duration::from_secs(seconds);
        let longer = |left, seconds| {
            Some(ReportedLimit::Longer {
                left,
                until: until(seconds),
            })
        };
        check("14400", "14370", "2m59s", longer(14_370, 179));
        check("5", "0", "2026-11-24T00:00:00Z", longer(0, 4 * 3600));
    }

    #[test]
    fn what_cannot_be_read_is_not_believed() {
        check("", "3", "1s", None);
        check("many", "3", "1s", None);
        check("0", "0", "1s", None);
        check("-5", "3", "1s", None);
        check("99999999999", "3", "1s", None);
        check("5", "x", "1h", None);
        check("5", "4", "soon", minute(5, 4));
    }
}
