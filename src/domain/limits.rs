//! Rate limits configured for a key or a group of keys.

use std::num::NonZeroU32;
use std::time::Duration;

use super::time::Timestamp;

/// A day in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The limits of a key, or of a group of keys that share an account. `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests per minute.
    pub rpm: Option<NonZeroU32>,
    /// Prompt and completion tokens per minute.
    pub tpm: Option<NonZeroU32>,
    /// Requests per day.
    pub rpd: Option<NonZeroU32>,
    /// Requests in flight.
    pub in_flight: Option<NonZeroU32>,
    /// UTC offset that determines when the day of `rpd` begins.
    pub utc_offset: UtcOffset,
}

impl KeyLimits {
    /// Returns these limits, with unset ones taken from `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let offset_is_set = self.utc_offset != UtcOffset::default();
        Self {
            rpm: self.rpm.or(others.rpm),
            tpm: self.tpm.or(others.tpm),
            rpd: self.rpd.or(others.rpd),
            in_flight: self.in_flight.or(others.in_flight),
            utc_offset: if offset_is_set {
                self.utc_offset
            } else {
                others.utc_offset
            },
        }
    }
}

/// A fixed offset from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset {
    minutes_east: i16,
}

impl UtcOffset {
    /// Parses `UTC`, `GMT`, `Z`, `+08:00`, `+8` or `-0330`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if ["UTC", "GMT", "Z"].contains(&text.to_ascii_uppercase().as_str()) {
            return Some(Self::default());
        }
        let (sign, digits) = match text.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let (hours, minutes) = match digits.split_once(':') {
            Some(parts) => parts,
            None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
            None => (digits, "0"),
        };
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            (digits && (1..=2).contains(&text.len())).then(|| text.parse::<i16>().ok())?
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        (hours <= 14 && minutes < 60).then_some(Self {
            minutes_east: sign * (hours * 60 + minutes),
        })
    }

    /// Returns the start of the day that contains `now`.
    #[must_use]
    pub fn day_start(self, now: Timestamp) -> Timestamp {
        let east = i64::from(self.minutes_east) * 60_000;
        let local = now.as_millis() + east;
        Timestamp::from_millis(local.div_euclid(DAY_MS) * DAY_MS - east)
    }

    /// Returns the start of the day after `now`.
    #[must_use]
    pub fn next_day(self, now: Timestamp) -> Timestamp {
        self.day_start(now) + Duration::from_millis(DAY_MS.unsigned_abs())
    }
}

impl std::fmt::Display for UtcOffset {
    /// Formats the offset as `UTC` or `+08:00`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.minutes_east.unsigned_abs();
        match self.minutes_east {
            0 => f.write_str("UTC"),
            east => {
                let sign = if east < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let shown = UtcOffset::parse(text).map(|offset| offset.to_string());
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn parses_offsets_in_common_notations() {
        check("UTC", Some("UTC"));
        check("z", Some("UTC"));
        check("+08:00", Some("+08:00"));
        check("+8", Some("+08:00"));
        check("-0330", Some("-03:30"));
        check("+00:00", Some("UTC"));
        for wrong in [
            "", "8", "+", "+15", "+8:60", "CET", "+8:0x", "é8", "+1:2:3", "+-8",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_day_begins_at_midnight_at_its_offset() {
        // 2026-11-23T20:00:00Z is 04:00 on the 24th at +08:00.
        let now = Timestamp::from_millis(1_795_464_000_000);
        let offset = UtcOffset::parse("+08:00").unwrap();
        let start = offset.day_start(now);
        assert_eq!(now.since(start), Duration::from_hours(4));
        assert_eq!(offset.next_day(now).since(now), Duration::from_hours(20));
        assert_eq!(
            UtcOffset::default().next_day(now).since(now),
            Duration::from_hours(4)
        );
    }

    #[test]
    fn unset_limits_are_taken_from_the_others() {
        let rpm = |n| KeyLimits {
            rpm: NonZeroU32::new(n),
            ..KeyLimits::default()
        };
        let others = KeyLimits {
            tpm: NonZeroU32::new(9),
            ..rpm(7)
        };
        let merged = rpm(5).or(others);
        assert_eq!(
            (merged.rpm, merged.tpm),
            (NonZeroU32::new(5), NonZeroU32::new(9))
        );
    }
}
