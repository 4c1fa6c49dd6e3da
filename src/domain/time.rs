//! Timestamps, as stored in the database, and the formats in which providers send them.

use std::ops::Add;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// A Unix time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates a timestamp from milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the time elapsed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_millis(millis.unsigned_abs())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Adds a duration, rounded up to a whole millisecond so that a wait is never too short.
    fn add(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(
            self.0
                .saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)),
        )
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

impl From<Timestamp> for jiff::Timestamp {
    /// Converts a timestamp; one outside the years -9999 to 9999 becomes the nearest in range.
    fn from(timestamp: Timestamp) -> Self {
        let nearest = if timestamp.0 < 0 {
            Self::MIN
        } else {
            Self::MAX
        };
        Self::from_millisecond(timestamp.0).unwrap_or(nearest)
    }
}

/// Parses an HTTP date in any of its three formats (RFC 9110, 5.6.7):
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. The name of the day is not checked.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let mut utc = [" GMT", " UTC", " Z"].iter();
    let (text, formats) = match utc.find_map(|zone| text.strip_suffix(zone)) {
        Some(text) => (text, &["%a, %d %b %Y %T", "%A, %d-%b-%y %T"][..]),
        None => (text, &["%a %b %e %T %Y"][..]),
    };
    let mut parsed = formats.iter();
    let mut parsed = parsed.find_map(|format| BrokenDownTime::parse(format, text).ok())?;
    parsed.set_weekday(None);
    to_timestamp(Offset::UTC, parsed.to_datetime().ok()?)
}

/// Parses an RFC 3339 timestamp such as `2025-11-24T00:00:00.5+08:00`. A space is accepted in place
/// of `T`. A leap second counts as the following second.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    let leap = u64::from(text.contains(":60"));
    Some(Timestamp::from(timestamp) + Duration::from_secs(leap))
}

/// Parses the date at the start of a prose text: `T` can be a space or ` at `, and seconds and zone
/// are optional. Without a zone, `offset` applies.
#[must_use]
pub fn parse_prefix(text: &str, offset: Offset) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked("2025-11-24".len())?;
    let date: Date = date.parse().ok()?;
    let mut separators = ["T", "t", " at ", " "].iter();
    let rest = separators.find_map(|separator| rest.strip_prefix(separator))?;
    let (time, length) = ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|format| BrokenDownTime::parse_prefix(format, rest).ok())?;
    let zone = &rest[length..];
    let is_utc = starts_with_utc(zone) || zone.starts_with(['Z', 'z']);
    let given = BrokenDownTime::parse_prefix("%:z", zone);
    let given = given.ok().and_then(|(parsed, _)| parsed.offset());
    let offset = if is_utc {
        Offset::UTC
    } else {
        given.unwrap_or(offset)
    };
    to_timestamp(offset, date.to_datetime(time.to_time().ok()?))
}

/// Returns whether a text starts with the name of UTC, ignoring case.
pub(super) fn starts_with_utc(text: &str) -> bool {
    let name = text.trim_start().get(..3).unwrap_or_default();
    ["UTC", "GMT"]
        .iter()
        .any(|utc| utc.eq_ignore_ascii_case(name))
}

fn to_timestamp(offset: Offset, time: DateTime) -> Option<Timestamp> {
    offset.to_timestamp(time).ok().map(Timestamp::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHINA: Offset = Offset::constant(8);

    #[test]
    fn additions_round_up_and_saturate() {
        let at = Timestamp::from_millis(5);
        assert_eq!((at + Duration::from_micros(1)).as_millis(), 6);
        assert_eq!((at + Duration::MAX).as_millis(), i64::MAX);
        assert_eq!(at.since(Timestamp::from_millis(9)), Duration::ZERO);
    }

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
            parse_prefix("1970-01-02 at 00:00 UTC. Enjoy", CHINA),
            Some(86_400_000),
        );
        check(parse_prefix("1970-01-01 08:00:01 重置", CHINA), Some(1_000));
    }
}
