//! How long a provider asks to wait, in every spelling seen: the order of the sources and their
//! clock. What a length of time looks like is in `duration`, what a sentence says in `sentence`.
//!
//! A hint is untrusted text: whatever it says, the result is between zero and [`LONGEST`].

pub mod duration;
mod sentence;

use std::time::Duration;

use super::civil;
use super::time::Timestamp;

/// The longest wait a hint can ask for. A longer one is asked again after a day.
pub const LONGEST: Duration = Duration::from_hours(24);

/// The longest text of a header that is looked at, in bytes.
const LONGEST_TEXT: usize = 64;

/// The headers of a limit: what remains of it, and when it is whole again. The time counts only
/// when nothing remains, because on any response it names the way back to the full limit.
const LIMITS: [(&str, &str); 12] = [
    (
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    (
        "x-ratelimit-remaining-requests-minute",
        "x-ratelimit-reset-requests-minute",
    ),
    (
        "x-ratelimit-remaining-tokens-minute",
        "x-ratelimit-reset-tokens-minute",
    ),
    (
        "x-ratelimit-remaining-requests-day",
        "x-ratelimit-reset-requests-day",
    ),
    (
        "x-ratelimit-remaining-tokens-day",
        "x-ratelimit-reset-tokens-day",
    ),
    (
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    (
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
];

/// A refusal, as far as it may hold a hint.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Looks up a header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// A delay that the body names in a field of its own (`retryDelay`, `retry_after`).
    pub delay: Option<&'a str>,
    /// What the error says.
    pub message: &'a str,
}

/// Returns the least time to wait from `now`, at most [`LONGEST`]; zero for a moment that has
/// passed; `None` when nothing is said, or nothing that makes sense.
///
/// The first that parses counts: `retry-after-ms`, `retry-after`, for a 429 the latest reset of a
/// limit of which nothing remains, the body's own field, the message, and for a 429 a reset without
/// a word on what remains. Moments are compared with the response's `Date`, if it has one.
#[must_use]
pub fn parse(said: &Said<'_>, now: Timestamp) -> Option<Duration> {
    let now = header(said, "date")
        .and_then(civil::http_date)
        .unwrap_or(now);
    let limited = said.status == 429;
    header(said, "retry-after-ms")
        .and_then(duration::milliseconds)
        .or_else(|| header(said, "retry-after").and_then(|text| wait(text, now)))
        .or_else(|| {
            if limited {
                reset(said, now, Some("0"))
            } else {
                None
            }
        })
        .or_else(|| said.delay.filter(short).and_then(|text| wait(text, now)))
        .or_else(|| sentence::wait(said.message, now))
        .or_else(|| {
            if limited {
                reset(said, now, None)
            } else {
                None
            }
        })
        .map(|wait| wait.min(LONGEST))
}

/// The latest reset among the limits of which `remaining` is left.
fn reset(said: &Said<'_>, now: Timestamp, remaining: Option<&str>) -> Option<Duration> {
    let spent = LIMITS
        .iter()
        .filter(|(left, _)| header(said, left).map(str::trim) == remaining);
    spent
        .filter_map(|(_, reset)| wait(header(said, reset)?, now))
        .max()
}

/// Reads a length of time, a moment since 1970 in seconds or milliseconds, or a date.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Some(length) = duration::exact(text) {
        return Some(match duration::epoch(text) {
            Some(moment) => moment.since(now),
            None => length,
        });
    }
    let moment = civil::http_date(text).or_else(|| civil::rfc3339(text))?;
    Some(moment.since(now))
}

fn header<'a>(said: &Said<'a>, name: &str) -> Option<&'a str> {
    (said.header)(name).map(str::trim).filter(short)
}

