//! Parses the wait in an error message: `Please try again in 41.724s`, `请00:00后再试`.

use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Time;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;

use super::duration;
use crate::domain::time::{self, Timestamp};

/// Phrases before a duration, a time of day or a date, in lowercase, separated by `|`.
const PREFIXES: &str = "try again in |try again after |try again at |retry in |retry after \
    |retrying in |retry-after: |retrydelay|please wait |wait for |wait |resets in |reset in \
    |reset after |resets at |reset at |available in |regain access on |请|将在|等待";

/// Words allowed between the phrase and the time, separated by `|`.
const FILLERS: &str = "about |approximately |another |at least |at |on |在|于|约";

/// UTC offset of a time without a time zone. Only `ChatAnywhere` sends such times; its day begins at
/// midnight in China.
const CHINA: Offset = Offset::constant(8);

/// Returns the wait requested by a message.
pub(super) fn parse_wait(message: &str, now: Timestamp) -> Option<Duration> {
    let text = message.to_ascii_lowercase();
    let hints = PREFIXES.split('|').flat_map(|prefix| {
        text.match_indices(prefix)
            .map(|(at, prefix)| &text[at + prefix.len()..])
    });
    let offset = if text.is_ascii() { Offset::UTC } else { CHINA };
    hints
        .map(skip_fillers)
        .find_map(|rest| duration_or_time(rest, now, offset))
        .or_else(|| {
            let midnight = text.contains("midnight utc") || text.contains("midnight (utc");
            midnight.then(|| time_until(Time::midnight(), Offset::UTC, now))
        })
}

fn duration_or_time(rest: &str, now: Timestamp, offset: Offset) -> Option<Duration> {
    duration::parse_prefix(rest)
        .or_else(|| Some(time::parse_prefix(rest, offset)?.since(now)))
        .or_else(|| time_of_day(rest, now))
}

fn skip_fillers(mut text: &str) -> &str {
    loop {
        let rest = text.trim_start_matches([' ', ':', '=', '"', '\'', '~', '≈']);
        let rest = FILLERS
            .split('|')
            .find_map(|word| rest.strip_prefix(word))
            .unwrap_or(rest);
        if rest.len() == text.len() {
            return text;
        }
        text = rest;
    }
}

/// Parses a time such as `00:00` and returns the time until it next occurs.
fn time_of_day(text: &str, now: Timestamp) -> Option<Duration> {
    let clock = text.get(.."00:00".len())?;
    let time = BrokenDownTime::parse("%H:%M", clock).ok()?.to_time().ok()?;
    let offset = if time::starts_with_utc(&text[clock.len()..]) {
        Offset::UTC
    } else {
        CHINA
    };
    Some(time_until(time, offset, now))
}

/// Returns the time until a time of day next occurs at a UTC offset.
fn time_until(time: Time, offset: Offset, now: Timestamp) -> Duration {
    let now = offset.to_datetime(now.into());
    let mut next = now.date().to_datetime(time);
    if next < now {
        next = next.saturating_add(1.day());
    }
    next.duration_since(now).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-24T06:00:00Z, 14:00 in China.
    const NOW: Timestamp = Timestamp::from_millis(1_763_964_000_000);

    #[track_caller]
    fn check(message: &str, expected_ms: Option<u64>) {
        let expected = expected_ms.map(Duration::from_millis);
        assert_eq!(parse_wait(message, NOW), expected, "{message}");
    }

    /// Checks messages, each followed by `=>` and the expected wait in milliseconds.
    #[track_caller]
    fn check_all(messages: &[&str]) {
        for line in messages {
            let (message, millis) = line.split_once(" => ").unwrap();
            check(message, Some(millis.parse().unwrap()));
        }
    }

    #[test]
    fn finds_durations_in_messages() {
        check_all(&[
            "Rate limit reached (RPM): Limit 3, Used 3. Please try again in 41.724s. Visit https://x => 41724",
            "Please retry after 86400 seconds. => 86400000",
            "Please try again in 2m59.56s. => 179560",
            "Quota exceeded.\nPlease retry in 10h17m5.5s. => 37025500",
            "max request: 3, please try again after 1 seconds => 1000",
            "Please wait 41234 seconds before retrying. => 41234000",
            "Try again in 60 seconds. Passed model=gpt-4 => 60000",
            "{\"retryDelay\": \"41s\" => 41000",
            "try again in about 2 minutes => 120000",
            "请求过多，请在 20 秒后重试 => 20000",
            "请1分钟后再试 => 60000",
        ]);
    }

    #[test]
    fn times_of_day_are_in_china_time_unless_marked_as_utc() {
        check_all(&[
            "免费API限制每日200次请求，请00:00后再试，limited to 200 requests per day. => 36000000",
            "Please try again after 00:00 the next day. => 36000000",
            "try again after 06:30 UTC => 1800000",
            "the limit resets at midnight UTC => 64800000",
            "您的限额将在 2025-11-24 15:00:00 重置。 => 3600000",
            "You will regain access on 2025-11-24 at 07:00 UTC. => 3600000",
            "Reset at 2025-11-24T06:00:09Z => 9000",
        ]);
    }

    #[test]
    fn a_message_without_a_time_has_no_wait() {
        for message in [
            "",
            "try again later",
            "请稍后再试",
            "please wait a moment",
            "retry in 3 attempts",
            "try again after 25:00",
            "please wait 1:30 or more",
            "try again at 2025-99-99T00:00:00Z",
            "免费API限制模型输入token小于4096",
        ] {
            check(message, None);
        }
    }
}
