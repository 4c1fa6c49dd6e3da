//! How values are written: times, the delimiter, and words for a shell.

use std::str::FromStr;
use std::time::Duration;

use crate::domain::limits::Zone;
use crate::domain::price::Cost;
use crate::domain::window::Concurrency;

/// Reads a number from 1 on.
pub(super) fn count<N: FromStr>(text: &str) -> Result<N, String> {
    let wrong =
        |_| format!("\"{text}\" is no whole number from 1 on; leave it out for the default");
    text.trim().parse().map_err(wrong)
}

/// Reads a time: a number with `ms`, `s`, `m`, `h` or `d`, or several of them (`1h30m`). A bare number
/// is refused, since it might be seconds or minutes.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; write it like 90s, 5m or 2h");
    let text = text.trim();
    if text.parse::<f64>().is_ok_and(|number| number >= 0.0) {
        return Err(format!(
            "a time has a unit: {text}s is seconds, {text}m minutes, {text}h hours"
        ));
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let unit_at = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or_else(wrong)?;
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
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = &tail[unit_end..];
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !text.is_empty() => Ok(time),
        _ => Err(wrong()),
    }
}

/// Reads how often to look: a time from 100 milliseconds to an hour.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    let range = Duration::from_millis(100)..=Duration::from_hours(1);
    if range.contains(&time) {
        Ok(time)
    } else {
        Err(format!("\"{text}\" is not between 100ms and 1h"))
    }
}

/// Reads an amount of money in US dollars: `5usd`, `$5` or `0.50`.
pub(super) fn money(text: &str) -> Result<Cost, String> {
    let number = text.trim().trim_start_matches('$').to_ascii_lowercase();
    let number = number.strip_suffix("usd").unwrap_or(&number).trim_end();
    let dollars = number.parse().ok().and_then(Cost::from_dollars);
    dollars
        .ok_or_else(|| format!("\"{text}\" is no amount of money; write it like 5usd or 0.50usd"))
}

/// Reads a zone of the clock: `UTC`, or how far it is ahead like `+08:00`.
pub(super) fn zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text.trim())
        .ok_or_else(|| format!("\"{text}\" is no zone; write it like UTC or +08:00"))
}

/// Reads how many requests may be in flight: a number from 1 on, or `auto`.
pub(super) fn concurrency(text: &str) -> Result<Concurrency, String> {
    text.trim()
        .parse()
        .map_err(|()| format!("\"{text}\" is no number from 1 on; write it like 16, or auto"))
}

/// Reads a delimiter: one ASCII character, or `\t` for a tab.
pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("a delimiter is one ASCII character, or \\t for a tab".to_owned()),
    }
}

/// Writes words as a shell reads them.
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
    fn times_are_read_with_their_unit() {
        check("90s", Some(90_000));
        check("1h30m", Some(5_400_000));
        check("250ms", Some(250));
        check("1.5s", Some(1_500));
        check("2d", Some(172_800_000));
        for wrong in [
            "", "s", "5", "1.5", "5x", "-3s", "1h30", "nan", "1e400s", "5 m",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_told_the_units() {
        let said = duration("5").unwrap_err();
        assert!(said.contains("5s is seconds, 5m minutes"), "{said}");
    }

    #[test]
    fn a_count_begins_with_one() {
        assert_eq!(count::<NonZeroU32>(" 1 "), Ok(NonZeroU32::MIN));
        for wrong in ["0", "-1", "1.5", "many", "", "4294967296"] {
            assert!(count::<NonZeroU32>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn money_and_zones_are_read_as_people_write_them() {
        for text in ["5usd", "$5", "5", " 5 USD"] {
            assert_eq!(money(text), Ok(Cost::from_dollars(5.0).unwrap()), "{text}");
        }
        for wrong in ["", "-1usd", "5eur", "nan", "infusd"] {
            assert!(money(wrong).is_err(), "{wrong}");
        }
        assert!(zone("+08:00").is_ok() && zone("CET").is_err());
    }

    #[test]
    fn looks_are_neither_too_many_nor_too_few() {
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(interval("1h"), Ok(Duration::from_hours(1)));
        for wrong in ["0", "99ms", "61m", "x"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delimiter_is_one_byte() {
        assert_eq!(delimiter(";"), Ok(b';'));
        assert_eq!(delimiter("\\t"), Ok(b'\t'));
        assert!(delimiter("").is_err() && delimiter("，").is_err() && delimiter(",,").is_err());
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        let words = ["run", "my file.csv", "--prompt", "it's {{ a }}"].map(str::to_owned);
        assert_eq!(
            shell_line(&words),
            r"run 'my file.csv' --prompt 'it'\''s {{ a }}'"
        );
    }
}
