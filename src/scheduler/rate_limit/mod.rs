//! Rate limits of keys and groups of keys.
//!
//! A permit is acquired before a job is claimed, so claimed jobs never wait for a limit. Unused
//! permits are refunded. Nothing in this module sleeps.

mod adaptive;
mod meter;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::keyring::KeyIndex;
use crate::domain::limits::KeyLimits;
use crate::domain::time::Timestamp;

use meter::Meter;

pub use meter::ReportedLimit;
pub(super) use meter::{BlockReason, Blocked};

/// Permission to send one request with a key now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    pub(super) key: KeyIndex,
    /// The tokens reserved for the request.
    pub(super) tokens: u32,
}

/// The limits of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyQuota {
    /// The group of keys that share an account, if any.
    pub group: Option<String>,
    /// The limits of the key.
    pub limits: KeyLimits,
    /// The limits of the key's group, ignored without a group.
    pub group_limits: KeyLimits,
    /// Requests sent by earlier runs on the current day.
    pub today: u32,
}

/// The rate limits of all keys.
#[derive(Debug)]
pub(super) struct RateLimiter {
    /// The meters of the keys, followed by those of the groups.
    meters: Vec<Meter>,
    /// The index of the meter of each key's group.
    groups: Vec<Option<usize>>,
    /// Why each key got no permit when last tried.
    blocked: Vec<Option<Blocked>>,
    /// The expected number of tokens of the next request.
    expected_tokens: u32,
    /// Whether any key has a daily limit.
    has_daily_limit: bool,
}

impl RateLimiter {
    /// Creates the rate limiter for the keys of an engine.
    pub(super) fn new(keys: &[KeyQuota], now: Timestamp) -> Self {
        let meter = |key: &KeyQuota| Meter::new(key.limits.clone(), key.today, now);
        let mut meters: Vec<_> = keys.iter().map(meter).collect();
        let mut group_meters = BTreeMap::new();
        let mut groups = Vec::with_capacity(keys.len());
        for key in keys {
            groups.push(key.group.as_ref().map(|group| {
                *group_meters.entry(group).or_insert_with(|| {
                    let members = keys
                        .iter()
                        .filter(|other| other.group.as_ref() == Some(group));
                    let today = members.map(|member| member.today).sum();
                    meters.push(Meter::new(key.group_limits.clone(), today, now));
                    meters.len() - 1
                })
            }));
        }
        Self {
            has_daily_limit: meters.iter().any(Meter::has_daily_limit),
            meters,
            groups,
            blocked: vec![None; keys.len()],
            expected_tokens: 1,
        }
    }

    /// Acquires a permit for a key. If there is none now, `blocked` returns the reason.
    pub(super) fn try_acquire(&mut self, key: KeyIndex, now: Timestamp) -> Option<Permit> {
        let tokens = self.expected_tokens;
        let acquired = self.meters[key.0].try_acquire(tokens, now).and_then(|()| {
            let Some(group) = self.groups[key.0] else {
                return Ok(());
            };
            let acquired = self.meters[group].try_acquire(tokens, now);
            if acquired.is_err() {
                self.meters[key.0].refund(tokens, now);
            }
            acquired
        });
        self.blocked[key.0] = acquired.err();
        acquired.is_ok().then_some(Permit { key, tokens })
    }

    /// Changes the tokens of a permit. Returns whether enough tokens were available. If not, the
    /// permit is unchanged, and later permits reserve this number of tokens.
    pub(super) fn resize(&mut self, permit: &mut Permit, tokens: u32, now: Timestamp) -> bool {
        let more = tokens.saturating_sub(permit.tokens);
        let meters = self.meters_of(permit.key);
        for (at, meter) in meters.iter().enumerate() {
            if more > 0 && self.meters[*meter].try_acquire_tokens(more, now).is_err() {
                for adjusted in &meters[..at] {
                    self.meters[*adjusted].adjust(-f64::from(more), now);
                }
                self.expected_tokens = tokens;
                return false;
            }
        }
        let fewer = permit.tokens.saturating_sub(tokens);
        self.adjust(permit.key, -f64::from(fewer), now);
        permit.tokens = tokens;
        // Moving average in which the last request has a weight of one fifth.
        let expected_tokens = (u64::from(self.expected_tokens) * 4 + u64::from(tokens)) / 5;
        self.expected_tokens = u32::try_from(expected_tokens).unwrap_or(u32::MAX).max(1);
        true
    }

