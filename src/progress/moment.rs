//! Timestamps formatted for users and programs, always in UTC, which is unambiguous in logs.
//!
//! Times are rounded up to the second: most are the end of a wait, and an earlier retry would fail.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{self, date};

use crate::domain::time::Timestamp;

/// A timestamp in RFC 3339, for programs: `2026-11-23T20:41:00Z`.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub Timestamp);

/// A timestamp for users: `2026-11-23 20:41:00 UTC`.
#[derive(Clone, Copy, Debug)]
pub struct DateTime(pub Timestamp);

/// The time of day of a timestamp, for times that are only hours away: `20:41:00 UTC`.
#[derive(Clone, Copy, Debug)]
pub struct UtcTime(pub Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        utc(self.0).strftime("%FT%TZ").fmt(f)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        utc(self.0).strftime("%F %T UTC").fmt(f)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        utc(self.0).strftime("%T UTC").fmt(f)
    }
}

/// Returns the date and time in UTC, clamped to the years 0 to 9999.
fn utc(at: Timestamp) -> civil::DateTime {
    let millis = at.as_millis();
    let seconds = millis.div_euclid(1000) + i64::from(millis.rem_euclid(1000) > 0);
    let epoch = date(1970, 1, 1).at(0, 0, 0, 0);
    let time = epoch.saturating_add(SignedDuration::from_secs(seconds));
    time.max(date(0, 1, 1).at(0, 0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: i64, expected: &str) {
        let shown = Rfc3339(Timestamp::from_millis(millis)).to_string();
        assert_eq!(shown, expected);
    }

    #[test]
    fn timestamps_follow_the_calendar() {
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400_000, "2000-02-29T00:00:00Z");
        check(951_868_800_000, "2000-03-01T00:00:00Z");
        check(1_795_466_460_000, "2026-11-23T20:41:00Z");
        check(4_107_542_399_000, "2100-02-28T23:59:59Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00Z");
        check(-1_000, "1969-12-31T23:59:59Z");
    }

    #[test]
    fn fractions_of_a_second_are_rounded_up() {
        check(1, "1970-01-01T00:00:01Z");
        check(-1, "1970-01-01T00:00:00Z");
        check(86_399_001, "1970-01-02T00:00:00Z");
    }

    #[test]
    fn timestamps_out_of_range_are_clamped() {
        check(i64::MAX, "9999-12-31T23:59:59Z");
        check(i64::MIN, "0000-01-01T00:00:00Z");
    }

    #[test]
    fn times_for_users_include_the_time_zone() {
        let at = Timestamp::from_millis(1_795_466_460_000);
        assert_eq!(DateTime(at).to_string(), "2026-11-23 20:41:00 UTC");
        assert_eq!(UtcTime(at).to_string(), "20:41:00 UTC");
    }
}
