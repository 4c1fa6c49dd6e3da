//! What tokens cost: the list prices of well-known models, prices of the user's own, and money.
//!
//! A price that is not known stays unknown; nothing here ever takes it for zero.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// The built-in list, with its date and its sources in its head.
const LIST: &str = include_str!("price/list.tsv");

/// The day as of which the built-in prices are.
pub const LIST_DATE: &str = "2026-11-23";

/// Picodollars in a dollar.
const PICO: f64 = 1e12;

/// An amount of money, in millionths of a millionth of a US dollar, so that the price of a single
/// token is a whole number. The most is 18 million dollars; a sum beyond stays there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u64);

impl Cost {
    /// Makes an amount from US dollars; `None` for what is no amount: negative, or not finite.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: not negative, and what is too large stays at the most"
    )]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        (dollars.is_finite() && dollars >= 0.0).then(|| Self((dollars * PICO).round() as u64))
    }

    /// Returns the amount in US dollars.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown to a few digits; up to 9,000 dollars it is exact"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PICO
    }

    /// Tells whether it is no money at all.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Returns how many more things this amount pays for, when `count` (at least 1) of them have
    /// cost `spent` (more than nothing) so far.
    #[must_use]
    pub fn pays_for(self, spent: Self, count: u64) -> u64 {
        let left = u128::from(self.0.saturating_sub(spent.0));
        let more = left * u128::from(count) / u128::from(spent.0.max(1));
        u64::try_from(more).unwrap_or(u64::MAX)
    }

    /// Returns what `wanted` things cost, when `count` (at least 1) of them cost this
    /// amount.
    #[must_use]
    pub fn share(self, wanted: u64, count: u64) -> Self {
        let all = u128::from(self.0) * u128::from(wanted) / u128::from(count.max(1));
        Self(u64::try_from(all).unwrap_or(u64::MAX))
    }

    /// Returns what is left of the amount after another; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the amount `count` times.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
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
    /// Writes the amount with a dollar sign: cents from one dollar on, below it two digits that
    /// count, so that a small amount is never shown as nothing.
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

/// The price of a token of the prompt and of one of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of one token of the prompt.
    pub input: Cost,
    /// Of one token of the answer.
    pub output: Cost,
}

impl Price {
    /// Makes a price from US dollars for a million tokens, as providers write it.
    #[must_use]
    pub fn per_million(input: f64, output: f64) -> Option<Self> {
        Some(Self {
            input: Cost::from_dollars(input / 1e6)?,
            output: Cost::from_dollars(output / 1e6)?,
        })
    }

    /// Returns what a request costs that used so many tokens.
    #[must_use]
    pub fn of(self, prompt_tokens: u64, completion_tokens: u64) -> Cost {
        self.input.times(prompt_tokens) + self.output.times(completion_tokens)
    }
}

/// The prices that count: those of the user first, then the built-in list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    own: BTreeMap<String, Price>,
}

impl Prices {
    /// Takes the user's own prices, by model.
    #[must_use]
    pub fn new(own: BTreeMap<String, Price>) -> Self {
        Self { own }
    }

    /// Tells whether the price of a model is one of the user's own.
    #[must_use]
    pub fn is_own(&self, model: &str) -> bool {
        self.own.contains_key(model)
    }

    /// Returns the price of a model, by its name as it is asked for or as the provider told it;
    /// `None` when it is not known. The maker before a slash and a date behind do not matter.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Price> {
        let bare = model.rsplit('/').next().unwrap_or(model);
        self.own.get(model).copied().or_else(|| {
            let names = [bare, family(bare)];
            names.iter().find_map(|name| built_in(name))
        })
    }
}

/// Returns the list price of a model of just this name.
fn built_in(model: &str) -> Option<Price> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(entry)
        .find_map(|(name, price)| name.eq_ignore_ascii_case(model).then_some(price))
}

/// Reads a line of the list: provider, model, and dollars for a million tokens in and out.
fn entry(line: &str) -> Option<(&str, Price)> {
    let mut fields = line.split('\t').skip(1);
    let name = fields.next()?;
    let (input, output) = (fields.next()?.parse(), fields.next()?.parse());
    Some((name, Price::per_million(input.ok()?, output.ok()?)?))
}

/// How dates stand behind a model's name; `0` is any digit.
const DATES: [&str; 3] = ["-0000-00-00", "-00000000", "-0000"];

/// Takes the date, or "latest", off the end of a model's name.
fn family(model: &str) -> &str {
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
        assert_eq!(Prices::default().of(model), expected, "{model}");
    }

    #[test]
    fn models_are_known_by_their_names_and_those_that_providers_make_of_them() {
        check("gpt-4o-mini", Some((0.15, 0.6)));
        check("GPT-4o-mini", Some((0.15, 0.6)));
        check("gpt-4o-mini-2024-07-18", Some((0.15, 0.6)));
        check("openai/gpt-4o-mini", Some((0.15, 0.6)));
        check("gpt-4o-2024-05-13", Some((5.0, 15.0)));
        check("claude-sonnet-4-5-20250929", Some((3.0, 15.0)));
        check("text-embedding-3-small", Some((0.02, 0.0)));
    }

    #[test]
    fn an_unknown_model_has_no_price_and_never_that_of_another() {
        for model in [
            "",
            "gpt",
            "gpt-4o-mini-mine",
            "llama3:8b",
            "2024-07-18",
            "gpt-4o-1",
        ] {
            check(model, None);
        }
    }

    #[test]
    fn a_price_of_the_users_own_goes_first() {
        let own = Price::per_million(1.0, 2.0).unwrap();
        let prices = Prices::new([("gpt-4o-mini".to_owned(), own)].into());
        assert_eq!(prices.of("gpt-4o-mini"), Some(own));
        assert!(prices.is_own("gpt-4o-mini") && !prices.is_own("gpt-4o"));
        assert_eq!(prices.of("gpt-4o"), Prices::default().of("gpt-4o"));
    }

    #[test]
    fn every_line_of_the_list_is_read() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#'));
        let (mut names, mut count) = (std::collections::BTreeSet::new(), 0);
        for line in lines {
            let (name, price) = entry(line).unwrap_or_else(|| panic!("{line}"));
            assert!(price.input > Cost::default(), "{line}");
            assert!(names.insert(name), "twice: {line}");
            count += 1;
        }
        assert!(count > 100, "{count}");
        assert!(LIST.contains(LIST_DATE));
    }

    #[test]
    fn costs_are_exact_and_small_ones_are_shown() {
        let price = Price::per_million(0.15, 0.6).unwrap();
        assert_eq!(price.of(1000, 500), Cost::from_dollars(0.00045).unwrap());
        let shown = |dollars| Cost::from_dollars(dollars).unwrap().to_string();
        assert_eq!(shown(0.0), "$0.00");
        assert_eq!(shown(0.000_45), "$0.00045");
        assert_eq!(shown(0.25), "$0.25");
        assert_eq!(shown(12.345), "$12.35");
        assert_eq!(Cost::from_dollars(-1.0), None);
        assert_eq!(Cost::from_dollars(f64::NAN), None);
    }
}
