//! Human-readable counts, durations and rates.

use std::fmt;
use std::time::Duration;

/// A count with thousands separators: `12,345`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                shown.push(',');
            }
            shown.push(digit);
        }
        f.pad(&shown)
    }
}

/// A count with a noun: `1 row`, `2,000 rows`. The plural is formed with `s`.
#[derive(Clone, Copy, Debug)]
pub struct Plural(pub u64, pub &'static str);

impl fmt::Display for Plural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", Count(self.0), self.1)
    }
}

/// A large count with a unit prefix: `950`, `7.6k`, `340k`, `1.2M`.
#[derive(Clone, Copy, Debug)]
pub struct ShortCount(pub u64);

impl fmt::Display for ShortCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [
            (1_000_000_000_000, "T"),
            (1_000_000_000, "G"),
            (1_000_000, "M"),
            (1_000, "k"),
        ];
        let Some((unit, letter)) = UNITS.into_iter().find(|(unit, _)| self.0 >= *unit) else {
            return write!(f, "{}", self.0);
        };
        // Truncated, not rounded: never show more than the count.
        match self.0 / unit {
            whole @ ..10 => write!(f, "{whole}.{}{letter}", self.0 % unit * 10 / unit),
            whole => write!(f, "{}{letter}", Count(whole)),
        }
    }
}

/// A duration in at most two units: `0.8s`, `42s`, `1m 23s`, `2h 5m`, `3d 4h`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let tenths = (self.0.as_millis() + 50) / 100;
        if tenths < 100 {
            return write!(f, "{}.{}s", tenths / 10, tenths % 10);
        }
        match self.0.as_secs() + u64::from(self.0.subsec_millis() >= 500) {
            seconds @ ..MINUTE => write!(f, "{seconds}s"),
            seconds @ MINUTE..HOUR => write!(f, "{}m {}s", seconds / MINUTE, seconds % MINUTE),
            seconds @ HOUR..DAY => write!(f, "{}h {}m", seconds / HOUR, seconds % HOUR / MINUTE),
            seconds => write!(f, "{}d {}h", seconds / DAY, seconds % DAY / HOUR),
        }
    }
}

/// A rate per second, shown as `1,234/s` or `4.2/s`; below one per second as `12/min` or `3/h`.
#[derive(Clone, Copy, Debug)]
pub struct Rate(pub f64);

impl Rate {
    /// Returns the rate of a count over a duration; `None` if the duration is too short.
    #[must_use]
    pub fn over(count: u64, time: Duration) -> Option<Self> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits at most"
        )]
        let count = count as f64;
        (time >= Duration::from_millis(100)).then(|| Self(count / time.as_secs_f64()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rate) = *self;
        if rate >= 9.95 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive here, and the cast saturates"
            )]
            let whole = rate.round() as u64;
            write!(f, "{}/s", Count(whole))
        } else if rate >= 0.95 {
            write!(f, "{rate:.1}/s")
        } else if rate * 60.0 >= 0.95 {
            write!(f, "{:.0}/min", rate * 60.0)
        } else {
            write!(f, "{:.0}/h", rate * 3600.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(quantity: impl fmt::Display, expected: &str) {
        assert_eq!(quantity.to_string(), expected);
    }

    #[test]
    fn counts_have_thousands_separators() {
        check(Count(0), "0");
        check(Count(999), "999");
        check(Count(1_000), "1,000");
        check(Count(12_345), "12,345");
        check(Count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(format!("{:>7}", Count(1_000)), "  1,000");
        check(Plural(1, "row"), "1 row");
        check(Plural(0, "row"), "0 rows");
        check(Plural(2_000, "row"), "2,000 rows");
    }

    #[test]
    fn short_counts_are_truncated_to_leading_digits() {
        check(ShortCount(0), "0");
        check(ShortCount(999), "999");
        check(ShortCount(1_000), "1.0k");
        check(ShortCount(7_654), "7.6k");
        check(ShortCount(340_999), "340k");
        check(ShortCount(999_999), "999k");
        check(ShortCount(1_250_000), "1.2M");
        check(ShortCount(12_500_000_000), "12G");
        check(ShortCount(u64::MAX), "18,446,744T");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let millis = |millis| HumanDuration(Duration::from_millis(millis));
        check(millis(0), "0.0s");
        check(millis(849), "0.8s");
        check(millis(9_949), "9.9s");
        check(millis(9_950), "10s");
        check(millis(59_499), "59s");
        check(millis(59_500), "1m 0s");
        check(millis(83_000), "1m 23s");
        check(millis(3_599_500), "1h 0m");
        check(millis(7_500_000), "2h 5m");
        check(millis(86_400_000), "1d 0h");
        check(HumanDuration(Duration::from_hours(76)), "3d 4h");
    }

    #[test]
    fn slow_rates_are_shown_per_minute_or_per_hour() {
        check(Rate(1_234.4), "1,234/s");
        check(Rate(10.0), "10/s");
        check(Rate(9.949), "9.9/s");
        check(Rate(4.24), "4.2/s");
        check(Rate(0.95), "0.9/s");
        check(Rate(0.5), "30/min");
        check(Rate(0.05), "3/min");
        check(Rate(0.002), "7/h");
        check(Rate(0.0), "0/h");
        check(Rate(f64::INFINITY), "18,446,744,073,709,551,615/s");
        assert!(Rate::over(5, Duration::from_millis(99)).is_none());
    }
}
