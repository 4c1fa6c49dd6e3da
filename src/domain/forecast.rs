//! Estimates the tokens, cost and duration of a batch before it runs. All estimates are intervals,
//! because the lengths of the responses are not known in advance.

use std::time::Duration;

use super::price::{Cost, Price};

/// An interval from a lower to an upper bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval<T> {
    /// Lower bound.
    pub low: T,
    /// Upper bound.
    pub high: T,
}

impl<T> Interval<T> {
    /// Creates an interval from its bounds.
    #[must_use]
    pub const fn new(low: T, high: T) -> Self {
        Self { low, high }
    }
}

/// Assumed completion tokens of a response if there is neither a limit nor an earlier response:
/// from a sentence to a page.
pub const ASSUMED_COMPLETION_TOKENS: Interval<u64> = Interval::new(20, 500);

/// Assumed latency if there are no earlier responses.
pub const ASSUMED_LATENCY: Interval<Duration> =
    Interval::new(Duration::from_millis(500), Duration::from_secs(10));

/// The requests to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Number of requests.
    pub requests: u64,
    /// Estimated tokens of all prompts, see
    /// [`tokens::estimate_request`](super::tokens::estimate_request).
    pub prompt_tokens: u64,
    /// Tokens of all completions.
    pub completion_tokens: Interval<u64>,
}

/// The limits that determine the duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecastLimits {
    /// Number of keys, each with the limits below; 0 counts as 1.
    pub keys: u64,
    /// Requests per minute per key.
    pub rpm: Option<u64>,
    /// Tokens per minute per key.
    pub tpm: Option<u64>,
    /// Requests per day per key.
    pub rpd: Option<u64>,
    /// Requests in flight; an interval if tuned automatically.
    pub concurrency: Interval<u64>,
}

/// The limit that determines the duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottleneck {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
    /// Requests in flight and latency.
    Concurrency,
}

/// Returns the interval of the actual number of prompt tokens: the estimate is at most 16% too high
/// or 26% too low (see [`tokens`](super::tokens)).
#[must_use]
pub fn prompt_tokens_interval(estimated: u64) -> Interval<u64> {
    let hundredfold = estimated.saturating_mul(100);
    Interval::new(hundredfold / 116, hundredfold.div_ceil(74))
}

/// Returns the completion tokens of a response, given their maximum (`max_tokens`) and the average
/// of earlier responses.
#[must_use]
pub fn completion_tokens_interval(max: Option<u64>, average: Option<u64>) -> Interval<u64> {
    let expected = match average {
        Some(average) => {
            let high = average.saturating_mul(5).div_ceil(4);
            Interval::new(average.saturating_mul(4) / 5, high)
        }
        None => ASSUMED_COMPLETION_TOKENS,
    };
    match max {
        // Without earlier responses, assume that the model uses up the maximum.
        Some(max) if average.is_none() => Interval::new(expected.low.min(max), max),
        Some(max) => Interval::new(expected.low.min(max), expected.high.min(max)),
        None => expected,
    }
}

/// Returns the cost of the workload.
#[must_use]
pub fn cost(workload: &Workload, price: Price) -> Interval<Cost> {
    let prompt = prompt_tokens_interval(workload.prompt_tokens);
    let completion = workload.completion_tokens;
    Interval::new(
        price.cost(prompt.low, completion.low),
        price.cost(prompt.high, completion.high),
    )
}

/// Returns the duration of the workload and the limit that determines it.
#[must_use]
pub fn time(
    workload: &Workload,
    limits: &ForecastLimits,
    latency: Interval<Duration>,
) -> (Interval<Duration>, Bottleneck) {
    const MINUTE: Duration = Duration::from_mins(1);
    let keys = limits.keys.max(1);
    let prompt = prompt_tokens_interval(workload.prompt_tokens);
    let completion = workload.completion_tokens;
    let per_minute = |limit: Option<u64>, units: Interval<u64>| {
        let limit = limit?.saturating_mul(keys);
        let time = |units| time_for(units, limit, MINUTE);
        Some(Interval::new(time(units.low), time(units.high)))
    };
    let requests = Interval::new(workload.requests, workload.requests);
    let tokens = Interval::new(
        prompt.low.saturating_add(completion.low),
        prompt.high.saturating_add(completion.high),
    );
    let with_concurrency = |limit: u64, latency| {
        let limit = limit.clamp(1, workload.requests.max(1));
        time_for(workload.requests, limit, latency)
    };
    let Interval { low, high } = limits.concurrency;
    let in_flight = Interval::new(
        with_concurrency(high, latency.low),
        with_concurrency(low, latency.high),
    );
    let rpm = per_minute(limits.rpm, requests).map(|time| (time, Bottleneck::RequestsPerMinute));
    let tpm = per_minute(limits.tpm, tokens).map(|time| (time, Bottleneck::TokensPerMinute));
    let rpd = time_for_daily_limit(workload, limits, keys);
    let rpd = rpd.map(|time| (time, Bottleneck::RequestsPerDay));
    let in_flight = (in_flight, Bottleneck::Concurrency);
    let candidates = [rpm, tpm, rpd, Some(in_flight)].into_iter().flatten();
    let low = candidates.clone().map(|(time, _)| time.low).max();
    let low = low.unwrap_or_default();
    let slowest = candidates.max_by_key(|(time, _)| time.high);
    let (Interval { high, .. }, bottleneck) = slowest.unwrap_or(in_flight);
    (Interval { low, high }, bottleneck)
}

