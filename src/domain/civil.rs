//! Parses HTTP dates and RFC 3339 dates into a [`Timestamp`].
//!
//! Implemented here because the domain does not depend on a date crate. Uses the proleptic
//! Gregorian calendar; a leap second counts as the following second.

use super::time::Timestamp;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// A date and time of day without a time zone.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millis: i64,
}

impl Civil {
    /// Returns the timestamp at a UTC offset in minutes; `None` for an invalid date.
    fn to_timestamp(&self, utc_offset: i64) -> Option<Timestamp> {
        let is_valid = (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60;
        let days = days_from_civil(self.year, self.month, self.day);
        let seconds = ((days * 24 + self.hour) * 60 + self.minute - utc_offset) * 60 + self.second;
        is_valid.then(|| Timestamp::from_millis(seconds * 1000 + self.millis))
    }
}

/// Parses an HTTP date in any of its three formats (RFC 9110, 5.6.7):
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. The name of the day is not checked.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let mut parts = text.split([' ', ',', '-', ':']).filter(|p| !p.is_empty());
    parts.next().filter(|name| is_word(name))?;
    let first = parts.next()?;
    let civil = if is_word(first) {
        let (month, day) = (month(first)?, number(parts.next()?)?);
        let [hour, minute, second] = time_of_day(&mut parts)?;
        let year = year(parts.next()?)?;
        Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millis: 0,
        }
    } else {
        let (day, month) = (number(first)?, month(parts.next()?)?);
        let year = year(parts.next()?)?;
        let [hour, minute, second] = time_of_day(&mut parts)?;
        parts
            .next()
            .filter(|zone| ["GMT", "UTC", "Z"].contains(zone))?;
        Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millis: 0,
        }
    };
    parts.next().is_none().then(|| civil.to_timestamp(0))?
}

/// Parses an RFC 3339 timestamp such as `2025-11-24T00:00:00.5+08:00`. A space is accepted in place
/// of `T`.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let mut cursor = Cursor(text.as_bytes());
    let civil = cursor.civil()?;
    let utc_offset = cursor.zone()?;
    cursor
        .0
        .is_empty()
        .then(|| civil.to_timestamp(utc_offset))?
}

/// Parses the date at the start of a prose text: `T` can be a space or ` at `, and seconds and zone
/// are optional. Without a zone, `utc_offset` applies (in minutes).
#[must_use]
pub fn parse_prefix(text: &str, utc_offset: i64) -> Option<Timestamp> {
    let mut cursor = Cursor(text.as_bytes());
    let civil = cursor.civil()?;
    let zone = cursor.zone();
    civil.to_timestamp(zone.unwrap_or(utc_offset))
}

/// Returns the days from 1970-01-01 to a date; negative for earlier dates.
///
/// A month outside 1 to 12 yields an unspecified result.
#[must_use]
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last day of the year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn month(text: &str) -> Option<i64> {
    let at = MONTHS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text))?;
    i64::try_from(at + 1).ok()
}

/// Parses a year. Two-digit years are in 1970 to 2069.
fn year(text: &str) -> Option<i64> {
    let year = number(text)?;
    Some(match (text.len(), year) {
        (2, 70..) => year + 1900,
        (2, _) => year + 2000,
        _ => year,
    })
}

fn time_of_day<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<[i64; 3]> {
    Some([
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    ])
}

/// Parses a number of up to four digits.
fn number(text: &str) -> Option<i64> {
    let plain = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// The remaining input.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn civil(&mut self) -> Option<Civil> {
        let year = self.digits(4)?;
        self.eat(b"-")?;
        let month = self.digits(2)?;
        self.eat(b"-")?;
        let day = self.digits(2)?;
        self.eat(b"T")
            .or_else(|| self.eat(b"t"))
            .or_else(|| self.eat(b" at "))
            .or_else(|| self.eat(b" "))?;
        let hour = self.digits(2)?;
        self.eat(b":")?;
        let minute = self.digits(2)?;
        let second = self.eat(b":").map_or(Some(0), |()| self.digits(2))?;
        let millis = self.eat(b".").map_or(Some(0), |()| self.fraction())?;
        Some(Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millis,
        })
    }

    /// Parses a time zone and returns its UTC offset in minutes.
    fn zone(&mut self) -> Option<i64> {
        let utc = [b"Z".as_slice(), b"z", b" UTC", b" utc", b" GMT", b" gmt"];
        if utc.iter().any(|name| self.eat(name).is_some()) {
            return Some(0);
        }
        let sign = self
            .eat(b"+")
            .map(|()| 1)
            .or_else(|| self.eat(b"-").map(|()| -1))?;
        let hours = self.digits(2)?;
        self.eat(b":")?;
        let minutes = self.digits(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
    }

    fn eat(&mut self, prefix: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        head.iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        })
    }

    /// Returns the milliseconds of a fraction; further digits are dropped.
    fn fraction(&mut self) -> Option<i64> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        let thousandths = head.iter().chain(b"000").take(3);
        let millis = thousandths.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        (length > 0).then_some(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parsed: Option<Timestamp>, expected: Option<i64>) {
        assert_eq!(parsed.map(Timestamp::as_millis), expected);
    }

    #[test]
    fn parses_http_dates_in_all_three_formats() {
        let expected = Some(784_111_777_000);
        check(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
        check(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), expected);
        check(parse_http_date("Sun Nov  6 08:49:37 1994"), expected);
        check(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    }

    #[test]
    fn rejects_invalid_http_dates() {
        for text in [
            "",
            "Sun",
            "soon",
            "-1",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 31 Feb 2025 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        ] {
            check(parse_http_date(text), None);
        }
    }

    #[test]
    fn parses_rfc3339_with_zone_and_fraction() {
        check(parse_rfc3339("1970-01-01T00:00:00Z"), Some(0));
        check(parse_rfc3339("1970-01-01 08:00:00.5+08:00"), Some(500));
        check(parse_rfc3339("2000-02-29T23:59:60Z"), Some(951_868_800_000));
        check(
            parse_rfc3339("2025-11-24T00:00:00.123456789Z"),
            Some(1_763_942_400_123),
        );
        for text in [
            "2025-11-24",
            "2025-11-24T00:00:00",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-11-24T00:00:00.Z",
            "2025-11-24T00:00:00Zz",
            "2025-11-24T00:00:00+99:00",
        ] {
            check(parse_rfc3339(text), None);
        }
    }

    #[test]
    fn seconds_and_zone_are_optional_in_prose() {
        check(
            parse_prefix("1970-01-02 at 00:00 UTC. Enjoy", 480),
            Some(86_400_000),
        );
        check(parse_prefix("1970-01-01 08:00:01 重置", 480), Some(1_000));
    }

    #[test]
    fn days_are_consecutive_over_eight_centuries() {
        let mut expected = days_from_civil(1600, 1, 1);
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_civil(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(days_from_civil(1970, 1, 1), 0);
    }
}
