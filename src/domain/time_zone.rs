//! Time zones, which determine when the day of a daily limit begins.
//!
//! The database of time zones is part of the program, so that a name means the same everywhere, and
//! minimal containers need no `/usr/share/zoneinfo`.

use std::fmt;

use jiff::civil::Date;
use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use jiff::tz::{self, TimeZoneDatabase};
use serde::Deserialize;

use super::spelling;
use super::time::Timestamp;

/// Largest offset from UTC in use, in seconds.
const MAX_OFFSET: i32 = 14 * 60 * 60;

/// Minimum length of a name with a near match. The abbreviation `PST` is close to `EST`, but does
/// not mean it.
const MIN_NAME_LENGTH: usize = 5;

/// A named time zone, or a fixed offset from UTC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeZone(tz::TimeZone);

impl Default for TimeZone {
    fn default() -> Self {
        Self(tz::TimeZone::UTC)
    }
}

impl TimeZone {
    /// Parses a name like `America/Los_Angeles`, `UTC`, `GMT` or `Z`, or an offset like `+08:00`,
    /// `+8` or `-0330`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if ["UTC", "GMT", "Z"].contains(&text.to_ascii_uppercase().as_str()) {
            return Some(Self::default());
        }
        if !text.starts_with(['+', '-']) {
            return TimeZoneDatabase::bundled().get(text).ok().map(Self);
        }
        let (sign, offset) = text.split_at(1);
        let hour = offset.split(':').next().map_or(0, str::len);
        let padding = if hour == 1 { "0" } else { "" };
        let zone = DateTimeParser::new().parse_time_zone(format!("{sign}{padding}{offset}"));
        let zone = zone.ok()?;
        let seconds = zone.to_fixed_offset().ok()?.seconds();
        (seconds.abs() <= MAX_OFFSET).then_some(Self(zone))
    }

    /// Returns the name closest to an unknown one, if any is close enough.
    #[must_use]
    pub fn nearest_name(text: &str) -> Option<String> {
        let names = TimeZoneDatabase::bundled();
        let names: Vec<_> = names.available().map(|name| name.to_string()).collect();
        let nearest = spelling::nearest(text, &names).map(|near| near.name.to_owned());
        nearest.filter(|_| text.len() >= MIN_NAME_LENGTH)
    }

    /// Returns the start of the day that contains `now`.
    #[must_use]
    pub fn day_start(&self, now: Timestamp) -> Timestamp {
        self.midnight(self.date(now)).unwrap_or(now)
    }

    /// Returns the start of the day after `now`.
    #[must_use]
    pub fn next_day(&self, now: Timestamp) -> Timestamp {
        let tomorrow = self.date(now).tomorrow();
        tomorrow
            .ok()
            .and_then(|date| self.midnight(date))
            .unwrap_or(now)
    }

    fn date(&self, now: Timestamp) -> Date {
        self.0.to_datetime(now.into()).date()
    }

    /// Returns the start of a date. If clocks skip midnight, the day starts when they resume;
    /// `None` if the date is out of range.
    fn midnight(&self, date: Date) -> Option<Timestamp> {
        let midnight = self.0.to_timestamp(date.at(0, 0, 0, 0));
        midnight.ok().map(Timestamp::from)
    }
}

impl TryFrom<String> for TimeZone {
    type Error = String;

    /// Parses a zone; an error has a suggestion or an example.
    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        Self::parse(text).ok_or_else(|| match Self::nearest_name(text) {
            Some(name) => format!("unknown time zone; did you mean {name}?"),
            None => {
                "expected a time zone like America/Los_Angeles, or an offset like +08:00".to_owned()
            }
        })
    }
}

impl fmt::Display for TimeZone {
    /// Formats the zone as `America/Los_Angeles`, `UTC` or `+08:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DateTimePrinter::new()
            .print_time_zone(&self.0, jiff::fmt::StdFmtWrite(f))
            .map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let shown = TimeZone::parse(text).map(|zone| zone.to_string());
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    fn at(text: &str) -> Timestamp {
        super::super::time::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn parses_offsets_in_common_notations() {
        check("UTC", Some("UTC"));
        check("z", Some("UTC"));
        check("+08:00", Some("+08:00"));
        check("+8", Some("+08:00"));
        check("+8:30", Some("+08:30"));
        check("-08:00", Some("-08:00"));
        check("-0330", Some("-03:30"));
        check("+00:00", Some("UTC"));
        for wrong in [
            "", "8", "+", "+15", "+8:60", "UTC+8", "+8:0x", "é8", "+1:2:3", "+-8", "PST", "/",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn parses_names_in_any_case() {
        check("America/Los_Angeles", Some("America/Los_Angeles"));
        check("asia/shanghai", Some("Asia/Shanghai"));
        check("CET", Some("CET"));
        check("Europe/Pariss", None);
    }

    #[test]
    fn a_misspelled_name_has_a_near_match() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(TimeZone::nearest_name(text).as_deref(), expected, "{text}");
        }
        check("America/Los_Angles", Some("America/Los_Angeles"));
        check("America/Los Angeles", Some("America/Los_Angeles"));
        check("Los_Angeles", Some("America/Los_Angeles"));
        check("Asia/Shangai", Some("Asia/Shanghai"));
        check("PST", None);
        check("midnight", None);
    }

    #[test]
    fn a_day_begins_at_midnight_at_its_offset() {
        // 2026-11-23T20:00:00Z is 04:00 on the 24th at +08:00.
        let now = Timestamp::from_millis(1_795_464_000_000);
        let zone = TimeZone::parse("+08:00").unwrap();
        let start = zone.day_start(now);
        assert_eq!(now.since(start), Duration::from_hours(4));
        assert_eq!(zone.next_day(now).since(now), Duration::from_hours(20));
        assert_eq!(
            TimeZone::default().next_day(now).since(now),
            Duration::from_hours(4)
        );
    }

    #[test]
    fn a_day_follows_daylight_saving_time() {
        #[track_caller]
        fn check(zone: &str, date: &str, start: u8, hours: u64) {
            let zone = TimeZone::parse(zone).unwrap();
            let now = at(&format!("{date}T20:00:00Z"));
            assert_eq!(zone.day_start(now), at(&format!("{date}T0{start}:00:00Z")));
            let length = zone.next_day(now).since(zone.day_start(now));
            assert_eq!(length, Duration::from_hours(hours));
        }
        check("America/Los_Angeles", "2026-03-08", 8, 23);
        check("America/Los_Angeles", "2026-11-01", 7, 25);
        check("America/Los_Angeles", "2026-11-02", 8, 24);
        // Clocks skip from 00:00 to 01:00, and in fall from 01:00 back to 00:00.
        check("America/Havana", "2024-03-10", 5, 23);
        check("America/Havana", "2024-11-03", 4, 25);
    }

    #[test]
    fn extreme_timestamps_have_a_day() {
        for zone in ["-14", "UTC", "+14", "America/Los_Angeles"] {
            let zone = TimeZone::parse(zone).unwrap();
            for now in [i64::MIN, i64::MAX].map(Timestamp::from_millis) {
                assert!(zone.day_start(now) <= zone.next_day(now), "{zone}");
            }
        }
    }
}
