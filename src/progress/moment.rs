//! Timestamps formatted for users and programs, always in UTC: the standard library has no time
//! zones, and UTC times in logs are unambiguous.
//!
//! Times are rounded up to the second: most are the end of a wait, and an earlier retry would fail.

use std::fmt;

use crate::domain::time::Timestamp;

const DAY: i64 = 86_400;

/// The last second of the year 9999; later timestamps are clamped to it.
const LATEST: i64 = 253_402_300_799;

/// The first second of the year 0; earlier timestamps are clamped to it.
const EARLIEST: i64 = -62_167_219_200;

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
        let (date, time) = split(self.0);
        write!(f, "{date}T{time}Z")
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = split(self.0);
        write!(f, "{date} {time} UTC")
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, time) = split(self.0);
        write!(f, "{time} UTC")
    }
}

/// A date in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Seconds since midnight.
#[derive(Clone, Copy, Debug)]
struct TimeOfDay(i64);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(seconds) = self;
        write!(
            f,
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

fn split(at: Timestamp) -> (Date, TimeOfDay) {
    let millis = at.as_millis();
    let seconds = millis.div_euclid(1000) + i64::from(millis.rem_euclid(1000) > 0);
    let seconds = seconds.clamp(EARLIEST, LATEST);
    (
        date_of(seconds.div_euclid(DAY)),
        TimeOfDay(seconds.rem_euclid(DAY)),
    )
}

/// Converts days since 1970-01-01 to a date.
///
/// Years start in March, so that the leap day is the last day of a year, and are grouped into eras
/// of 400 years, which all have the same number of days.
fn date_of(days: i64) -> Date {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_TO_1970: i64 = 719_468;
    let days = days + DAYS_TO_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    Date {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: i64, expected: &str) {
        assert_eq!(
            Rfc3339(Timestamp::from_millis(millis)).to_string(),
            expected
        );
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
    fn every_day_of_four_centuries_follows_the_previous_one() {
        const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut expected = Date {
            year: 1970,
            month: 1,
            day: 1,
        };
        for days in 0..146_097 {
            assert_eq!(date_of(days), expected);
            let Date { year, month, day } = &mut expected;
            let leap = *year % 4 == 0 && (*year % 100 != 0 || *year % 400 == 0);
            let length = if leap && *month == 2 {
                29
            } else {
                LENGTHS[usize::try_from(*month - 1).unwrap()]
            };
            *day += 1;
            if *day > length {
                (*day, *month) = (1, *month + 1);
            }
            if *month > 12 {
                (*month, *year) = (1, *year + 1);
            }
        }
    }

    #[test]
    fn times_for_users_include_the_time_zone() {
        let at = Timestamp::from_millis(1_795_466_460_000);
        assert_eq!(DateTime(at).to_string(), "2026-11-23 20:41:00 UTC");
        assert_eq!(UtcTime(at).to_string(), "20:41:00 UTC");
    }
}
