//! The limits of a simulated provider: requests and tokens a minute, requests a day, for each key
//! or for all.

use std::collections::HashMap;
use std::time::Duration;

use super::bucket::{Bucket, Level};

/// The limits of a simulated provider. The default has none of its own; a personality may bring
/// a daily quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedLimits {
    /// Requests a minute and key.
    pub requests_per_minute: Option<u32>,
    /// Requests that a rested key may send at once, at least 1; the limit itself when not given.
    pub request_burst: Option<u32>,
    /// Tokens a minute and key, those of the prompt and of `max_tokens` together.
    pub tokens_per_minute: Option<u32>,
    /// Tokens that a rested key may use at once, and so the largest request; the limit itself when
    /// not given.
    pub token_burst: Option<u32>,
    /// Requests a day; the personality's when not given.
    pub requests_per_day: Option<u32>,
    /// Whether all keys share the day's requests; as the personality does when not given.
    pub day_shared: Option<bool>,
    /// How long a day is. The first one begins with the simulator, not at midnight.
    pub day: Duration,
    /// Whether a refusal bears `Retry-After`; the text tells the wait in any case.
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
            day_shared: None,
            day: Duration::from_hours(24),
            retry_after: true,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) limit: Limit,
    /// The limit's number.
    pub(super) allowed: u32,
    /// What of it is in use.
    pub(super) used: u32,
    /// What was asked for.
    pub(super) requested: u32,
    /// How long until the request would pass; `None` when it never can.
    pub(super) wait: Option<Duration>,
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
}

/// The levels after a request, for the headers of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) requests: Option<Level>,
    pub(super) tokens: Option<Level>,
}

/// The meters of all keys.
#[derive(Debug)]
pub(super) struct Meters {
    limits: SimulatedLimits,
    day_shared: bool,
    keys: HashMap<String, KeyMeter>,
    shared_day: DayMeter,
}

/// The meters of one key.
#[derive(Debug)]
struct KeyMeter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    day: DayMeter,
}

/// The requests of a day.
#[derive(Clone, Copy, Debug, Default)]
struct DayMeter {
    day: u64,
    used: u32,
}

impl Meters {
    /// Makes the meters for `limits`, in which the personality's own are filled in.
    pub(super) fn new(limits: SimulatedLimits) -> Self {
        Self {
            day_shared: limits.day_shared.unwrap_or(false),
            limits,
            keys: HashMap::new(),
            shared_day: DayMeter::default(),
        }
    }

    /// Returns whether nothing is limited, so that no meter need be asked.
    pub(super) fn is_unlimited(&self) -> bool {
        let limits = &self.limits;
        limits.requests_per_minute.is_none()
            && limits.tokens_per_minute.is_none()
            && limits.requests_per_day.is_none()
    }

    /// Takes one request of `tokens` tokens off the limits of `key`, at `now` since the start;
    /// takes nothing when one of them is reached. Returns the levels in either case.
    pub(super) fn take(
        &mut self,
        key: &str,
        tokens: u32,
        now: Duration,
    ) -> (Levels, Result<(), Reached>) {
        if !self.keys.contains_key(key) {
            self.keys
                .insert(key.to_owned(), KeyMeter::new(&self.limits));
        }
        let meter = self.keys.get_mut(key).expect("the key has just been added");
        let shared = self.day_shared.then_some(&mut self.shared_day);
        let taken = meter.take(tokens, &self.limits, shared, now);
        (meter.levels(nanos(now)), taken)
    }
}

impl KeyMeter {
    fn new(limits: &SimulatedLimits) -> Self {
        let bucket = |allowed: Option<u32>, burst: Option<u32>| {
            allowed.map(|allowed| Bucket::new(allowed, burst.unwrap_or(allowed)))
        };
        Self {
            requests: bucket(limits.requests_per_minute, limits.request_burst),
            tokens: bucket(limits.tokens_per_minute, limits.token_burst),
            day: DayMeter::default(),
        }
    }

    /// Takes one request off the limits; `shared` is the day of all keys, where they share one.
    fn take(
        &mut self,
        tokens: u32,
        limits: &SimulatedLimits,
        shared: Option<&mut DayMeter>,
        now: Duration,
    ) -> Result<(), Reached> {
        let day = shared.unwrap_or(&mut self.day);
        day.check(limits, now)?;
        let now = nanos(now);
        check(self.requests.as_ref(), Limit::RequestsPerMinute, 1, now)?;
        check(self.tokens.as_ref(), Limit::TokensPerMinute, tokens, now)?;
        day.used = day.used.saturating_add(1);
        if let Some(bucket) = &mut self.requests {
            bucket.take(1, now);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens, now);
        }
        Ok(())
    }

    fn levels(&self, now: u64) -> Levels {
        let level = |bucket: &Option<Bucket>| bucket.as_ref().map(|bucket| bucket.level(now));
        Levels {
            requests: level(&self.requests),
            tokens: level(&self.tokens),
        }
    }
}

