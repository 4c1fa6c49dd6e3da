//! The wait a provider requests, from headers, body fields and messages in all known formats.
//! Durations are parsed in `duration`, sentences in `sentence`.
//!
//! The text is untrusted: the result is always between zero and [`MAX_WAIT`].

pub mod duration;
mod sentence;

use std::time::Duration;

use super::time::{self, Timestamp};

/// Maximum wait. If a provider requests a longer one, the request is retried after a day.
pub const MAX_WAIT: Duration = Duration::from_hours(24);

/// Maximum length of a header value that is parsed, in bytes.
const MAX_HEADER_LENGTH: usize = 64;

/// The headers of rate limits; `{}` is `remaining` for the remaining units and `reset` for the time
/// of reset. The reset matters only if nothing remains, because every response states when the full
/// limit is restored.
const LIMIT_HEADERS: [&str; 12] = [
    "x-ratelimit-{}-requests",
    "x-ratelimit-{}-tokens",
    "x-ratelimit-{}-requests-minute",
    "x-ratelimit-{}-tokens-minute",
    "x-ratelimit-{}-requests-day",
    "x-ratelimit-{}-tokens-day",
    "anthropic-ratelimit-requests-{}",
    "anthropic-ratelimit-tokens-{}",
    "anthropic-ratelimit-input-tokens-{}",
    "anthropic-ratelimit-output-tokens-{}",
    "x-ratelimit-{}",
    "ratelimit-{}",
];

/// The parts of an error response that can request a wait.
#[derive(Clone, Copy)]
pub struct RetryHints<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Looks up a header by its lowercase name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// A delay from a field of the body (`retryDelay`, `retry_after`).
    pub delay: Option<&'a str>,
    /// The error message.
    pub message: &'a str,
}

/// Returns the requested wait from `now`, at most [`MAX_WAIT`] and zero for a time in the past;
/// `None` if no valid wait is found.
///
/// The first valid source wins: `retry-after-ms`, `retry-after`, for a 429 the latest reset of an
/// exhausted limit, the field of the body, the message, and for a 429 the latest reset of a limit
/// without a remaining count. Times are relative to the `Date` header, if present.
#[must_use]
pub fn parse(hints: &RetryHints<'_>, now: Timestamp) -> Option<Duration> {
    let now = header(hints, "date")
        .and_then(time::parse_http_date)
        .unwrap_or(now);
    let latest_reset = |remaining| {
        let limited = hints.status == 429;
        limited.then(|| latest_reset(hints, now, remaining))?
    };
    header(hints, "retry-after-ms")
        .and_then(duration::milliseconds)
        .or_else(|| parse_wait(header(hints, "retry-after")?, now))
        .or_else(|| latest_reset(Some("0")))
        .or_else(|| parse_wait(hints.delay.filter(is_short)?, now))
        .or_else(|| sentence::parse_wait(hints.message, now))
        .or_else(|| latest_reset(None))
        .map(|wait| wait.min(MAX_WAIT))
}

/// Returns the latest reset among the limits whose remaining count is `remaining`.
fn latest_reset(
    hints: &RetryHints<'_>,
    now: Timestamp,
    remaining: Option<&str>,
) -> Option<Duration> {
    let value = |name: &str, what| header(hints, &name.replace("{}", what));
    let matching = LIMIT_HEADERS
        .iter()
        .filter(|name| value(name, "remaining") == remaining);
    matching
        .filter_map(|name| parse_wait(value(name, "reset")?, now))
        .max()
}

/// Parses a duration, a Unix time in seconds or milliseconds, or a date.
fn parse_wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Some(duration) = duration::parse(text) {
        let time = duration::unix_time(text);
        return Some(time.map_or(duration, |time| time.since(now)));
    }
    let time = time::parse_http_date(text).or_else(|| time::parse_rfc3339(text))?;
    Some(time.since(now))
}

fn header<'a>(hints: &RetryHints<'a>, name: &str) -> Option<&'a str> {
    (hints.header)(name).map(str::trim).filter(is_short)
}

