//! Token prices (built-in list prices and the user's own) and amounts of money.
//!
//! An unknown price stays unknown; it is never treated as zero.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// The built-in price list. Its header names its date and sources.
const LIST: &str = include_str!("list.tsv");

/// Date of the built-in prices.
pub const LIST_DATE: &str = "2026-11-23";

/// Picodollars per dollar.
const PICO: f64 = 1e12;

/// An amount of money in picodollars (10⁻¹² US dollars), so that the price of a single token is an
/// integer. Sums saturate at 18 million dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u64);

impl Cost {
    /// Creates an amount from US dollars; `None` if negative or not finite.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the cast saturates"
    )]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        (dollars.is_finite() && dollars >= 0.0).then(|| Self((dollars * PICO).round() as u64))
    }

    /// Returns the amount in US dollars.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 9,000 dollars, and displayed with a few digits"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PICO
    }

    /// Returns whether the amount is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns how many more items this budget pays for, given that `count` items cost `spent`.
    /// Both must be positive.
    #[must_use]
    pub fn affords(self, spent: Self, count: u64) -> u64 {
        let left = u128::from(self.0.saturating_sub(spent.0));
        let more = left * u128::from(count) / u128::from(spent.0.max(1));
        u64::try_from(more).unwrap_or(u64::MAX)
    }

    /// Returns the cost of `wanted` items, given that `count` items cost this amount. `count` must
    /// be positive.
    #[must_use]
    pub fn scaled(self, wanted: u64, count: u64) -> Self {
        let all = u128::from(self.0) * u128::from(wanted) / u128::from(count.max(1));
        Self(u64::try_from(all).unwrap_or(u64::MAX))
    }

    /// Subtracts an amount, saturating at zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns `count` times the amount.
    #[must_use]
    pub fn saturating_mul(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Cost {
    /// Formats the amount with a dollar sign and two decimals, or two significant digits below one
    /// dollar, so that a small amount is never displayed as zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.dollars();
        let mut digits = 2;
        while digits < 12 && dollars > 0.0 && dollars < 10_f64.powi(1 - digits) {
            digits += 1;
        }
        let digits = usize::try_from(digits).unwrap_or(2);
        f.pad(&format!("${dollars:.digits$}"))
    }
}

/// The price of prompt and completion tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Price of one prompt token.
    pub input: Cost,
    /// Price of one completion token.
    pub output: Cost,
}

impl Price {
    /// Creates a price from US dollars per million tokens.
    #[must_use]
    pub fn per_million(input: f64, output: f64) -> Option<Self> {
        Some(Self {
            input: Cost::from_dollars(input / 1e6)?,
            output: Cost::from_dollars(output / 1e6)?,
        })
    }

    /// Returns the cost of a request with these numbers of tokens.
    #[must_use]
    pub fn cost(self, prompt_tokens: u64, completion_tokens: u64) -> Cost {
        self.input.saturating_mul(prompt_tokens) + self.output.saturating_mul(completion_tokens)
    }
}

/// The user's own prices, which take precedence, and the built-in list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    own: BTreeMap<String, Price>,
}

impl Prices {
    /// Creates a price list with the user's own prices, by model.
    #[must_use]
    pub fn new(own: BTreeMap<String, Price>) -> Self {
        Self { own }
    }

    /// Returns whether the user has set the price of a model.
    #[must_use]
    pub fn is_own(&self, model: &str) -> bool {
        self.own.contains_key(model)
    }

    /// Returns the price of a model by its requested or reported name; `None` if unknown. A vendor
    /// prefix (`openai/`) and a date suffix are ignored.
    #[must_use]
    pub fn get(&self, model: &str) -> Option<Price> {
        let bare = model.rsplit('/').next().unwrap_or(model);
        self.own.get(model).copied().or_else(|| {
            let names = [bare, without_date(bare)];
            names.iter().find_map(|name| list_price(name))
        })
    }
}

