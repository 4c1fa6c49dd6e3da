//! Rate limits of a simulated provider: requests and tokens per minute per key, and requests per
//! day, either per key or shared by all keys.

use std::collections::HashMap;
use std::time::Duration;

use super::token_bucket::{RemainingLimit, TokenBucket};

/// The limits of a simulated provider. By default there are none, except the daily quota of some
/// personalities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedLimits {
    /// Requests per minute per key.
    pub requests_per_minute: Option<u32>,
    /// Requests that an idle key can send at once, at least 1. Default: `requests_per_minute`.
    pub request_burst: Option<u32>,
    /// Tokens per minute per key; the prompt and `max_tokens` both count.
    pub tokens_per_minute: Option<u32>,
    /// Tokens that an idle key can use at once, which limits the size of a request. Default:
    /// `tokens_per_minute`.
    pub token_burst: Option<u32>,
    /// Requests per day. Default: that of the personality.
    pub requests_per_day: Option<u32>,
    /// Whether all keys share the daily quota. Default: that of the personality.
    pub share_daily_quota: Option<bool>,
    /// Length of a day. The first day begins when the simulator starts, not at midnight.
    pub day: Duration,
    /// Whether rate-limit errors have a `Retry-After` header. Their text states the wait in any
    /// case.
    pub retry_after: bool,
}

impl Default for SimulatedLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            request_burst: None,
            tokens_per_minute: None,
            token_burst: None,
            requests_per_day: None,
            share_daily_quota: None,
            day: Duration::from_hours(24),
            retry_after: true,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitReached {
    pub(super) limit: LimitKind,
    /// The value of the limit.
    pub(super) allowed: u32,
    /// Units in use.
    pub(super) used: u32,
    /// Units that the request requires.
    pub(super) requested: u32,
    /// How long until the request would be accepted; `None` if never.
    pub(super) wait: Option<Duration>,
}

/// A kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitKind {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
}

/// The remaining limits after a request, for the response headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RemainingLimits {
    pub(super) requests: Option<RemainingLimit>,
    pub(super) tokens: Option<RemainingLimit>,
}

/// The rate limiters of all keys.
#[derive(Debug)]
pub(super) struct KeyLimiters {
    limits: SimulatedLimits,
    keys: HashMap<String, KeyLimiter>,
    shared_counter: DailyCounter,
}

/// The rate limiters of one key.
#[derive(Debug)]
struct KeyLimiter {
    requests: Option<TokenBucket>,
    tokens: Option<TokenBucket>,
    day: DailyCounter,
}

/// Counts the requests of a day.
#[derive(Clone, Copy, Debug, Default)]
struct DailyCounter {
    day: u64,
    used: u32,
}

impl KeyLimiters {
    /// Creates the limiters; the defaults of the personality are already part of `limits`.
    pub(super) fn new(limits: SimulatedLimits) -> Self {
        Self {
            limits,
            keys: HashMap::new(),
            shared_counter: DailyCounter::default(),
        }
    }

    /// Returns whether there are no limits at all.
    pub(super) fn is_unlimited(&self) -> bool {
        let limits = &self.limits;
        limits.requests_per_minute.is_none()
            && limits.tokens_per_minute.is_none()
            && limits.requests_per_day.is_none()
    }

    /// Counts one request of `tokens` tokens against the limits of `key`, at `now` since the start.
    /// If a limit is reached, nothing is counted. Returns the remaining limits in either case.
    pub(super) fn take(
        &mut self,
        key: &str,
        tokens: u32,
        now: Duration,
    ) -> (RemainingLimits, Result<(), LimitReached>) {
        if !self.keys.contains_key(key) {
            self.keys
                .insert(key.to_owned(), KeyLimiter::new(&self.limits));
        }
        let limiter = self.keys.get_mut(key).expect("the key was just added");
        let is_shared = self.limits.share_daily_quota == Some(true);
        let shared = is_shared.then_some(&mut self.shared_counter);
        let allowed = limiter.take(tokens, &self.limits, shared, now);
        (limiter.remaining(nanos(now)), allowed)
    }
}

impl KeyLimiter {
    fn new(limits: &SimulatedLimits) -> Self {
        let bucket = |allowed: Option<u32>, burst: Option<u32>| {
            allowed.map(|allowed| TokenBucket::new(allowed, burst.unwrap_or(allowed)))
        };
        Self {
            requests: bucket(limits.requests_per_minute, limits.request_burst),
            tokens: bucket(limits.tokens_per_minute, limits.token_burst),
            day: DailyCounter::default(),
        }
    }

    /// Counts one request. `shared` is the daily quota of all keys, if they share one.
    fn take(
        &mut self,
        tokens: u32,
        limits: &SimulatedLimits,
        shared: Option<&mut DailyCounter>,
        now: Duration,
    ) -> Result<(), LimitReached> {
        let day = shared.unwrap_or(&mut self.day);
        day.check(limits, now)?;
        let now = nanos(now);
        check(self.requests.as_ref(), LimitKind::RequestsPerMinute, 1, now)?;
        let bucket = self.tokens.as_ref();
        check(bucket, LimitKind::TokensPerMinute, tokens, now)?;
        day.used = day.used.saturating_add(1);
        if let Some(bucket) = &mut self.requests {
            bucket.take(1, now);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens, now);
        }
        Ok(())
    }

    fn remaining(&self, now: u64) -> RemainingLimits {
        let limit = |bucket: &Option<TokenBucket>| bucket.as_ref().map(|bucket| bucket.limit(now));
        RemainingLimits {
            requests: limit(&self.requests),
            tokens: limit(&self.tokens),
        }
    }
}

