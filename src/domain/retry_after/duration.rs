//! Parses durations in headers (`2`, `0.5`, `120ms`, `6m0s`, `10h17m5.7s`) and in sentences
//! (`5 seconds`, `1 hour and 5 minutes`, `20 秒`).

use std::time::Duration;

use crate::domain::time::Timestamp;

/// Smallest bare number interpreted as a Unix time in seconds (2001-09-09) instead of a duration.
const EPOCH_SECONDS: f64 = 1e9;
/// Smallest bare number interpreted as a Unix time in milliseconds (1973-03-03).
const EPOCH_MILLIS: f64 = 1e11;
/// Numbers of this size or larger are rejected as noise.
const MAX_NUMBER: f64 = 1e15;

/// Units in headers, with their seconds. The first match is used, so names precede their own
/// prefixes.
const SHORT_UNITS: &[(&[&str], f64)] = &[
    (&["ms"], 1e-3),
    (&["us", "µs", "μs"], 1e-6),
    (&["ns"], 1e-9),
    (&["h"], 3600.0),
    (&["m"], 60.0),
    (&["s"], 1.0),
];

/// Additional units in sentences.
const WORD_UNITS: &[(&[&str], f64)] = &[
    (&["milliseconds", "millisecond", "毫秒"], 1e-3),
    (&["seconds", "second", "secs", "sec", "秒钟", "秒"], 1.0),
    (&["minutes", "minute", "mins", "min", "分钟", "分"], 60.0),
    (&["hours", "hour", "hrs", "hr", "个小时", "小时"], 3600.0),
    (&["days", "day", "d", "天"], 86_400.0),
    (&["weeks", "week"], 604_800.0),
    (&["months", "month", "个月"], 2_592_000.0),
];

/// Parses the entire value of a header. A bare number is in seconds.
///
/// Only digits, decimal points and units are accepted: no `NaN`, `inf`, signs or exponents.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Some((seconds, "")) = number(text) {
        return from_seconds(seconds);
    }
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let (count, after) = number(rest)?;
        let (unit, after) = unit(after, SHORT_UNITS)?;
        (seconds, rest) = (seconds + count * unit, after);
    }
    from_seconds(seconds).filter(|_| !text.is_empty())
}

/// Parses an entire text as a bare number of milliseconds, rounded up.
#[must_use]
pub fn milliseconds(text: &str) -> Option<Duration> {
    match number(text.trim())? {
        (millis, "") => from_seconds(millis.ceil() / 1000.0),
        _ => None,
    }
}

/// Parses a bare number that is large enough to be a Unix time, in seconds or milliseconds.
#[must_use]
pub fn unix_time(text: &str) -> Option<Timestamp> {
    let (number, rest) = number(text.trim())?;
    let divisor = if number >= EPOCH_MILLIS { 1000.0 } else { 1.0 };
    let seconds = number / divisor;
    if !rest.is_empty() || number < EPOCH_SECONDS {
        return None;
    }
    Some(Timestamp::from_millis(0) + from_seconds(seconds)?)
}

/// Parses the duration at the start of a lowercase text. A bare number is in seconds; a number
/// before a word that is not a unit is not a duration.
#[must_use]
pub(super) fn parse_prefix(text: &str) -> Option<Duration> {
    let (first, mut rest) = number(text)?;
    let mut seconds = match word_unit(rest) {
        Some((unit, after)) => {
            rest = after;
            first * unit
        }
        None if ends_number(rest) => return from_seconds(first),
        None => return None,
    };
    while let Some((count, after)) = number(skip_separator(rest)) {
        let Some((unit, after)) = word_unit(after) else {
            break;
        };
        (seconds, rest) = (seconds + count * unit, after);
    }
    from_seconds(seconds)
}

fn word_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let whole = |found: &(f64, &str)| !found.1.starts_with(|c: char| c.is_ascii_alphabetic());
    let glued =
        |found: &(f64, &str)| whole(found) || found.1.starts_with(|c: char| c.is_ascii_digit());
    unit(text, WORD_UNITS)
        .filter(whole)
        .or_else(|| unit(text, SHORT_UNITS).filter(glued))
}

/// Skips the separator between two parts of a duration: `1 hour, 5 minutes`,
/// `1 hour and 5 minutes`.
fn skip_separator(text: &str) -> &str {
    let text = text.trim_start_matches([' ', ',']);
    text.strip_prefix("and ").unwrap_or(text)
}

/// Returns whether a bare number can end before `rest`: at the end of the text or before
/// punctuation.
fn ends_number(rest: &str) -> bool {
    let mut next = rest.chars();
    match next.next() {
        None | Some('"' | '\'' | ')' | '}' | ',' | ';' | '\n') => true,
        Some('.') => next.next().is_none_or(char::is_whitespace),
        Some(_) => false,
    }
}

/// Parses the decimal number at the start of a text, and returns it with the rest.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    if whole == 0 {
        return None;
    }
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    let end = whole + fraction + usize::from(fraction > 0);
    let number = text[..end].parse::<f64>().ok()?;
    (number < MAX_NUMBER).then_some((number, &text[end..]))
}

fn unit<'a>(text: &'a str, units: &[(&[&str], f64)]) -> Option<(f64, &'a str)> {
    units.iter().find_map(|(names, seconds)| {
        let rest = names.iter().find_map(|name| text.strip_prefix(name))?;
        Some((*seconds, rest))
    })
}

fn from_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(read: Option<Duration>, expected: Option<f64>) {
        assert_eq!(read, expected.map(Duration::from_secs_f64));
    }

    #[test]
    fn parses_the_entire_header_or_nothing() {
        for (text, expected) in [
            ("1s", Some(1.0)),
            ("6m0s", Some(360.0)),
            ("120ms", Some(0.12)),
            ("2m59.56s", Some(179.56)),
            ("10h17m5.723541104s", Some(37_025.723_541_104)),
            ("15µs", Some(0.000_015)),
            ("7", Some(7.0)),
            ("33011.382867", Some(33_011.382_867)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("5.", None),
            (".5", None),
            ("+5", None),
            ("-5s", None),
            ("5s-", None),
            ("1e3", None),
            ("1000000000000000", None),
        ] {
            check(parse(text), expected);
        }
    }

    #[test]
    fn parses_durations_in_sentences() {
        for (text, expected) in [
            ("41.724s. visit", Some(41.724)),
            ("10h17m5.5s", Some(37_025.5)),
            ("86400 seconds.", Some(86_400.0)),
            ("1 hour and 5 minutes", Some(3_900.0)),
            ("2 hours, 30 mins", Some(9_000.0)),
            ("20 秒后重试", Some(20.0)),
            ("1分钟", Some(60.0)),
            ("7.", Some(7.0)),
            ("7", Some(7.0)),
            ("3 attempts", None),
            ("5 monkeys", None),
            ("00:00", None),
            ("2025-11-24", None),
            ("soon", None),
        ] {
            check(parse_prefix(text), expected);
        }
    }

    #[test]
    fn only_large_bare_numbers_are_unix_times() {
        for (text, millis) in [
            ("1763942460", Some(1_763_942_460_000)),
            ("1763942460123", Some(1_763_942_460_123)),
            ("86400", None),
            ("1763942460s", None),
        ] {
            assert_eq!(unix_time(text), millis.map(Timestamp::from_millis));
        }
    }
}
