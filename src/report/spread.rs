//! How a quantity is spread: as many counts as there are numbers of three digits, whatever their
//! size, so that quantiles are true to half a percent and memory is bounded.

use std::collections::BTreeMap;

/// Counts of a quantity by size.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    counts: BTreeMap<u64, u64>,
    total: u64,
    sum: u128,
}

impl Spread {
    /// Adds a quantity.
    pub(super) fn add(&mut self, quantity: u64) {
        *self.counts.entry(rounded(quantity)).or_default() += 1;
        self.total += 1;
        self.sum += u128::from(quantity);
    }

    /// Returns their sum.
    pub(super) fn sum(&self) -> u64 {
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    /// Returns the quantity that so many in a hundred do not exceed; `None` when there is none.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = (u128::from(self.total) * u128::from(percent))
            .div_ceil(100)
            .max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(quantity, count)| {
            seen += u128::from(*count);
            (seen >= wanted).then_some(*quantity)
        })
    }

    /// Returns the smallest and the largest; `None` when there is none.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        let (smallest, _) = self.counts.first_key_value()?;
        let (largest, _) = self.counts.last_key_value()?;
        Some((*smallest, *largest))
    }

    /// Counts what lies between each bound and the next: from the first one, below the second.
    pub(super) fn between(&self, bounds: &[u64]) -> Vec<u64> {
        let between = |pair: &[u64]| self.counts.range(pair[0]..pair[1].max(pair[0]));
        let counts = bounds
            .windows(2)
            .map(|pair| between(pair).map(|(_, count)| count).sum());
        counts.collect()
    }
}

/// Rounds a number to three digits, down.
fn rounded(quantity: u64) -> u64 {
    let digits = quantity.checked_ilog10().unwrap_or(0) + 1;
    let unit = 10_u64.pow(digits.saturating_sub(3));
    quantity / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(quantities: impl IntoIterator<Item = u64>) -> Spread {
        let mut spread = Spread::default();
        for quantity in quantities {
            spread.add(quantity);
        }
        spread
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let spread = spread((1..=200).rev());
        assert_eq!(spread.percentile(0), Some(1));
        assert_eq!(spread.percentile(50), Some(100));
        assert_eq!(spread.percentile(95), Some(190));
        assert_eq!(spread.percentile(100), Some(200));
        assert_eq!((spread.total, spread.sum()), (200, 20_100));
        assert_eq!(spread.range(), Some((1, 200)));
        assert_eq!(Spread::default().percentile(50), None);
        assert_eq!(Spread::default().range(), None);
    }

    #[test]
    fn large_numbers_are_kept_to_three_digits() {
        let spread = spread([0, 12_345, 12_399, u64::MAX, u64::MAX]);
        assert_eq!(spread.percentile(50), Some(12_300));
        assert_eq!(spread.percentile(100), Some(18_400_000_000_000_000_000));
        assert_eq!(spread.sum(), u64::MAX);
        let many: Vec<_> = (0..1_000_000).map(|n| n * 7).collect();
        assert!(self::spread(many).counts.len() < 5_000);
    }

    #[test]
    fn what_is_between_bounds_is_counted_once() {
        let spread = spread([1, 2, 2, 3, 9, 10]);
        assert_eq!(spread.between(&[0, 2, 3, 10]), [1, 2, 2]);
        assert_eq!(spread.between(&[5, 5, 11]), [0, 2]);
        assert_eq!(spread.between(&[7]), [0; 0]);
    }
}
