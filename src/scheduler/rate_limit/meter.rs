//! A meter enforces the limits of one key, or of one group of keys.
//!
//! Limits that the user has not set are learned from the headers of responses.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::limits::KeyLimits;
use crate::domain::time::Timestamp;

use super::adaptive::AdaptiveRate;

/// The longest requested wait that indicates a rate limit. Longer ones indicate a quota.
const MAX_RATE_WAIT: Duration = Duration::from_mins(2);
/// Throttled responses within this time of an earlier one belong to the same overload, and are
/// ignored.
const SAME_OVERLOAD: Duration = Duration::from_millis(250);

/// A limit that the provider reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedLimit {
    /// A limit per minute.
    Minute {
        /// The units per minute.
        limit: NonZeroU32,
        /// The units that remain now, if reported.
        remaining: Option<u32>,
    },
    /// The remaining units of a window longer than a minute.
    LongWindow {
        /// The units that remain.
        remaining: u32,
        /// The end of the window.
        until: Timestamp,
    },
}

/// Why no request can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheduler) enum BlockReason {
    /// The maximum number of requests is in flight.
    InFlight,
    /// The request rate is used up.
    Requests,
    /// The token rate is used up.
    Tokens,
    /// The daily requests are used up.
    Day,
}

/// Why no request can be sent now, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheduler) struct Blocked {
    /// When a request can be sent; `None` if a request in flight must finish first.
    pub(in crate::scheduler) until: Option<Timestamp>,
    pub(in crate::scheduler) reason: BlockReason,
}

impl Blocked {
    fn new(until: Option<Timestamp>, reason: BlockReason) -> Self {
        Self { until, reason }
    }
}

/// The limits and the usage of a key or a group.
#[derive(Debug)]
pub(super) struct Meter {
    limits: KeyLimits,
    requests: Option<AdaptiveRate>,
    tokens: Option<AdaptiveRate>,
    throttled_at: Option<Timestamp>,
    in_flight: u32,
    /// Requests sent on the current day.
    today: u32,
    day_ends: Timestamp,
    /// The remaining requests of a long window as reported by the provider, and when it ends.
    remaining: Option<(u32, Timestamp)>,
}

impl Meter {
    /// Creates a meter with `today` requests already sent on the current day.
    pub(super) fn new(limits: KeyLimits, today: u32, now: Timestamp) -> Self {
        Self {
            requests: limits.rpm.map(|rpm| AdaptiveRate::full(rpm, now)),
            tokens: limits.tpm.map(|tpm| AdaptiveRate::full(tpm, now)),
            throttled_at: None,
            in_flight: 0,
            today,
            day_ends: limits.zone.next_day(now),
            remaining: None,
            limits,
        }
    }

    /// Returns the maximum number of tokens per request, if known.
    pub(super) fn max_request_tokens(&self) -> Option<NonZeroU32> {
        self.limits.tpm
    }

    /// Returns whether tokens are limited.
    pub(super) fn has_token_limit(&self) -> bool {
        self.tokens.is_some()
    }

    /// Returns whether the requests per day are limited.
    pub(super) fn has_daily_limit(&self) -> bool {
        self.limits.rpd.is_some()
    }

    /// Returns the start of the current day.
    pub(super) fn day_start(&self, now: Timestamp) -> Timestamp {
        self.limits.zone.day_start(now)
    }

    /// Acquires a permit for a request with this many tokens.
    pub(super) fn try_acquire(&mut self, tokens: u32, now: Timestamp) -> Result<(), Blocked> {
        self.check_counts(now)?;
        if let Some(rate) = &mut self.requests {
            rate.try_acquire(1, now)
                .map_err(|wait| Blocked::new(Some(now + wait), BlockReason::Requests))?;
        }
        if let Some(rate) = &mut self.tokens
            && let Err(wait) = rate.try_acquire(tokens, now)
        {
            if let Some(rate) = &mut self.requests {
                rate.adjust(-1.0, now);
            }
            return Err(Blocked::new(Some(now + wait), BlockReason::Tokens));
        }
        self.in_flight += 1;
        self.today += 1;
        if let Some((remaining, _)) = &mut self.remaining {
            *remaining = remaining.saturating_sub(1);
        }
        Ok(())
    }

