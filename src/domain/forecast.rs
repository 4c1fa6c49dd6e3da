//! What a batch will take, told before it is asked: tokens, money, time. All as ranges, since what the
//! answers will be is not known; the arithmetic alone is in here.

use std::time::Duration;

use super::price::{Cost, Price};

/// From the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range<T> {
    /// The least.
    pub low: T,
    /// The most.
    pub high: T,
}

/// Tokens of an answer, when nothing bounds it and none was seen: a sentence, or a page.
pub const ASSUMED_ANSWER: Range<u64> = Range { low: 20, high: 500 };

/// The time to an answer, when none was seen.
pub const ASSUMED_LATENCY: Range<Duration> = Range {
    low: Duration::from_millis(500),
    high: Duration::from_secs(10),
};

/// What is to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Requests.
    pub requests: u64,
    /// Tokens of all prompts, by [`tokens::estimate_request`](super::tokens::estimate_request).
    pub prompt_tokens: u64,
    /// Tokens of all answers.
    pub answer_tokens: Range<u64>,
}

/// The limits that hold the work up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecastLimits {
    /// Keys, each with the limits below; 0 counts as one.
    pub keys: u64,
    /// Requests a minute for each key.
    pub rpm: Option<u64>,
    /// Tokens a minute for each key.
    pub tpm: Option<u64>,
    /// Requests a day for each key.
    pub rpd: Option<u64>,
    /// Requests in flight; a range where they are found out.
    pub concurrency: Range<u64>,
}

/// What makes the work take its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Requests a minute.
    RequestsPerMinute,
    /// Tokens a minute.
    TokensPerMinute,
    /// Requests a day.
    RequestsPerDay,
    /// How many requests may be in flight, and how long an answer takes.
    Concurrency,
}

/// Returns the prompt tokens that there may really be: the estimate is at most 16 % above the truth
/// and at most 26 % below it (see [`tokens`](super::tokens)).
#[must_use]
pub fn prompt_range(estimated: u64) -> Range<u64> {
    Range {
        low: estimated.saturating_mul(100) / 116,
        high: estimated.saturating_mul(100).div_ceil(74),
    }
}

/// Returns the tokens of an answer that may have this many at most, when those of earlier answers
/// had so many on average.
#[must_use]
pub fn answer_range(at_most: Option<u64>, seen: Option<u64>) -> Range<u64> {
    let expected = match seen {
        Some(average) => Range {
            low: average.saturating_mul(4) / 5,
            high: average.saturating_mul(5).div_ceil(4),
        },
        None => ASSUMED_ANSWER,
    };
    match at_most {
        // A model that is allowed more often takes more: only what was seen speaks against it.
        Some(most) if seen.is_none() => Range {
            low: expected.low.min(most),
            high: most,
        },
        Some(most) => Range {
            low: expected.low.min(most),
            high: expected.high.min(most),
        },
        None => expected,
    }
}

/// Returns what the work costs.
#[must_use]
pub fn cost(work: &Work, price: Price) -> Range<Cost> {
    let prompt = prompt_range(work.prompt_tokens);
    Range {
        low: price.of(prompt.low, work.answer_tokens.low),
        high: price.of(prompt.high, work.answer_tokens.high),
    }
}

/// Returns how long the work takes, and what bounds it.
#[must_use]
pub fn time(
    work: &Work,
    limits: &ForecastLimits,
    latency: Range<Duration>,
) -> (Range<Duration>, Bound) {
    const MINUTE: Duration = Duration::from_mins(1);
    let keys = limits.keys.max(1);
    let prompt = prompt_range(work.prompt_tokens);
    let answers = work.answer_tokens;
    let even = |limit: Option<u64>, units: Range<u64>| {
        limit.map(|limit| Range {
            low: share(units.low, limit.saturating_mul(keys), MINUTE),
            high: share(units.high, limit.saturating_mul(keys), MINUTE),
        })
    };
    let requests = Range {
        low: work.requests,
        high: work.requests,
    };
    let tokens = Range {
        low: prompt.low.saturating_add(answers.low),
        high: prompt.high.saturating_add(answers.high),
    };
    let most = work.requests.max(1);
    let Range { low, high } = limits.concurrency;
    let in_flight = Range {
        low: share(work.requests, high.clamp(1, most), latency.low),
        high: share(work.requests, low.clamp(1, most), latency.high),
    };
    let bounds = [
        (even(limits.rpm, requests), Bound::RequestsPerMinute),
        (even(limits.tpm, tokens), Bound::TokensPerMinute),
        (days(work, limits, keys), Bound::RequestsPerDay),
        (Some(in_flight), Bound::Concurrency),
    ];
    let bounds = bounds
        .into_iter()
        .filter_map(|(time, by)| Some((time?, by)));
    let least = bounds.clone().map(|(time, _)| time.low).max();
    let slowest = bounds.max_by_key(|(time, _)| time.high);
    let (most, by) = slowest.map_or((in_flight, Bound::Concurrency), |found| found);
    let low = least.unwrap_or_default();
    let high = most.high;
    (Range { low, high }, by)
}

