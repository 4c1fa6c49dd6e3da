//! Cost of a run in progress: so far, and an estimate of the total.
//!
//! An unknown price is reported as unknown, never counted as zero.

use crate::domain::price::Cost;

/// Minimum number of responses for an estimate: the first few may not be representative.
const MIN_RESPONSES: u64 = 5;

/// Cost of a run's responses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spending {
    cost: Cost,
    priced: u64,
    unpriced: u64,
}

impl Spending {
    /// Adds a response; `None` means that its price is unknown.
    pub(super) fn add(&mut self, cost: Option<Cost>) {
        match cost {
            Some(cost) => {
                self.cost += cost;
                self.priced += 1;
            }
            None => self.unpriced += 1,
        }
    }

    /// Formats the cost so far and the estimated total with `remaining` more rows: `$1.20 of ~$12`.
    /// Returns `None` before the first response.
    pub(super) fn text(&self, remaining: u64) -> Option<String> {
        let (cost, priced) = (self.cost, self.priced);
        match (priced, self.unpriced) {
            (0, 0) => None,
            (0, _) => Some("price unknown".to_owned()),
            (_, 1..) => Some(format!("at least {cost}, some prices unknown")),
            (_, 0) if remaining == 0 || cost.is_zero() || priced < MIN_RESPONSES => {
                Some(cost.to_string())
            }
            (_, 0) => {
                let total = estimate(cost.scaled(priced + remaining, priced));
                Some(format!("{cost} of ~{total}"))
            }
        }
    }
}

/// Formats an estimated amount: in whole dollars from $10.
fn estimate(cost: Cost) -> String {
    let dollars = cost.dollars();
    if dollars < 9.95 {
        return cost.to_string();
    }
    format!("${dollars:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(costs: &[Option<f64>], remaining: u64, expected: Option<&str>) {
        let mut spending = Spending::default();
        for cost in costs {
            spending.add(cost.and_then(Cost::from_dollars));
        }
        assert_eq!(spending.text(remaining).as_deref(), expected);
    }

    #[test]
    fn the_total_is_extrapolated_from_the_cost_so_far() {
        check(&[], 9, None);
        check(&[Some(0.25); 4], 100, Some("$1.00"));
        check(&[Some(0.25); 5], 1, Some("$1.25 of ~$1.50"));
        check(&[Some(0.25); 5], 95, Some("$1.25 of ~$25"));
        check(&[Some(0.25); 5], 0, Some("$1.25"));
        check(&[Some(0.0); 5], 95, Some("$0.00"));
        check(&[Some(0.000_001); 5], 95, Some("$0.0000050 of ~$0.00010"));
    }

    #[test]
    fn an_unknown_price_is_never_zero() {
        check(&[None], 9, Some("price unknown"));
        let some = Some("at least $0.50, some prices unknown");
        check(&[Some(0.5), None], 9, some);
    }
}
