//! The pace: how fast each key, and each group of keys, may send.
//!
//! A permit is taken before a job is claimed, so that no claimed job waits for a limit; one that
//! found no job is given back. Nobody sleeps in here.

mod adaptive;
mod meter;
mod rate_headers;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::keyring::KeyIndex;
use crate::domain::time::Timestamp;
use crate::provider::RateHeaders;

use meter::Meter;

pub(super) use meter::{Blocked, Why};

use super::RunKey;

/// A permit to send one request with a key now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    pub(super) key: KeyIndex,
    /// The tokens that it was taken for.
    pub(super) tokens: u32,
}

/// The pace of all keys.
#[derive(Debug)]
pub(super) struct RateLimiter {
    /// The meters of the keys, then those of the groups.
    meters: Vec<Meter>,
    /// The meter of each key's group.
    groups: Vec<Option<usize>>,
    /// What each key was last refused for.
    blocked: Vec<Option<Blocked>>,
    /// The tokens that the next request is expected to have.
    expected: u32,
}

impl RateLimiter {
    /// Makes the pace of the keys of a run.
    pub(super) fn new(keys: &[RunKey], now: Timestamp) -> Self {
        let meter = |key: &RunKey| Meter::new(key.limits, key.today, now);
        let mut meters: Vec<_> = keys.iter().map(meter).collect();
        let mut named = BTreeMap::new();
        let mut groups = Vec::with_capacity(keys.len());
        for key in keys {
            groups.push(key.key.group.as_ref().map(|group| {
                *named.entry(group).or_insert_with(|| {
                    let members = keys
                        .iter()
                        .filter(|other| other.key.group.as_ref() == Some(group));
                    let today = members.map(|member| member.today).sum();
                    meters.push(Meter::new(key.group_limits, today, now));
                    meters.len() - 1
                })
            }));
        }
        Self {
            meters,
            groups,
            blocked: vec![None; keys.len()],
            expected: 1,
        }
    }

    /// Takes a permit to send with a key now. When there is none, `blocked` tells why.
    pub(super) fn take(&mut self, key: KeyIndex, now: Timestamp) -> Option<Permit> {
        let tokens = self.expected;
        let taken = self.meters[key.0].take(tokens, now).and_then(|()| {
            let Some(group) = self.groups[key.0] else {
                return Ok(());
            };
            let taken = self.meters[group].take(tokens, now);
            if taken.is_err() {
                self.meters[key.0].give_back(tokens);
            }
            taken
        });
        self.blocked[key.0] = taken.err();
        taken.is_ok().then_some(Permit { key, tokens })
    }

    /// Makes a permit one for a request of `tokens`. When there are not as many, the permit stays
    /// as it was, and the next ones are taken for so many.
    pub(super) fn fit(&mut self, permit: &mut Permit, tokens: u32, now: Timestamp) -> bool {
        let more = tokens.saturating_sub(permit.tokens);
        let meters = self.meters_of(permit.key);
        for (at, meter) in meters.iter().enumerate() {
            if more > 0 && self.meters[*meter].take_more(more, now).is_err() {
                for taken in &meters[..at] {
                    self.meters[*taken].correct(-f64::from(more));
                }
                self.expected = tokens;
                return false;
            }
        }
        let fewer = permit.tokens.saturating_sub(tokens);
        self.correct(permit.key, -f64::from(fewer));
        permit.tokens = tokens;
        // What comes next is like what came before, the last weighing a fifth.
        let expected = (u64::from(self.expected) * 4 + u64::from(tokens)) / 5;
        self.expected = u32::try_from(expected).unwrap_or(u32::MAX).max(1);
        true
    }

    /// Gives a permit back with which nothing was sent.
    pub(super) fn give_back(&mut self, permit: Permit) {
        for meter in self.meters_of(permit.key) {
            self.meters[meter].give_back(permit.tokens);
        }
    }

    /// Returns why the key got no permit when it was last asked, and when it gets one.
    pub(super) fn blocked(&self, key: KeyIndex) -> Option<Blocked> {
        self.blocked[key.0]
    }

    /// Tells whether tokens are limited at all, so that they must be estimated.
    pub(super) fn counts_tokens(&self) -> bool {
        self.meters.iter().any(Meter::counts_tokens)
    }

    /// Returns the most tokens that a request may have with any key; `None` when some key has no
    /// limit.
    pub(super) fn largest(&self) -> Option<NonZeroU32> {
        let keys = (0..self.groups.len()).map(KeyIndex);
        let of_key = |key| {
            let meters = self.meters_of(key);
            meters
                .iter()
                .filter_map(|meter| self.meters[*meter].largest())
                .min()
        };
        keys.map(of_key)
            .try_fold(NonZeroU32::MIN, |most, largest| Some(most.max(largest?)))
    }

    /// Tells whether any key has a limit a day, so that its requests must be remembered.
    pub(super) fn counts_days(&self) -> bool {
        self.meters.iter().any(Meter::counts_days)
    }

    /// Returns when the present day of a key began.
    pub(super) fn day_start(&self, key: KeyIndex, now: Timestamp) -> Timestamp {
        let meter = self.groups[key.0].filter(|group| self.meters[*group].counts_days());
        self.meters[meter.unwrap_or(key.0)].day_start(now)
    }

    /// Notes that a request has come back.
    pub(super) fn came_back(&mut self, key: KeyIndex) {
        for meter in self.meters_of(key) {
            self.meters[meter].came_back();
        }
    }

    /// Settles the tokens of a request that was answered and used `used` of them.
    pub(super) fn settle(&mut self, permit: Permit, used: u64) {
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        self.correct(permit.key, f64::from(used) - f64::from(permit.tokens));
    }