/// Checks that `bucket` has `count` units.
fn check(
    bucket: Option<&TokenBucket>,
    limit: LimitKind,
    count: u32,
    now: u64,
) -> Result<(), LimitReached> {
    let Some(bucket) = bucket else {
        return Ok(());
    };
    let wait = bucket.wait(count, now);
    if wait == Some(Duration::ZERO) {
        return Ok(());
    }
    Err(LimitReached {
        limit,
        allowed: bucket.allowed(),
        used: bucket.used(now),
        requested: count,
        wait,
    })
}

impl DailyCounter {
    /// Checks that the daily quota is not used up. Resets the count when a new day has begun.
    fn check(&mut self, limits: &SimulatedLimits, now: Duration) -> Result<(), LimitReached> {
        let Some(allowed) = limits.requests_per_day else {
            return Ok(());
        };
        let length = nanos(limits.day).max(1);
        let now = nanos(now);
        let day = now / length;
        if day != self.day {
            *self = Self { day, used: 0 };
        }
        if self.used < allowed {
            return Ok(());
        }
        Err(LimitReached {
            limit: LimitKind::RequestsPerDay,
            allowed,
            used: self.used,
            requested: 1,
            wait: Some(Duration::from_nanos(length - now % length)),
        })
    }
}

/// Returns a duration in nanoseconds, saturating at 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpm(limit: u32, burst: Option<u32>) -> KeyLimiters {
        KeyLimiters::new(SimulatedLimits {
            requests_per_minute: Some(limit),
            request_burst: burst,
            ..SimulatedLimits::default()
        })
    }

    fn take(
        limiters: &mut KeyLimiters,
        key: &str,
        tokens: u32,
        now: Duration,
    ) -> Result<RemainingLimits, LimitReached> {
        let (remaining, allowed) = limiters.take(key, tokens, now);
        allowed.map(|()| remaining)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_request_is_accepted_as_soon_as_the_stated_wait_ends() {
        let mut limiters = rpm(3, None);
        for _ in 0..3 {
            take(&mut limiters, "a", 1, ms(0)).unwrap();
        }
        let reached = take(&mut limiters, "a", 1, ms(0)).unwrap_err();
        assert_eq!((reached.allowed, reached.used), (3, 3));
        assert_eq!(reached.wait, Some(ms(20_000)));
        assert!(take(&mut limiters, "a", 1, ms(19_999)).is_err());
        assert!(take(&mut limiters, "a", 1, ms(20_000)).is_ok());
        let other_key = take(&mut limiters, "b", 1, ms(0));
        assert!(other_key.is_ok(), "another key has its own limit");
    }

    #[test]
    fn a_burst_of_one_spaces_the_requests() {
        let mut limiters = rpm(60, Some(1));
        let remaining = take(&mut limiters, "a", 1, ms(0)).unwrap();
        let limit = remaining.requests.unwrap();
        assert_eq!((limit.remaining, limit.reset), (0, ms(1_000)));
        let reached = take(&mut limiters, "a", 1, ms(1)).unwrap_err();
        assert_eq!(reached.wait, Some(ms(999)));
    }

    #[test]
    fn a_request_with_more_tokens_than_the_burst_is_never_accepted() {
        let mut limiters = KeyLimiters::new(SimulatedLimits {
            tokens_per_minute: Some(600),
            ..SimulatedLimits::default()
        });
        assert_eq!(take(&mut limiters, "a", 601, ms(0)).unwrap_err().wait, None);
        take(&mut limiters, "a", 590, ms(0)).unwrap();
        let reached = take(&mut limiters, "a", 30, ms(0)).unwrap_err();
        assert_eq!(reached.limit, LimitKind::TokensPerMinute);
        assert_eq!(reached.wait, Some(ms(2_000)));
    }

    #[test]
    fn a_rejected_request_does_not_count() {
        let mut limiters = rpm(1, None);
        take(&mut limiters, "a", 1, ms(0)).unwrap();
        for _ in 0..5 {
            take(&mut limiters, "a", 1, ms(0)).unwrap_err();
        }
        assert!(take(&mut limiters, "a", 1, ms(60_000)).is_ok());
    }

    #[test]
    fn the_daily_quota_is_per_key_or_shared() {
        let mut limits = SimulatedLimits {
            requests_per_day: Some(2),
            share_daily_quota: Some(true),
            ..SimulatedLimits::default()
        };
        let mut shared = KeyLimiters::new(limits.clone());
        take(&mut shared, "a", 1, ms(0)).unwrap();
        take(&mut shared, "b", 1, ms(0)).unwrap();
        let reached = take(&mut shared, "c", 1, Duration::from_hours(23)).unwrap_err();
        assert_eq!(reached.wait, Some(Duration::from_hours(1)));
        assert!(take(&mut shared, "c", 1, Duration::from_hours(24)).is_ok());

        limits.share_daily_quota = Some(false);
        let mut per_key = KeyLimiters::new(limits);
        take(&mut per_key, "a", 1, ms(0)).unwrap();
        take(&mut per_key, "a", 1, ms(0)).unwrap();
        assert!(take(&mut per_key, "a", 1, ms(0)).is_err());
        assert!(take(&mut per_key, "b", 1, ms(0)).is_ok());
    }
}
