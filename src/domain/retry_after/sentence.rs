//! Hints inside an error's sentence: `Please try again in 41.724s`, `请00:00后再试`.

use std::time::Duration;

use super::duration;
use crate::domain::civil;
use crate::domain::time::Timestamp;

/// What stands before a length of time, a time of day or a date. Lower-case.
const LEADS: [&str; 21] = [
    "try again in ",
    "try again after ",
    "try again at ",
    "retry in ",
    "retry after ",
    "retrying in ",
    "retry-after: ",
    "retrydelay",
    "please wait ",
    "wait for ",
    "wait ",
    "resets in ",
    "reset in ",
    "reset after ",
    "resets at ",
    "reset at ",
    "available in ",
    "regain access on ",
    "请",
    "将在",
    "等待",
];

/// What may stand between the lead and the time.
const FILLERS: [&str; 9] = [
    "about ",
    "approximately ",
    "another ",
    "at least ",
    "at ",
    "on ",
    "在",
    "于",
    "约",
];

/// Minutes east of UTC of the clock that a time of day is read by when it names no zone. It is
/// seen at `ChatAnywhere` alone, whose day begins at midnight in China.
const CHINA: i64 = 8 * 60;
const DAY_MINUTES: i64 = 24 * 60;

/// Returns how long the sentence asks to wait, when it does.
pub(super) fn wait(message: &str, now: Timestamp) -> Option<Duration> {
    let text = message.to_ascii_lowercase();
    let hints = LEADS.iter().flat_map(|lead| {
        text.match_indices(lead)
            .map(|(at, lead)| &text[at + lead.len()..])
    });
    let east = if text.is_ascii() { 0 } else { CHINA };
    hints
        .map(past_fillers)
        .find_map(|rest| length_or_moment(rest, now, east))
        .or_else(|| {
            let midnight = text.contains("midnight utc") || text.contains("midnight (utc");
            midnight.then(|| until(0, 0, now))
        })
}

fn length_or_moment(rest: &str, now: Timestamp, east: i64) -> Option<Duration> {
    duration::spoken(rest)
        .or_else(|| Some(civil::leading(rest, east)?.since(now)))
        .or_else(|| time_of_day(rest, now))
}

fn past_fillers(mut text: &str) -> &str {
    loop {
        let rest = text.trim_start_matches([' ', ':', '=', '"', '\'', '~', '≈']);
        let rest = FILLERS
            .iter()
            .find_map(|word| rest.strip_prefix(word))
            .unwrap_or(rest);
        if rest.len() == text.len() {
            return text;
        }
        text = rest;
    }
}

/// Reads `00:00` and returns the time until the clock shows it next.
fn time_of_day(text: &str, now: Timestamp) -> Option<Duration> {
    let clock = text.get(..5)?;
    let (hour, minute) = clock.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let minutes = hour.parse::<i64>().ok().filter(|hour| *hour < 24)? * 60
        + minute.parse::<i64>().ok().filter(|minute| *minute < 60)?;
    let zone = text[5..].trim_start();
    let utc = zone.starts_with("utc") || zone.starts_with("gmt");
    Some(until(minutes, if utc { 0 } else { CHINA }, now))
}

/// The time until a clock `east` minutes ahead of UTC next shows `minutes` after midnight.
fn until(minutes: i64, east: i64, now: Timestamp) -> Duration {
    let day = DAY_MINUTES * 60_000;
    let shown = now
        .as_millis()
        .saturating_add(east * 60_000)
        .rem_euclid(day);
    let left = (minutes * 60_000 - shown).rem_euclid(day);
    Duration::from_millis(left.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-24T06:00:00Z, 14:00 in China.
    const NOW: Timestamp = Timestamp::from_millis(1_763_964_000_000);

    #[track_caller]
    fn check(message: &str, expected_ms: Option<u64>) {
        assert_eq!(
            wait(message, NOW),
            expected_ms.map(Duration::from_millis),
            "{message}"
        );
    }

    #[test]
    fn lengths_are_found_in_sentences() {
        check(
            "Rate limit reached (RPM): Limit 3, Used 3. Please try again in 41.724s. Visit https://x",
            Some(41_724),
        );
        check("Please retry after 86400 seconds.", Some(86_400_000));
        check("Please try again in 2m59.56s.", Some(179_560));
        check(
            "Quota exceeded.\nPlease retry in 10h17m5.5s.",
            Some(37_025_500),
        );
        check(
            "max request: 3, please try again after 1 seconds",
            Some(1_000),
        );
        check(
            "Please wait 41234 seconds before retrying.",
            Some(41_234_000),
        );
        check("Try again in 60 seconds. Passed model=gpt-4", Some(60_000));
        check("{\"retryDelay\": \"41s\"", Some(41_000));
        check("try again in about 2 minutes", Some(120_000));
        check("请求过多，请在 20 秒后重试", Some(20_000));
        check("请1分钟后再试", Some(60_000));
    }

    #[test]
    fn times_of_day_count_in_china_unless_they_say_utc() {
        check(
            "免费API限制每日200次请求，请00:00后再试，limited to 200 requests per day.",
            Some(36_000_000),
        );
        check(
            "Please try again after 00:00 the next day.",
            Some(36_000_000),
        );
        check("try again after 06:30 UTC", Some(1_800_000));
        check("the limit resets at midnight UTC", Some(64_800_000));
        check("您的限额将在 2025-11-24 15:00:00 重置。", Some(3_600_000));
        check(
            "You will regain access on 2025-11-24 at 07:00 UTC.",
            Some(3_600_000),
        );
        check("Reset at 2025-11-24T06:00:09Z", Some(9_000));
    }

    #[test]
    fn what_names_no_time_is_no_hint() {
        for message in [
            "",
            "try again later",
            "请稍后再试",
            "please wait a moment",
            "retry in 3 attempts",
            "try again after 25:00",
            "try again at 2025-99-99T00:00:00Z",
            "免费API限制模型输入token小于4096",
        ] {
            check(message, None);
        }
    }
}
