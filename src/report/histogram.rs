//! Histogram of values rounded down to three significant digits: memory is bounded, and percentiles
//! are accurate to one percent.

use std::collections::BTreeMap;

/// Counts by value.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: BTreeMap<u64, u64>,
    total: u64,
    sum: u128,
}

impl Histogram {
    /// Adds a value.
    pub(super) fn add(&mut self, value: u64) {
        *self.counts.entry(rounded(value)).or_default() += 1;
        self.total += 1;
        self.sum += u128::from(value);
    }

    /// Returns the sum of all values.
    pub(super) fn sum(&self) -> u64 {
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    /// Returns the value that the given percentage of values does not exceed; `None` without
    /// values.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (u128::from(self.total) * u128::from(percent))
            .div_ceil(100)
            .max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(value, count)| {
            seen += u128::from(*count);
            (seen >= rank).then_some(*value)
        })
    }

    /// Returns the smallest and the largest value; `None` without values.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        let (smallest, _) = self.counts.first_key_value()?;
        let (largest, _) = self.counts.last_key_value()?;
        Some((*smallest, *largest))
    }

    /// Counts the values between consecutive bounds, including the lower and excluding the upper
    /// one.
    pub(super) fn counts_between(&self, bounds: &[u64]) -> Vec<u64> {
        let range = |pair: &[u64]| self.counts.range(pair[0]..pair[1].max(pair[0]));
        let counts = bounds
            .windows(2)
            .map(|pair| range(pair).map(|(_, count)| count).sum());
        counts.collect()
    }
}

/// Rounds down to three significant digits.
fn rounded(value: u64) -> u64 {
    let digits = value.checked_ilog10().unwrap_or(0) + 1;
    let unit = 10_u64.pow(digits.saturating_sub(3));
    value / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.add(value);
        }
        histogram
    }

    #[test]
    fn percentiles_match_the_sorted_values() {
        let histogram = histogram((1..=200).rev());
        assert_eq!(histogram.percentile(0), Some(1));
        assert_eq!(histogram.percentile(50), Some(100));
        assert_eq!(histogram.percentile(95), Some(190));
        assert_eq!(histogram.percentile(100), Some(200));
        assert_eq!((histogram.total, histogram.sum()), (200, 20_100));
        assert_eq!(histogram.range(), Some((1, 200)));
        assert_eq!(Histogram::default().percentile(50), None);
        assert_eq!(Histogram::default().range(), None);
    }

    #[test]
    fn large_values_are_rounded_to_three_digits() {
        let histogram = histogram([0, 12_345, 12_399, u64::MAX, u64::MAX]);
        assert_eq!(histogram.percentile(50), Some(12_300));
        assert_eq!(histogram.percentile(100), Some(18_400_000_000_000_000_000));
        assert_eq!(histogram.sum(), u64::MAX);
        let many: Vec<_> = (0..1_000_000).map(|n| n * 7).collect();
        assert!(self::histogram(many).counts.len() < 5_000);
    }

    #[test]
    fn each_value_is_counted_between_one_pair_of_bounds() {
        let histogram = histogram([1, 2, 2, 3, 9, 10]);
        assert_eq!(histogram.counts_between(&[0, 2, 3, 10]), [1, 2, 2]);
        assert_eq!(histogram.counts_between(&[5, 5, 11]), [0, 2]);
        assert_eq!(histogram.counts_between(&[7]), [0; 0]);
    }
}
