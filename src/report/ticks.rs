//! Axis ticks and histogram bounds at round numbers.

use crate::progress::quantity::ShortCount;

/// Milliseconds in a day.
const DAY: u64 = 86_400_000;

/// Round durations, in milliseconds.
const ROUND_TIMES: [u64; 27] = [
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
];

/// Maximum number of ticks above zero.
const MAX_TICKS: u64 = 5;

/// Minimum ratio of the largest to the smallest value for logarithmic histogram bounds.
const LOGARITHMIC_RATIO: u64 = 30;

/// Approximate and minimum number of bars in a linear histogram.
const TARGET_BARS: u64 = 20;
const MIN_BARS: u64 = 9;

/// Eight logarithmic bounds per decade, rounded.
const FACTORS: [u64; 8] = [100, 133, 178, 237, 316, 422, 562, 750];

/// Unit of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A count.
    Count,
    /// A duration in milliseconds.
    Time,
}

impl Unit {
    /// Formats an axis label: `1.5k`, `250ms`, `1.5s`, `2h 30m`.
    pub(super) fn label(self, number: u64) -> String {
        match self {
            Self::Count => ShortCount(number).to_string(),
            Self::Time => time(number),
        }
    }
}

/// Returns round numbers from 0 to the first one that is at least `max`.
pub(super) fn ticks(max: u64, unit: Unit) -> Vec<u64> {
    let min_step = max.div_ceil(MAX_TICKS).max(1);
    let step = match unit {
        Unit::Count => round_up(min_step),
        Unit::Time => {
            let found = ROUND_TIMES.iter().find(|step| **step >= min_step);
            found.copied().unwrap_or_else(|| round_up(min_step))
        }
    };
    let count = max.div_ceil(step).max(1);
    (0..=count)
        .map(|number| number.saturating_mul(step))
        .collect()
}

/// Returns the bounds of a histogram's bars, from at most `smallest` to above `largest`.
pub(super) fn bounds(smallest: u64, largest: u64) -> Vec<u64> {
    if largest / smallest.max(1) >= LOGARITHMIC_RATIO {
        return logarithmic(smallest, largest);
    }
    let range = largest.saturating_sub(smallest);
    let step = round_up(range.div_ceil(TARGET_BARS).max(1));
    let mut first = smallest / step * step;
    let mut count = largest.saturating_sub(first) / step + 1;
    if let Some(missing) = MIN_BARS.checked_sub(count) {
        // Center the values.
        first = first.saturating_sub(missing / 2 * step);
        count = MIN_BARS;
    }
    let bound = |number: u64| first.saturating_add(number.saturating_mul(step));
    (0..=count).map(bound).collect()
}

fn logarithmic(smallest: u64, largest: u64) -> Vec<u64> {
    let mut bounds: Vec<u64> = Vec::new();
    let decades = (0..=16).map(|power| 10_u64.pow(power));
    for bound in decades.flat_map(|decade| FACTORS.map(|factor| decade * factor / 100)) {
        match bounds.last().copied() {
            // Small bounds are rounded to the same number.
            Some(last) if bound <= last => {}
            Some(last) if last > largest => break,
            Some(_) if bound <= smallest => bounds = vec![bound],
            _ => bounds.push(bound),
        }
    }
    if smallest == 0 {
        bounds.insert(0, 0);
    }
    bounds
}

/// Rounds up to the next of 1, 2, 5, 10, 20, 50, …
fn round_up(number: u64) -> u64 {
    let decade = 10_u64.pow(number.checked_ilog10().unwrap_or(0));
    let mut steps = [1, 2, 5, 10]
        .map(|step| decade.saturating_mul(step))
        .into_iter();
    steps.find(|step| *step >= number).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(DAY, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    if millis == 0 {
        return "0".to_owned();
    }
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    if millis < 60_000 && !millis.is_multiple_of(1_000) {
        return format!("{}.{}s", millis / 1_000, millis % 1_000 / 100);
    }
    let mut shown = Vec::new();
    let mut rest = millis;
    for (unit, letter) in UNITS {
        if rest >= unit && shown.len() < 2 {
            shown.push(format!("{}{letter}", rest / unit));
            rest %= unit;
        }
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_and_cover_the_maximum() {
        #[track_caller]
        fn check(max: u64, unit: Unit, expected: &[u64]) {
            assert_eq!(ticks(max, unit), expected);
        }
        check(0, Unit::Count, &[0, 1]);
        check(3, Unit::Count, &[0, 1, 2, 3]);
        check(27, Unit::Count, &[0, 10, 20, 30]);
        check(1_000, Unit::Count, &[0, 200, 400, 600, 800, 1_000]);
        check(95_000, Unit::Time, &[0, 30_000, 60_000, 90_000, 120_000]);
        check(7, Unit::Time, &[0, 10]);
        for max in [u64::MAX, u64::MAX / 3] {
            assert!(ticks(max, Unit::Time).len() <= 7);
            assert!(ticks(max, Unit::Count).len() <= 7);
        }
    }

    #[test]
    fn bounds_cover_all_values_and_are_logarithmic_for_wide_ranges() {
        #[track_caller]
        fn check(smallest: u64, largest: u64, expected: &[u64]) {
            assert_eq!(bounds(smallest, largest), expected);
        }
        check(7, 7, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        check(0, 3, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let even: Vec<_> = (30..=54).step_by(2).collect();
        check(30, 52, &even);
        check(400, 13_000, &{
            let low = [316, 422, 562, 750, 1_000, 1_330, 1_780, 2_370, 3_160];
            [&low[..], &[4_220, 5_620, 7_500, 10_000, 13_300]].concat()
        });
        for (smallest, largest) in [(0, 40), (1, 1_000), (3, u64::MAX), (9, 400), (1, 30)] {
            let bounds = bounds(smallest, largest);
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
            assert!(bounds[0] <= smallest && bounds.len() > 2, "{bounds:?}");
            let end = bounds[bounds.len() - 1];
            let covered = end > largest || largest == u64::MAX;
            assert!(covered, "{largest}: {bounds:?}");
        }
    }

    #[test]
    fn time_labels_have_at_most_two_units() {
        #[track_caller]
        fn check(millis: u64, expected: &str) {
            assert_eq!(Unit::Time.label(millis), expected);
        }
        check(0, "0");
        check(250, "250ms");
        check(1_500, "1.5s");
        check(90_000, "1m 30s");
        check(7_200_000, "2h");
        check(9_000_000, "2h 30m");
        check(90_061_000, "1d 1h");
    }
}