fn is_short(text: &&str) -> bool {
    text.len() <= MAX_HEADER_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_942_400_000); // 2025-11-24T00:00:00Z

    fn wait_of(
        status: u16,
        headers: &[(&str, &str)],
        delay: Option<&str>,
        message: &str,
    ) -> Option<Duration> {
        let header = |name: &str| {
            let mut headers = headers.iter();
            headers.find_map(|(key, text)| (*key == name).then_some(*text))
        };
        let hints = RetryHints {
            status,
            header: &header,
            delay,
            message,
        };
        parse(&hints, NOW)
    }

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected_ms: Option<u64>) {
        let expected = expected_ms.map(Duration::from_millis);
        assert_eq!(wait_of(429, headers, None, ""), expected, "{headers:?}");
    }

    #[test]
    fn parses_retry_after_in_every_format() {
        for (text, expected) in [
            ("2", Some(2_000)),
            (" 0.5 ", Some(500)),
            ("0", Some(0)),
            ("20s", Some(20_000)),
            ("6m0s", Some(360_000)),
            ("999999999", Some(86_400_000)),
            ("1763942460", Some(60_000)),
            ("Mon, 24 Nov 2025 00:00:07 GMT", Some(7_000)),
            ("2025-11-24T00:00:03Z", Some(3_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("soon", None),
            ("NaN", None),
            ("inf", None),
            ("1e400", None),
            ("99999999999999999999999", None),
        ] {
            check(&[("retry-after", text)], expected);
        }
        check(&[("retry-after", &"1".repeat(10_240))], None);
    }

    #[test]
    fn the_first_valid_source_wins() {
        check(&[("retry-after-ms", "20"), ("retry-after", "9")], Some(20));
        check(&[("retry-after-ms", "20.5")], Some(21));
        let second = [("retry-after-ms", "soon"), ("retry-after", "9")];
        check(&second, Some(9_000));
        let third = [("retry-after", "soon"), ("x-ratelimit-reset", "3")];
        check(&third, Some(3_000));
        for (status, delay, seconds) in [(429, Some("41s"), 41), (503, None, 3)] {
            let wait = wait_of(status, &[], delay, "try again in 3s");
            assert_eq!(wait, Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_reset_counts_for_a_429_if_nothing_remains() {
        let exhausted = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "2m59.56s"),
        ];
        check(&exhausted, Some(179_560));
        check(&exhausted[..2], Some(120));
        assert_eq!(wait_of(500, &exhausted, None, ""), None);
        let remaining = [
            ("x-ratelimit-remaining-requests", "7"),
            ("x-ratelimit-reset-requests", "9s"),
        ];
        check(&remaining, None);
        let with_date = [
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2025-11-24T00:00:30Z"),
        ];
        check(&with_date, Some(30_000));
        let with_time = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1763942461000"),
        ];
        check(&with_time, Some(61_000));
    }

    #[test]
    fn times_are_relative_to_the_clock_of_the_server() {
        let skewed = [
            ("date", "Mon, 24 Nov 2025 02:00:00 GMT"),
            ("retry-after", "Mon, 24 Nov 2025 02:00:05 GMT"),
        ];
        check(&skewed, Some(5_000));
    }

    /// Parts of texts that resemble requested waits, separated by `|`.
    const PARTS: &str = "try again in |retry after |Retry in |请|后再试|00:00|23:59|after |41.724s\
        |10h17m5.723541104s|2m59.56s|86400| seconds|1763942460|1763942461000|.|-|+|Z|T|h|ms|µs|分钟\
        |1e400|NaN|inf|99999999999999999999|Mon, |24 Nov |2025|-11-24T|08:49:37| GMT| |reset at \
        |midnight utc|\u{0}|😀|8";

    fn random_text(rng: &mut fastrand::Rng, parts: &[&str]) -> String {
        let mut bytes = Vec::new();
        for _ in 0..=rng.usize(..6) {
            bytes.extend_from_slice(parts[rng.usize(..parts.len())].as_bytes());
        }
        for _ in 0..rng.usize(..3) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn no_text_panics_or_yields_more_than_a_day() {
        let mut rng = fastrand::Rng::with_seed(1);
        let parts: Vec<_> = PARTS.split('|').collect();
        let mut parsed = 0_u32;
        for _ in 0..150_000 {
            let mut text = || random_text(&mut rng, &parts);
            let (one, two) = (text(), text());
            let headers = [("retry-after", &*one), ("x-ratelimit-reset", &*two)];
            for found in [
                wait_of(429, &headers, None, &two),
                wait_of(429, &[], Some(&two), &one),
            ] {
                assert!(found.is_none_or(|wait| wait <= MAX_WAIT), "{one:?} {two:?}");
                parsed += u32::from(found.is_some());
            }
        }
        assert!(parsed > 10_000, "too few texts contain a wait: {parsed}");
    }
}