fn short(text: &&str) -> bool {
    text.len() <= LONGEST_TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_942_400_000); // 2025-11-24T00:00:00Z

    fn ask(
        status: u16,
        headers: &[(&str, &str)],
        delay: Option<&str>,
        message: &str,
    ) -> Option<Duration> {
        let header = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, text)| *text)
        };
        parse(
            &Said {
                status,
                header: &header,
                delay,
                message,
            },
            NOW,
        )
    }

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected_ms: Option<u64>) {
        assert_eq!(
            ask(429, headers, None, ""),
            expected_ms.map(Duration::from_millis),
            "{headers:?}"
        );
    }

    #[test]
    fn retry_after_is_read_in_every_spelling() {
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
    fn the_first_source_that_parses_counts() {
        check(&[("retry-after-ms", "20"), ("retry-after", "9")], Some(20));
        check(&[("retry-after-ms", "20.5")], Some(21));
        check(
            &[("retry-after-ms", "soon"), ("retry-after", "9")],
            Some(9_000),
        );
        check(
            &[("retry-after", "soon"), ("x-ratelimit-reset", "3")],
            Some(3_000),
        );
        assert_eq!(
            ask(429, &[], Some("41s"), "try again in 3s"),
            Some(Duration::from_secs(41))
        );
        assert_eq!(
            ask(503, &[], None, "try again in 3s"),
            Some(Duration::from_secs(3))
        );
    }

    #[test]
    fn a_reset_counts_for_a_429_when_nothing_remains() {
        let spent = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "2m59.56s"),
        ];
        check(&spent, Some(179_560));
        check(&spent[..2], Some(120));
        assert_eq!(ask(500, &spent, None, ""), None);
        check(
            &[
                ("x-ratelimit-remaining-requests", "7"),
                ("x-ratelimit-reset-requests", "9s"),
            ],
            None,
        );
        let moment = [
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2025-11-24T00:00:30Z"),
        ];
        check(&moment, Some(30_000));
        check(
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1763942461000"),
            ],
            Some(61_000),
        );
    }

    #[test]
    fn moments_are_measured_by_the_clock_of_the_server() {
        let skewed = [
            ("date", "Mon, 24 Nov 2025 02:00:00 GMT"),
            ("retry-after", "Mon, 24 Nov 2025 02:00:05 GMT"),
        ];
        check(&skewed, Some(5_000));
    }

    /// A small generator, so that the test needs no crate and fails the same way twice.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).expect("31 bits fit") % end
        }

        fn text(&mut self) -> String {
            const PARTS: [&str; 40] = [
                "try again in ",
                "retry after ",
                "Retry in ",
                "请",
                "后再试",
                "00:00",
                "23:59",
                "after ",
                "41.724s",
                "10h17m5.723541104s",
                "2m59.56s",
                "86400",
                " seconds",
                "1763942460",
                "1763942461000",
                ".",
                "-",
                "+",
                "Z",
                "T",
                "h",
                "ms",
                "µs",
                "分钟",
                "1e400",
                "NaN",
                "inf",
                "99999999999999999999",
                "Mon, ",
                "24 Nov ",
                "2025",
                "-11-24T",
                "08:49:37",
                " GMT",
                " ",
                "reset at ",
                "midnight utc",
                "\u{0}",
                "😀",
                "8",
            ];
            let mut bytes = Vec::new();
            for _ in 0..=self.below(6) {
                bytes.extend_from_slice(PARTS[self.below(PARTS.len())].as_bytes());
            }
            for _ in 0..self.below(3) {
                let at = self.below(bytes.len());
                bytes[at] = u8::try_from(self.below(256)).expect("below 256");
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    #[test]
    fn no_text_panics_or_asks_for_more_than_a_day() {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let mut understood = 0_u32;
        for _ in 0..150_000 {
            let (one, two) = (dice.text(), dice.text());
            let headers = [
                ("retry-after", one.as_str()),
                ("x-ratelimit-reset", two.as_str()),
            ];
            for found in [
                ask(429, &headers, None, &two),
                ask(429, &[], Some(&two), &one),
            ] {
                assert!(found.is_none_or(|wait| wait <= LONGEST), "{one:?} {two:?}");
                understood += u32::from(found.is_some());
            }
        }
        assert!(
            understood > 10_000,
            "the dice hardly ever spell a hint: {understood}"
        );
    }
}