    fn check_counts(&mut self, now: Timestamp) -> Result<(), Blocked> {
        let max = self.limits.in_flight.map_or(u32::MAX, NonZeroU32::get);
        if self.in_flight >= max {
            return Err(Blocked::new(None, BlockReason::InFlight));
        }
        if now >= self.day_ends {
            self.today = 0;
            self.day_ends = self.limits.zone.next_day(now);
        }
        if self.limits.rpd.is_some_and(|max| self.today >= max.get()) {
            return Err(Blocked::new(Some(self.day_ends), BlockReason::Day));
        }
        self.remaining = self.remaining.filter(|(_, until)| *until > now);
        match self.remaining {
            // The requests in flight may not be counted yet; their responses will report the rest.
            Some((0, _)) if self.in_flight > 0 => Err(Blocked::new(None, BlockReason::Day)),
            Some((0, until)) => Err(Blocked::new(Some(until), BlockReason::Day)),
            _ => Ok(()),
        }
    }

    /// Acquires tokens in addition to those of a permit.
    pub(super) fn try_acquire_tokens(
        &mut self,
        tokens: u32,
        now: Timestamp,
    ) -> Result<(), Blocked> {
        match &mut self.tokens {
            Some(rate) => rate
                .try_acquire(tokens, now)
                .map_err(|wait| Blocked::new(Some(now + wait), BlockReason::Tokens)),
            None => Ok(()),
        }
    }

    /// Refunds an unused permit.
    pub(super) fn refund(&mut self, tokens: u32, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.today = self.today.saturating_sub(1);
        if let Some((remaining, _)) = &mut self.remaining {
            *remaining += 1;
        }
        if let Some(rate) = &mut self.requests {
            rate.adjust(-1.0, now);
        }
        self.adjust(-f64::from(tokens), now);
    }

    /// Adjusts the token usage by `tokens`, which can be negative.
    pub(super) fn adjust(&mut self, tokens: f64, now: Timestamp) {
        if let Some(rate) = &mut self.tokens {
            rate.adjust(tokens, now);
        }
    }