/// Says whether `bucket` has `count` units.
fn check(bucket: Option<&Bucket>, limit: Limit, count: u32, now: u64) -> Result<(), Reached> {
    let Some(bucket) = bucket else {
        return Ok(());
    };
    let wait = bucket.wait(count, now);
    if wait == Some(Duration::ZERO) {
        return Ok(());
    }
    Err(Reached {
        limit,
        allowed: bucket.allowed(),
        used: bucket.used(now),
        requested: count,
        wait,
    })
}

impl DayMeter {
    /// Starts a new day when one has come, and says whether it has a request left.
    fn check(&mut self, limits: &SimulatedLimits, now: Duration) -> Result<(), Reached> {
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
        Err(Reached {
            limit: Limit::RequestsPerDay,
            allowed,
            used: self.used,
            requested: 1,
            wait: Some(Duration::from_nanos(length - now % length)),
        })
    }
}

/// A time in nanoseconds; more than 584 years count as 584.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpm(limit: u32, burst: Option<u32>) -> Meters {
        Meters::new(SimulatedLimits {
            requests_per_minute: Some(limit),
            request_burst: burst,
            ..SimulatedLimits::default()
        })
    }

    fn take(meters: &mut Meters, key: &str, tokens: u32, now: Duration) -> Result<Levels, Reached> {
        let (levels, taken) = meters.take(key, tokens, now);
        taken.map(|()| levels)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_full_bucket_says_when_one_request_is_back_and_keeps_its_word() {
        let mut meters = rpm(3, None);
        for _ in 0..3 {
            take(&mut meters, "a", 1, ms(0)).unwrap();
        }
        let reached = take(&mut meters, "a", 1, ms(0)).unwrap_err();
        assert_eq!((reached.allowed, reached.used), (3, 3));
        assert_eq!(reached.wait, Some(ms(20_000)));
        assert!(take(&mut meters, "a", 1, ms(19_999)).is_err());
        assert!(take(&mut meters, "a", 1, ms(20_000)).is_ok());
        assert!(
            take(&mut meters, "b", 1, ms(0)).is_ok(),
            "another key has its own"
        );
    }

    #[test]
    fn a_burst_of_one_spaces_the_requests() {
        let mut meters = rpm(60, Some(1));
        let level = take(&mut meters, "a", 1, ms(0)).unwrap().requests.unwrap();
        assert_eq!((level.remaining, level.reset), (0, ms(1_000)));
        assert_eq!(
            take(&mut meters, "a", 1, ms(1)).unwrap_err().wait,
            Some(ms(999))
        );
    }

    #[test]
    fn tokens_are_limited_and_a_request_above_the_burst_never_passes() {
        let mut meters = Meters::new(SimulatedLimits {
            tokens_per_minute: Some(600),
            ..SimulatedLimits::default()
        });
        assert_eq!(take(&mut meters, "a", 601, ms(0)).unwrap_err().wait, None);
        take(&mut meters, "a", 590, ms(0)).unwrap();
        let reached = take(&mut meters, "a", 30, ms(0)).unwrap_err();
        assert_eq!(reached.limit, Limit::TokensPerMinute);
        assert_eq!(reached.wait, Some(ms(2_000)));
    }

    #[test]
    fn a_refused_request_uses_nothing() {
        let mut meters = rpm(1, None);
        take(&mut meters, "a", 1, ms(0)).unwrap();
        for _ in 0..5 {
            take(&mut meters, "a", 1, ms(0)).unwrap_err();
        }
        assert!(take(&mut meters, "a", 1, ms(60_000)).is_ok());
    }

    #[test]
    fn a_day_ends_for_all_keys_or_for_each() {
        let mut limits = SimulatedLimits {
            requests_per_day: Some(2),
            day_shared: Some(true),
            ..SimulatedLimits::default()
        };
        let mut shared = Meters::new(limits.clone());
        take(&mut shared, "a", 1, ms(0)).unwrap();
        take(&mut shared, "b", 1, ms(0)).unwrap();
        let reached = take(&mut shared, "c", 1, Duration::from_hours(23)).unwrap_err();
        assert_eq!(reached.wait, Some(Duration::from_hours(1)));
        assert!(take(&mut shared, "c", 1, Duration::from_hours(24)).is_ok());

        limits.day_shared = Some(false);
        let mut own = Meters::new(limits);
        take(&mut own, "a", 1, ms(0)).unwrap();
        take(&mut own, "a", 1, ms(0)).unwrap();
        assert!(take(&mut own, "a", 1, ms(0)).is_err());
        assert!(take(&mut own, "b", 1, ms(0)).is_ok());
    }
}
