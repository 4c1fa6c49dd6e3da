//! What a run costs while it lasts: so far, and about what it will come to.
//!
//! A price that is not known is said, and never taken for zero.

use crate::domain::price::Cost;

/// Answers before which nothing is said of the whole: the first may be like no other.
const FEWEST: u64 = 5;

/// The costs of a run's answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spending {
    cost: Cost,
    priced: u64,
    unpriced: u64,
}

impl Spending {
    /// Adds an answer; `None` is one whose price is not known.
    pub(super) fn add(&mut self, cost: Option<Cost>) {
        match cost {
            Some(cost) => {
                self.cost += cost;
                self.priced += 1;
            }
            None => self.unpriced += 1,
        }
    }

    /// Says the cost so far, and about what it will be with `left` more rows like those before:
    /// `$1.20 of ~$12`; `None` before the first answer.
    pub(super) fn text(&self, left: u64) -> Option<String> {
        let Self {
            cost,
            priced,
            unpriced,
        } = *self;
        match (priced, unpriced) {
            (0, 0) => None,
            (0, _) => Some("price unknown".to_owned()),
            (_, 1..) => Some(format!("{cost} and more: prices unknown")),
            (_, 0) if left == 0 || cost.is_nothing() || priced < FEWEST => Some(cost.to_string()),
            (_, 0) => Some(format!(
                "{cost} of ~{}",
                about(cost.share(priced + left, priced))
            )),
        }
    }
}

/// Writes an amount that is a guess: whole dollars where there are ten or more.
fn about(cost: Cost) -> String {
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
    fn check(costs: &[Option<f64>], left: u64, expected: Option<&str>) {
        let mut spending = Spending::default();
        for cost in costs {
            spending.add(cost.and_then(Cost::from_dollars));
        }
        assert_eq!(spending.text(left).as_deref(), expected);
    }

    #[test]
    fn the_whole_is_like_the_part() {
        check(&[], 9, None);
        check(&[Some(0.25); 4], 100, Some("$1.00"));
        check(&[Some(0.25); 5], 1, Some("$1.25 of ~$1.50"));
        check(&[Some(0.25); 5], 95, Some("$1.25 of ~$25"));
        check(&[Some(0.25); 5], 0, Some("$1.25"));
        check(&[Some(0.0); 5], 95, Some("$0.00"));
        check(&[Some(0.000_001); 5], 95, Some("$0.0000050 of ~$0.00010"));
    }

    #[test]
    fn what_is_not_known_is_never_nothing() {
        check(&[None], 9, Some("price unknown"));
        check(
            &[Some(0.5), None],
            9,
            Some("$0.50 and more: prices unknown"),
        );
    }
}
