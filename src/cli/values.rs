//! Parsers for the values of flags and settings, and shell quoting.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::domain::concurrency::Concurrency;
use crate::domain::price::Cost;
use crate::domain::time::{Timestamp, parse_rfc3339};
use crate::domain::time_zone::TimeZone;

pub(super) const POSITIVE_INTEGER: &str = "expected a positive integer";

/// Parses one of the named values.
pub(super) fn choice<T>(values: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = values.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(|name| {
        let found = values.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).ok_or("unknown value")
    })
}

/// Parses a positive integer.
pub(super) fn count<N: FromStr>(text: &str) -> Result<N, String> {
    text.trim().parse().map_err(|_| POSITIVE_INTEGER.to_owned())
}

/// Parses a duration like `90s` or `1h30m`. A number without a unit is rejected, since it could be
/// seconds or minutes.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || "expected a duration like 90s, 5m, or 2h".to_owned();
    let text = text.trim();
    if text.parse::<f64>().is_ok_and(|number| number >= 0.0) {
        return Err(format!(
            "missing unit: use {text}s for seconds, {text}m for minutes, or {text}h for hours"
        ));
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let unit_at = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let factor = match &tail[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(invalid()),
        };
        seconds += number.parse::<f64>().map_err(|_| invalid())? * factor;
        rest = &tail[unit_end..];
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !text.is_empty() => Ok(duration),
        _ => Err(invalid()),
    }
}

/// Parses a refresh interval from 100 milliseconds to 1 hour.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let range = Duration::from_millis(100)..=Duration::from_hours(1);
    if range.contains(&interval) {
        Ok(interval)
    } else {
        Err("expected a duration from 100ms to 1h".to_owned())
    }
}

/// Parses an amount in US dollars: `5usd`, `$5`, or `0.50`.
pub(super) fn money(text: &str) -> Result<Cost, String> {
    let number = text.trim().trim_start_matches('$').to_ascii_lowercase();
    let number = number.strip_suffix("usd").unwrap_or(&number).trim_end();
    let dollars = number.parse().ok().and_then(Cost::from_dollars);
    dollars.ok_or_else(|| "expected an amount in US dollars like 5usd or 0.50usd".to_owned())
}

/// When a batch should be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// No deadline.
    None,
    /// After a time from now.
    In(Duration),
    /// At a time.
    At(Timestamp),
}

impl Deadline {
    /// Returns the time of the deadline.
    pub(super) fn resolve(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::None => None,
            Self::In(time) => Some(now + time),
            Self::At(at) => Some(at),
        }
    }
}

/// Parses a deadline: a duration, an RFC 3339 time, or `none`.
pub(super) fn deadline(text: &str) -> Result<Deadline, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(Deadline::None);
    }
    if let Some(at) = parse_rfc3339(text) {
        return Ok(Deadline::At(at));
    }
    let invalid = || "expected a duration like 6h, a time like 2026-12-01T08:00:00Z, or none";
    duration(text)
        .map(Deadline::In)
        .map_err(|_| invalid().to_owned())
}

/// Parses a time zone: a name like `America/Los_Angeles`, or an offset from UTC like `+08:00`.
pub(super) fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::try_from(text.to_owned())
}

/// Parses the maximum number of requests in flight: a positive integer, or `auto`.
pub(super) fn concurrency(text: &str) -> Result<Concurrency, String> {
    let concurrency = text.trim().parse();
    concurrency.map_err(|()| format!("{POSITIVE_INTEGER}, or auto"))
}

/// Parses a delimiter: one ASCII character, or `\t` for a tab.
pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("expected one ASCII character, or \\t for a tab".to_owned()),
    }
}

/// Quotes words for a shell.
pub(super) fn shell_line(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(
            duration(text).ok().map(|time| time.as_millis()),
            expected.map(u128::from)
        );
    }

    #[test]
    fn parses_durations_with_units() {
        check("90s", Some(90_000));
        check("1h30m", Some(5_400_000));
        check("250ms", Some(250));
        check("1.5s", Some(1_500));
        check("2d", Some(172_800_000));
        for invalid in [
            "", "s", "5", "1.5", "5x", "-3s", "1h30", "nan", "1e400s", "5 m",
        ] {
            check(invalid, None);
        }
    }

    #[test]
    fn a_number_without_a_unit_gets_a_hint_with_units() {
        let error = duration("5").unwrap_err();
        assert!(error.contains("5s for seconds, 5m for minutes"), "{error}");
    }

    #[test]
    fn rejects_counts_that_are_not_positive_integers() {
        assert_eq!(count::<NonZeroU32>(" 1 "), Ok(NonZeroU32::MIN));
        for invalid in ["0", "-1", "1.5", "many", "", "4294967296"] {
            assert!(count::<NonZeroU32>(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn parses_money() {
        for text in ["5usd", "$5", "5", " 5 USD"] {
            assert_eq!(money(text), Ok(Cost::from_dollars(5.0).unwrap()), "{text}");
        }
        for invalid in ["", "-1usd", "5eur", "nan", "infusd"] {
            assert!(money(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_deadline_is_a_duration_a_time_or_none() {
        let now = Timestamp::from_millis(1_000);
        let resolved = |text: &str| deadline(text).unwrap().resolve(now);
        assert_eq!(resolved("6s"), Some(Timestamp::from_millis(7_000)));
        assert_eq!(
            resolved("1970-01-01T00:01:00Z"),
            Some(Timestamp::from_millis(60_000))
        );
        assert_eq!(resolved("None"), None);
        for text in ["", "6", "tomorrow", "2026-12-01"] {
            assert!(deadline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_time_zone_has_a_suggestion_or_an_example() {
        for text in ["+08:00", "-08:00", " Asia/Shanghai "] {
            assert!(time_zone(text).is_ok(), "{text}");
        }
        let error = time_zone("America/Los_Angles").unwrap_err();
        assert!(
            error.ends_with("did you mean America/Los_Angeles?"),
            "{error}"
        );
        let error = time_zone("PST").unwrap_err();
        assert!(error.contains("like America/Los_Angeles"), "{error}");
    }

    #[test]
    fn checks_the_bounds_of_an_interval() {
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(interval("1h"), Ok(Duration::from_hours(1)));
        for invalid in ["0", "99ms", "61m", "x"] {
            assert!(interval(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_delimiter_is_one_ascii_character() {
        assert_eq!(delimiter(";"), Ok(b';'));
        assert_eq!(delimiter("\\t"), Ok(b'\t'));
        assert!(delimiter("").is_err() && delimiter("，").is_err() && delimiter(",,").is_err());
    }

    #[test]
    fn quotes_words_for_a_shell() {
        let words = ["run", "my file.csv", "--prompt", "it's {{ a }}"].map(str::to_owned);
        assert_eq!(
            shell_line(&words),
            r"run 'my file.csv' --prompt 'it'\''s {{ a }}'"
        );
    }
}