    /// Refunds an unused permit.
    pub(super) fn refund(&mut self, permit: Permit, now: Timestamp) {
        for meter in self.meters_of(permit.key) {
            self.meters[meter].refund(permit.tokens, now);
        }
    }

    /// Returns why the key got no permit when last tried, and when one is available.
    pub(super) fn blocked(&self, key: KeyIndex) -> Option<Blocked> {
        self.blocked[key.0]
    }

    /// Returns whether any key has a token limit, so that tokens must be estimated.
    pub(super) fn has_token_limit(&self) -> bool {
        self.meters.iter().any(Meter::has_token_limit)
    }

    /// Returns the maximum number of tokens that any key allows per request; `None` if a key has no
    /// limit.
    pub(super) fn max_request_tokens(&self) -> Option<NonZeroU32> {
        let keys = (0..self.groups.len()).map(KeyIndex);
        let max_of_key = |key| {
            let meters = self.meters_of(key).into_iter();
            let limits = meters.filter_map(|meter| self.meters[meter].max_request_tokens());
            limits.min()
        };
        keys.map(max_of_key)
            .try_fold(NonZeroU32::MIN, |most, max_request_tokens| {
                Some(most.max(max_request_tokens?))
            })
    }

    /// Returns whether any key has a daily limit, so that its requests must be counted across runs.
    pub(super) fn has_daily_limit(&self) -> bool {
        self.has_daily_limit
    }

    /// Returns the start of the current day of a key.
    pub(super) fn day_start(&self, key: KeyIndex, now: Timestamp) -> Timestamp {
        let meter = self.groups[key.0].filter(|group| self.meters[*group].has_daily_limit());
        self.meters[meter.unwrap_or(key.0)].day_start(now)
    }

    /// Records that a request has finished.
    pub(super) fn request_finished(&mut self, key: KeyIndex) {
        for meter in self.meters_of(key) {
            self.meters[meter].request_finished();
        }
    }

    /// Replaces the reserved tokens of a request by the tokens it used.
    pub(super) fn settle_tokens(&mut self, permit: Permit, used: u64, now: Timestamp) {
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        self.adjust(permit.key, f64::from(used) - f64::from(permit.tokens), now);
    }

    /// Applies the limits of requests and tokens that a provider reports for a key.
    pub(super) fn apply_reported(
        &mut self,
        key: KeyIndex,
        limits: [Option<ReportedLimit>; 2],
        now: Timestamp,
    ) {
        self.account_meter(key).apply_reported(limits, now);
    }

    /// Records a throttled request and the wait that was requested. Returns whether the wait is for
    /// a rate limit that is known.
    pub(super) fn record_throttle(
        &mut self,
        key: KeyIndex,
        wait: Duration,
        now: Timestamp,
    ) -> bool {
        self.account_meter(key).record_throttle(wait, now)
    }

    fn adjust(&mut self, key: KeyIndex, tokens: f64, now: Timestamp) {
        for meter in self.meters_of(key) {
            self.meters[meter].adjust(tokens, now);
        }
    }

    fn meters_of(&self, key: KeyIndex) -> Vec<usize> {
        let mut meters = vec![key.0];
        meters.extend(self.groups[key.0]);
        meters
    }