    /// Records that a request has finished.
    pub(super) fn request_finished(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Applies the limits that the provider reports, except where the user has set one.
    pub(super) fn apply_reported(
        &mut self,
        [requests, tokens]: [Option<ReportedLimit>; 2],
        now: Timestamp,
    ) {
        if let Some(ReportedLimit::LongWindow { remaining, until }) = requests {
            self.remaining = Some((remaining.saturating_sub(self.in_flight), until));
        }
        if let (None, Some(ReportedLimit::Minute { limit, remaining })) =
            (self.limits.rpm, requests)
        {
            set_reported_rate(&mut self.requests, (limit, remaining), now);
        }
        if let (None, Some(ReportedLimit::Minute { limit, remaining })) = (self.limits.tpm, tokens)
        {
            set_reported_rate(&mut self.tokens, (limit, remaining), now);
        }
    }

    /// Records a throttled request and the wait that was requested. Returns whether the wait is for
    /// a rate limit that is known.
    pub(super) fn record_throttle(&mut self, wait: Duration, now: Timestamp) -> bool {
        if wait > MAX_RATE_WAIT {
            return false;
        }
        let is_new = self
            .throttled_at
            .is_none_or(|at| now.since(at) >= SAME_OVERLOAD);
        if is_new {
            let rates = [&mut self.requests, &mut self.tokens];
            let rates = rates.into_iter().flatten();
            rates.for_each(|rate| rate.slow_down(now));
            self.throttled_at = Some(now);
        }
        self.requests.is_some() || self.tokens.is_some()
    }
}

fn set_reported_rate(
    rate: &mut Option<AdaptiveRate>,
    (per_minute, remaining): (NonZeroU32, Option<u32>),
    now: Timestamp,
) {
    match rate {
        Some(known) if known.per_minute() == per_minute => {}
        Some(known) => *known = AdaptiveRate::empty(per_minute, now),
        None if remaining == Some(0) => *rate = Some(AdaptiveRate::empty(per_minute, now)),
        None => *rate = Some(AdaptiveRate::full(per_minute, now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_464_000_000);

    fn meter(set: impl Fn(&mut KeyLimits)) -> Meter {
        let mut limits = KeyLimits::default();
        set(&mut limits);
        Meter::new(limits, 0, NOW)
    }

    fn some(n: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(n)
    }

    /// Acquires permits of one token until none is left; returns how many, and why.
    fn drain(meter: &mut Meter, now: Timestamp) -> (u32, Blocked) {
        for count in 0..100_000 {
            if let Err(blocked) = meter.try_acquire(1, now) {
                return (count, blocked);
            }
        }
        panic!("there is no limit");
    }

    #[test]
    fn limits_requests_in_flight() {
        let mut meter = meter(|limits| limits.in_flight = some(2));
        let full = Blocked::new(None, BlockReason::InFlight);
        assert_eq!(drain(&mut meter, NOW), (2, full));
        meter.request_finished();
        assert_eq!(drain(&mut meter, NOW), (1, full));
    }

    #[test]
    fn the_daily_limit_includes_earlier_runs_and_resets_at_midnight() {
        let limits = KeyLimits {
            rpd: some(5),
            ..KeyLimits::default()
        };
        let midnight = limits.zone.next_day(NOW);
        let mut meter = Meter::new(limits, 3, NOW);
        let over = Blocked::new(Some(midnight), BlockReason::Day);
        assert_eq!(drain(&mut meter, NOW), (2, over));
        meter.refund(1, NOW);
        assert_eq!(drain(&mut meter, NOW), (1, over));
        assert_eq!(drain(&mut meter, midnight).0, 5);
    }

    #[test]
    fn a_lack_of_tokens_does_not_consume_requests() {
        let mut meter = meter(|limits| (limits.rpm, limits.tpm) = (some(60), some(600)));
        assert_eq!(meter.try_acquire(600, NOW), Ok(()));
        let blocked = meter.try_acquire(1, NOW + Duration::from_secs(2));
        assert_eq!(blocked.unwrap_err().reason, BlockReason::Tokens);
        let later = NOW + Duration::from_secs(62);
        // One request was gained since then, and the refunded one is still available.
        assert_eq!(meter.try_acquire(1, later), Ok(()));
        assert_eq!(meter.try_acquire(1, later), Ok(()));
        let blocked = meter.try_acquire(1, later);
        assert_eq!(blocked.unwrap_err().reason, BlockReason::Requests);
    }

    #[test]
    fn reported_limits_apply_unless_the_user_has_set_one() {
        let reported = |remaining| {
            let limit = NonZeroU32::new(600).unwrap();
            [Some(ReportedLimit::Minute { limit, remaining }), None]
        };
        let mut empty = meter(|_| ());
        empty.apply_reported(reported(Some(0)), NOW);
        assert_eq!(drain(&mut empty, NOW).0, 0);
        let reported = reported(Some(599));
        let mut free = meter(|_| ());
        free.apply_reported(reported, NOW);
        assert_eq!(drain(&mut free, NOW).0, 9);
        free.apply_reported(reported, NOW);
        assert_eq!(drain(&mut free, NOW).0, 0);
        let mut set = meter(|limits| limits.rpm = some(180));
        set.apply_reported(reported, NOW);
        assert_eq!(drain(&mut set, NOW).0, 2);
    }

    #[test]
    fn sends_no_more_than_the_remaining_requests_of_a_long_window() {
        let mut meter = meter(|_| ());
        let until = NOW + Duration::from_hours(4);
        let window = |remaining| [Some(ReportedLimit::LongWindow { remaining, until }), None];
        let over = |until| Blocked::new(until, BlockReason::Day);
        assert_eq!(meter.try_acquire(1, NOW), Ok(()));
        meter.apply_reported(window(3), NOW);
        assert_eq!(drain(&mut meter, NOW), (2, over(None)));
        for _ in 0..3 {
            meter.request_finished();
        }
        meter.apply_reported(window(0), NOW);
        assert_eq!(drain(&mut meter, NOW), (0, over(Some(until))));
        assert_eq!(meter.try_acquire(1, until), Ok(()));
    }

    #[test]
    fn responses_throttled_together_slow_down_the_rate_once() {
        let mut meter = meter(|limits| limits.rpm = some(60_000));
        assert_eq!(drain(&mut meter, NOW).0, 900);
        for moment in 0..8 {
            for _ in 0..50 {
                assert!(meter.record_throttle(Duration::ZERO, NOW + SAME_OVERLOAD * moment));
            }
        }
        let got = drain(&mut meter, NOW + Duration::from_millis(500)).0;
        assert!((330..=400).contains(&got), "{got} of 500");
    }

    #[test]
    fn a_quota_does_not_slow_down_the_rate() {
        let mut meter = meter(|limits| limits.rpm = some(600));
        assert_eq!(drain(&mut meter, NOW).0, 9);
        assert!(!meter.record_throttle(Duration::from_hours(3), NOW));
        assert_eq!(drain(&mut meter, NOW + Duration::from_secs(1)).0, 9);
    }
}