/// Returns the time that a daily limit adds. The remaining quota of today is not known; a batch
/// that fits into one day is assumed to take no extra time.
fn time_for_daily_limit(
    workload: &Workload,
    limits: &ForecastLimits,
    keys: u64,
) -> Option<Interval<Duration>> {
    const DAY: Duration = Duration::from_hours(24);
    let limit = limits.rpd?.saturating_mul(keys).max(1);
    let days = (workload.requests.saturating_sub(1)) / limit;
    let time = DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX));
    Some(Interval::new(time, time))
}

/// Returns the time for `units` if `per_period` of them are processed in each period.
fn time_for(units: u64, per_period: u64, period: Duration) -> Duration {
    let nanos = period.as_nanos() * u128::from(units) / u128::from(per_period.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Bottleneck::{Concurrency, RequestsPerDay, RequestsPerMinute, TokensPerMinute};
    use super::*;

    const LIMITS: ForecastLimits = ForecastLimits {
        keys: 1,
        rpm: None,
        tpm: None,
        rpd: None,
        concurrency: Interval::new(10, 10),
    };

    fn workload(requests: u64) -> Workload {
        Workload {
            requests,
            prompt_tokens: requests * 116,
            completion_tokens: Interval::new(requests * 20, requests * 500),
        }
    }

    #[track_caller]
    fn check(limits: ForecastLimits, expected: (u64, u64), by: Bottleneck) {
        let (time, bound) = time(&workload(600), &limits, ASSUMED_LATENCY);
        assert_eq!((time.low.as_secs(), time.high.as_secs()), expected);
        assert_eq!(bound, by);
    }

    #[test]
    fn the_tightest_limit_determines_the_duration() {
        let limits = |rpm, tpm, rpd| ForecastLimits {
            rpm,
            tpm,
            rpd,
            ..LIMITS
        };
        let rpm = limits(Some(20), None, None);
        check(LIMITS, (30, 600), Concurrency);
        check(rpm, (1_800, 1_800), RequestsPerMinute);
        let two_keys = ForecastLimits { keys: 2, ..rpm };
        check(two_keys, (900, 900), RequestsPerMinute);
        let tpm = limits(None, Some(6_000), None);
        check(tpm, (720, 3_940), TokensPerMinute);
        let days = (172_800, 172_800);
        check(limits(None, None, Some(200)), days, RequestsPerDay);
        check(limits(None, None, Some(600)), (30, 600), Concurrency);
    }

    #[test]
    fn an_empty_workload_takes_no_time_and_costs_nothing() {
        let (time, _) = time(&Workload::default(), &LIMITS, ASSUMED_LATENCY);
        assert_eq!(time, Interval::default());
        let price = Price::per_million(1.0, 2.0).expect("a valid price");
        assert_eq!(cost(&Workload::default(), price), Interval::default());
    }

    #[test]
    fn completion_tokens_follow_earlier_responses_up_to_the_maximum() {
        for (max, average, expected) in [
            (None, None, ASSUMED_COMPLETION_TOKENS),
            (Some(5), None, Interval::new(5, 5)),
            (Some(4_000), None, Interval::new(20, 4_000)),
            (None, Some(100), Interval::new(80, 125)),
            (Some(110), Some(100), Interval::new(80, 110)),
        ] {
            assert_eq!(completion_tokens_interval(max, average), expected);
        }
    }

    #[test]
    fn a_cost_is_an_interval_around_the_estimate() {
        let price = Price::per_million(10.0, 20.0).expect("a valid price");
        let found = cost(&workload(1_000), price);
        assert_eq!(found.low, price.cost(100_000, 20_000));
        assert_eq!(found.high, price.cost(156_757, 500_000));
    }
}