    /// Returns the meter that reported limits apply to, since they belong to the account.
    fn account_meter(&mut self, key: KeyIndex) -> &mut Meter {
        &mut self.meters[self.groups[key.0].unwrap_or(key.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_464_000_000);
    const KEY: KeyIndex = KeyIndex(0);
    const OTHER: KeyIndex = KeyIndex(1);

    fn key(group: Option<&str>, limits: KeyLimits, group_limits: KeyLimits) -> KeyQuota {
        KeyQuota {
            group: group.map(str::to_owned),
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

    #[test]
    fn keys_of_a_group_share_its_limit_and_keep_their_own() {
        let keys = || key(Some("a"), rpm(60), rpm(90));
        let mut rate_limiter = RateLimiter::new(&[keys(), keys()], NOW);
        assert!(rate_limiter.try_acquire(KEY, NOW).is_some());
        assert!(rate_limiter.try_acquire(OTHER, NOW).is_none());
        let reason = rate_limiter.blocked(OTHER).map(|blocked| blocked.reason);
        assert_eq!(reason, Some(BlockReason::Requests));
        let later = NOW + Duration::from_millis(500);
        // The group has a request available again, and this key has not used its own.
        assert!(rate_limiter.try_acquire(KEY, later).is_none());
        assert!(rate_limiter.try_acquire(OTHER, later).is_some());
    }

    #[test]
    fn a_refunded_permit_can_be_acquired_again() {
        let mut rate_limiter = RateLimiter::new(&[key(None, rpm(60), KeyLimits::default())], NOW);
        let permit = rate_limiter.try_acquire(KEY, NOW).unwrap();
        rate_limiter.refund(permit, NOW);
        assert!(rate_limiter.try_acquire(KEY, NOW).is_some());
        assert!(rate_limiter.try_acquire(KEY, NOW).is_none());
    }

    #[test]
    fn requests_larger_than_expected_wait_for_tokens() {
        let mut rate_limiter = RateLimiter::new(&[key(None, tpm(6000), KeyLimits::default())], NOW);
        let mut permit = rate_limiter.try_acquire(KEY, NOW).unwrap();
        assert!(rate_limiter.resize(&mut permit, 80, NOW));
        let next = rate_limiter.try_acquire(KEY, NOW);
        assert!(next.is_none(), "the tokens of this second are used up");
        let later = NOW + Duration::from_millis(300);
        let mut next = rate_limiter.try_acquire(KEY, later).unwrap();
        assert!(!rate_limiter.resize(&mut next, 3000, later) || next.tokens == 3000);
    }

    #[test]
    fn tokens_are_settled_after_the_response() {
        let mut rate_limiter = RateLimiter::new(&[key(None, tpm(6000), KeyLimits::default())], NOW);
        let mut permit = rate_limiter.try_acquire(KEY, NOW).unwrap();
        assert!(rate_limiter.resize(&mut permit, 80, NOW));
        rate_limiter.request_finished(KEY);
        rate_limiter.settle_tokens(permit, 10, NOW);
        let again = rate_limiter.try_acquire(KEY, NOW).unwrap();
        rate_limiter.request_finished(KEY);
        rate_limiter.settle_tokens(again, 6000, NOW);
        let blocked = rate_limiter.try_acquire(KEY, NOW + Duration::from_secs(50));
        assert!(
            blocked.is_none(),
            "tokens used beyond the estimate are deducted first"
        );
        let later = NOW + Duration::from_mins(1);
        assert!(rate_limiter.try_acquire(KEY, later).is_some());
    }

    #[test]
    fn the_key_with_the_highest_token_limit_determines_the_largest_request() {
        let limited = |n| key(None, tpm(n), KeyLimits::default());
        let unlimited = key(None, rpm(1), KeyLimits::default());
        for (keys, expected) in [
            (vec![limited(100), limited(700)], Some(700)),
            (vec![limited(100), unlimited], None),
            (vec![key(Some("a"), tpm(900), tpm(50))], Some(50)),
        ] {
            let max = RateLimiter::new(&keys, NOW).max_request_tokens();
            assert_eq!(max.map(NonZeroU32::get), expected);
        }
    }
}