/// Returns the list price of a model with exactly this name.
fn list_price(model: &str) -> Option<Price> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(parse_entry)
        .find_map(|(name, price)| name.eq_ignore_ascii_case(model).then_some(price))
}

/// Parses a line of the list: provider, model, and dollars per million input and output tokens.
fn parse_entry(line: &str) -> Option<(&str, Price)> {
    let mut fields = line.split('\t').skip(1);
    let name = fields.next()?;
    let (input, output) = (fields.next()?.parse(), fields.next()?.parse());
    Some((name, Price::per_million(input.ok()?, output.ok()?)?))
}

/// Formats of date suffixes; `0` stands for any digit.
const DATES: [&str; 3] = ["-0000-00-00", "-00000000", "-0000"];

/// Removes a date or `latest` from the end of a model name.
fn without_date(model: &str) -> &str {
    let model = model.strip_suffix("-latest").unwrap_or(model);
    let dated = DATES.iter().find_map(|date| {
        let (name, end) = model.split_at_checked(model.len().checked_sub(date.len())?)?;
        let is_date = end
            .bytes()
            .zip(date.bytes())
            .all(|(found, wanted)| found == wanted || (wanted == b'0' && found.is_ascii_digit()));
        is_date.then_some(name)
    });
    dated.unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(model: &str, dollars_per_million: Option<(f64, f64)>) {
        let expected = dollars_per_million.and_then(|(i, o)| Price::per_million(i, o));
        assert_eq!(Prices::default().get(model), expected, "{model}");
    }

    #[test]
    fn finds_models_by_the_names_that_providers_report() {
        check("gpt-4o-mini", Some((0.15, 0.6)));
        check("GPT-4o-mini", Some((0.15, 0.6)));
        check("gpt-4o-mini-2024-07-18", Some((0.15, 0.6)));
        check("openai/gpt-4o-mini", Some((0.15, 0.6)));
        check("gpt-4o-2024-05-13", Some((5.0, 15.0)));
        check("claude-sonnet-4-5-20250929", Some((3.0, 15.0)));
        check("text-embedding-3-small", Some((0.02, 0.0)));
    }

    #[test]
    fn an_unknown_model_has_no_price() {
        let names = "|gpt|gpt-4o-mini-mine|llama3:8b|2024-07-18|gpt-4o-1";
        for model in names.split('|') {
            check(model, None);
        }
    }

    #[test]
    fn own_prices_take_precedence() {
        let own = Price::per_million(1.0, 2.0).unwrap();
        let prices = Prices::new([("gpt-4o-mini".to_owned(), own)].into());
        assert_eq!(prices.get("gpt-4o-mini"), Some(own));
        assert!(prices.is_own("gpt-4o-mini") && !prices.is_own("gpt-4o"));
        assert_eq!(prices.get("gpt-4o"), Prices::default().get("gpt-4o"));
    }

    #[test]
    fn every_line_of_the_list_is_valid() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#'));
        let (mut names, mut count) = (std::collections::BTreeSet::new(), 0);
        for line in lines {
            let (name, price) = parse_entry(line).unwrap_or_else(|| panic!("{line}"));
            assert!(price.input > Cost::default(), "{line}");
            assert!(names.insert(name), "duplicate: {line}");
            count += 1;
        }
        assert!(count > 100, "{count}");
        assert!(LIST.contains(LIST_DATE));
    }

    #[test]
    fn costs_are_exact_and_small_ones_are_displayed() {
        let price = Price::per_million(0.15, 0.6).unwrap();
        assert_eq!(price.cost(1000, 500), Cost::from_dollars(0.00045).unwrap());
        let shown = |dollars| Cost::from_dollars(dollars).unwrap().to_string();
        assert_eq!(shown(0.0), "$0.00");
        assert_eq!(shown(0.000_45), "$0.00045");
        assert_eq!(shown(0.25), "$0.25");
        assert_eq!(shown(12.345), "$12.35");
        assert_eq!(Cost::from_dollars(-1.0), None);
        assert_eq!(Cost::from_dollars(f64::NAN), None);
    }
}