    /// Notes what a provider tells of its limits; `ahead` is how far its clock is ahead of ours, in
    /// milliseconds.
    pub(super) fn apply_headers(
        &mut self,
        key: KeyIndex,
        headers: &RateHeaders,
        ahead: i64,
        now: Timestamp,
    ) {
        if *headers == RateHeaders::default() {
            return;
        }
        let there = Timestamp::from_millis(now.as_millis().saturating_add(ahead));
        let reported = rate_headers::read(headers, there, now);
        let holder = self.holder(key);
        self.meters[holder].apply_headers(reported);
    }

    /// Notes that a request was throttled, with the wait that was asked for. Tells whether it was
    /// for a rate, and one is kept.
    pub(super) fn throttled(&mut self, key: KeyIndex, wait: Duration, now: Timestamp) -> bool {
        let holder = self.holder(key);
        self.meters[holder].throttled(wait, now)
    }

    fn correct(&mut self, key: KeyIndex, tokens: f64) {
        for meter in self.meters_of(key) {
            self.meters[meter].correct(tokens);
        }
    }

    fn meters_of(&self, key: KeyIndex) -> Vec<usize> {
        let mut meters = vec![key.0];
        meters.extend(self.groups[key.0]);
        meters
    }

    /// The meter that a provider's word is about: limits belong to the account.
    fn holder(&self, key: KeyIndex) -> usize {
        self.groups[key.0].unwrap_or(key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::Key;
    use crate::domain::limits::KeyLimits;

    const NOW: Timestamp = Timestamp::from_millis(1_795_464_000_000);
    const KEY: KeyIndex = KeyIndex(0);
    const OTHER: KeyIndex = KeyIndex(1);

    fn key(group: Option<&str>, limits: KeyLimits, group_limits: KeyLimits) -> RunKey {
        let mut key = Key::new(String::new(), String::new());
        key.group = group.map(str::to_owned);
        RunKey {
            key,
            secret: None,
            limits,
            group_limits,
            today: 0,
        }
    }

    fn rpm(n: u32) -> KeyLimits {
        KeyLimits {
            rpm: NonZeroU32::new(n),
            ..KeyLimits::default()
        }
    }

    fn tpm(n: u32) -> KeyLimits {
        KeyLimits {
            tpm: NonZeroU32::new(n),
            ..KeyLimits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_a_group_share_its_limit_and_keep_their_own() {
        let keys = [
            key(Some("a"), rpm(60), rpm(90)),
            key(Some("a"), rpm(60), rpm(90)),
        ];
        let mut rate_limiter = RateLimiter::new(&keys, NOW);
        assert!(rate_limiter.take(KEY, NOW).is_some());
        assert!(rate_limiter.take(OTHER, NOW).is_none());
        assert_eq!(
            rate_limiter.blocked(OTHER).map(|blocked| blocked.why),
            Some(Why::Requests)
        );
        tokio::time::advance(Duration::from_millis(500)).await;
        // The group has one again, and this key has not used its own.
        assert!(rate_limiter.take(KEY, NOW).is_none());
        assert!(rate_limiter.take(OTHER, NOW).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_given_back_is_not_lost() {
        let mut rate_limiter = RateLimiter::new(&[key(None, rpm(60), KeyLimits::default())], NOW);
        let permit = rate_limiter.take(KEY, NOW).unwrap();
        rate_limiter.give_back(permit);
        assert!(rate_limiter.take(KEY, NOW).is_some());
        assert!(rate_limiter.take(KEY, NOW).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_larger_than_expected_waits_for_its_tokens() {
        let mut rate_limiter = RateLimiter::new(&[key(None, tpm(6000), KeyLimits::default())], NOW);
        let mut permit = rate_limiter.take(KEY, NOW).unwrap();
        assert!(rate_limiter.fit(&mut permit, 80, NOW));
        let next = rate_limiter.take(KEY, NOW);
        assert!(next.is_none(), "the tokens of this second are used up");
        tokio::time::advance(Duration::from_millis(300)).await;
        let mut next = rate_limiter.take(KEY, NOW).unwrap();
        assert!(!rate_limiter.fit(&mut next, 3000, NOW) || next.tokens == 3000);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_settled_after_the_answer() {
        let mut rate_limiter = RateLimiter::new(&[key(None, tpm(6000), KeyLimits::default())], NOW);
        let mut permit = rate_limiter.take(KEY, NOW).unwrap();
        assert!(rate_limiter.fit(&mut permit, 80, NOW));
        rate_limiter.came_back(KEY);
        rate_limiter.settle(permit, 10);
        let again = rate_limiter.take(KEY, NOW).unwrap();
        rate_limiter.came_back(KEY);
        rate_limiter.settle(again, 6000);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(
            rate_limiter.take(KEY, NOW).is_none(),
            "what was used beyond the estimate is paid first"
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(rate_limiter.take(KEY, NOW).is_some());
    }

    #[test]
    fn the_largest_request_is_that_of_the_most_generous_key() {
        let limited = |n| key(None, tpm(n), KeyLimits::default());
        let largest = |keys: &[RunKey]| RateLimiter::new(keys, NOW).largest().map(NonZeroU32::get);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        assert_eq!(largest(&[limited(100), limited(700)]), Some(700));
        assert_eq!(
            largest(&[limited(100), key(None, rpm(1), KeyLimits::default())]),
            None
        );
        assert_eq!(largest(&[key(Some("a"), tpm(900), tpm(50))]), Some(50));
    }
}