/// The days that a daily limit takes: what is left of the first one is not known, so that a batch
/// which fits into one may take none.
fn days(work: &Work, limits: &ForecastLimits, keys: u64) -> Option<Range<Duration>> {
    const DAY: Duration = Duration::from_hours(24);
    let limit = limits.rpd?.saturating_mul(keys).max(1);
    let days = (work.requests.saturating_sub(1)) / limit;
    let time = DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX));
    Some(Range {
        low: time,
        high: time,
    })
}

/// The time of `units` when `each` takes as many of them at once.
fn share(units: u64, at_once: u64, each: Duration) -> Duration {
    let nanos = each.as_nanos() * u128::from(units) / u128::from(at_once.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ForecastLimits = ForecastLimits {
        keys: 1,
        rpm: None,
        tpm: None,
        rpd: None,
        concurrency: Range { low: 10, high: 10 },
    };

    fn work(requests: u64) -> Work {
        Work {
            requests,
            prompt_tokens: requests * 116,
            answer_tokens: Range {
                low: requests * 20,
                high: requests * 500,
            },
        }
    }

    #[track_caller]
    fn check(limits: ForecastLimits, expected: (u64, u64), by: Bound) {
        let (time, bound) = time(&work(600), &limits, ASSUMED_LATENCY);
        assert_eq!((time.low.as_secs(), time.high.as_secs()), expected);
        assert_eq!(bound, by);
    }

    #[test]
    fn the_slowest_limit_says_how_long_it_takes() {
        check(LIMITS, (30, 600), Bound::Concurrency);
        let rpm = Some(20);
        check(
            ForecastLimits { rpm, ..LIMITS },
            (1_800, 1_800),
            Bound::RequestsPerMinute,
        );
        check(
            ForecastLimits {
                rpm,
                keys: 2,
                ..LIMITS
            },
            (900, 900),
            Bound::RequestsPerMinute,
        );
        let tpm = Some(6_000);
        check(
            ForecastLimits { tpm, ..LIMITS },
            (720, 3_940),
            Bound::TokensPerMinute,
        );
        let rpd = Some(200);
        check(
            ForecastLimits { rpd, ..LIMITS },
            (172_800, 172_800),
            Bound::RequestsPerDay,
        );
        let rpd = Some(600);
        check(
            ForecastLimits { rpd, ..LIMITS },
            (30, 600),
            Bound::Concurrency,
        );
    }

    #[test]
    fn nothing_takes_no_time_and_no_money() {
        let (time, _) = time(&Work::default(), &LIMITS, ASSUMED_LATENCY);
        assert_eq!(time, Range::default());
        let price = Price::per_million(1.0, 2.0).expect("it is one");
        assert_eq!(cost(&Work::default(), price), Range::default());
    }

    #[test]
    fn an_answer_is_as_long_as_those_before_it_and_never_longer_than_allowed() {
        let range = |low, high| Range { low, high };
        assert_eq!(answer_range(None, None), ASSUMED_ANSWER);
        assert_eq!(answer_range(Some(5), None), range(5, 5));
        assert_eq!(answer_range(Some(4_000), None), range(20, 4_000));
        assert_eq!(answer_range(None, Some(100)), range(80, 125));
        assert_eq!(answer_range(Some(110), Some(100)), range(80, 110));
    }

    #[test]
    fn a_cost_is_a_range_around_the_estimate() {
        let price = Price::per_million(10.0, 20.0).expect("it is one");
        let found = cost(&work(1_000), price);
        assert_eq!(found.low, price.of(100_000, 20_000));
        assert_eq!(found.high, price.of(156_757, 500_000));
    }
}
