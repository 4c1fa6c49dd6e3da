//! A meter: what one key, or one group of keys, may send and has sent.
//!
//! Where the user sets no limit it learns one from what the provider tells with its responses.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::limits::KeyLimits;
use crate::domain::time::Timestamp;

use super::adaptive::AdaptiveRate;
use super::rate_headers::ReportedLimit;

/// A throttled answer that asks for a longer wait than this is about a quota and not about a rate.
const LONGEST_RATE_WAIT: Duration = Duration::from_mins(2);
/// Within this time after a throttled answer others are no news: they were under way with it.
const SAME_NEWS: Duration = Duration::from_millis(250);

/// Why nothing may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runner) enum Why {
    /// As many requests are in flight as may be.
    InFlight,
    /// The requests of this moment are used up.
    Requests,
    /// The tokens of this moment are used up.
    Tokens,
    /// The requests of the day are used up.
    Day,
}

/// That nothing may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runner) struct Blocked {
    /// When something may be; `None`: when a request has come back.
    pub(in crate::runner) until: Option<Timestamp>,
    /// Why.
    pub(in crate::runner) why: Why,
}

/// What a key or a group may send.
#[derive(Debug)]
pub(super) struct Meter {
    limits: KeyLimits,
    requests: Option<AdaptiveRate>,
    tokens: Option<AdaptiveRate>,
    throttled_at: Option<Timestamp>,
    in_flight: u32,
    /// Requests of the day, and when it ends.
    today: u32,
    day_ends: Timestamp,
    /// What the provider says is left in a long window, and when that ends.
    left: Option<(u32, Timestamp)>,
}

impl Meter {
    /// Makes a meter of which `today` requests of this day are used.
    pub(super) fn new(limits: KeyLimits, today: u32, now: Timestamp) -> Self {
        Self {
            limits,
            requests: limits.rpm.map(AdaptiveRate::rested),
            tokens: limits.tpm.map(AdaptiveRate::rested),
            throttled_at: None,
            in_flight: 0,
            today,
            day_ends: limits.zone.next_day(now),
            left: None,
        }
    }

    /// Returns the most tokens that one request may have, where that is known.
    pub(super) fn largest(&self) -> Option<NonZeroU32> {
        self.limits.tpm
    }

    /// Tells whether tokens are limited.
    pub(super) fn counts_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Tells whether the requests of a day are limited.
    pub(super) fn counts_days(&self) -> bool {
        self.limits.rpd.is_some()
    }

    /// Returns when the present day began.
    pub(super) fn day_start(&self, now: Timestamp) -> Timestamp {
        self.limits.zone.day_start(now)
    }

    /// Takes a permit for a request of so many tokens.
    pub(super) fn take(&mut self, tokens: u32, now: Timestamp) -> Result<(), Blocked> {
        self.check_counts(now)?;
        if let Some(rate) = &mut self.requests {
            rate.take(1)
                .map_err(|wait| blocked(wait, Why::Requests, now))?;
        }
        if let Some(rate) = &mut self.tokens
            && let Err(wait) = rate.take(tokens)
        {
            if let Some(rate) = &mut self.requests {
                rate.correct(-1.0);
            }
            return Err(blocked(wait, Why::Tokens, now));
        }
        self.in_flight += 1;
        self.today += 1;
        if let Some((left, _)) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        Ok(())
    }

    fn check_counts(&mut self, now: Timestamp) -> Result<(), Blocked> {
        let most = self.limits.in_flight.map_or(u32::MAX, NonZeroU32::get);
        if self.in_flight >= most {
            return Err(Blocked {
                until: None,
                why: Why::InFlight,
            });
        }
        if now >= self.day_ends {
            self.today = 0;
            self.day_ends = self.limits.zone.next_day(now);
        }
        if self.limits.rpd.is_some_and(|most| self.today >= most.get()) {
            return Err(Blocked {
                until: Some(self.day_ends),
                why: Why::Day,
            });
        }
        self.left = self.left.filter(|(_, until)| *until > now);
        match self.left {
            // What is in flight may not have been counted yet: its answers will tell.
            Some((0, _)) if self.in_flight > 0 => Err(Blocked {
                until: None,
                why: Why::Day,
            }),
            Some((0, until)) => Err(Blocked {
                until: Some(until),
                why: Why::Day,
            }),
            _ => Ok(()),
        }
    }

    /// Takes tokens beyond those that a permit was taken with.
    pub(super) fn take_more(&mut self, tokens: u32, now: Timestamp) -> Result<(), Blocked> {
        match &mut self.tokens {
            Some(rate) => rate
                .take(tokens)
                .map_err(|wait| blocked(wait, Why::Tokens, now)),
            None => Ok(()),
        }
    }

    /// Gives a permit back with which nothing was sent.
    pub(super) fn give_back(&mut self, tokens: u32) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.today = self.today.saturating_sub(1);
        if let Some((left, _)) = &mut self.left {
            *left += 1;
        }
        if let Some(rate) = &mut self.requests {
            rate.correct(-1.0);
        }
        self.correct(-f64::from(tokens));
    }

    /// Corrects the tokens that were taken: so many more were used, or fewer.
    pub(super) fn correct(&mut self, tokens: f64) {
        if let Some(rate) = &mut self.tokens {
            rate.correct(tokens);
        }
    }

    /// Notes that a request has come back.
    pub(super) fn came_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Notes what the provider tells of its limits. What the user set stands.
    pub(super) fn apply_headers(&mut self, [requests, tokens]: [Option<ReportedLimit>; 2]) {
        if let Some(ReportedLimit::Longer { left, until }) = requests {
            self.left = Some((left.saturating_sub(self.in_flight), until));
        }
        if let (None, Some(ReportedLimit::Minute { limit, left })) = (self.limits.rpm, requests) {
            learn(&mut self.requests, (limit, left));
        }
        if let (None, Some(ReportedLimit::Minute { limit, left })) = (self.limits.tpm, tokens) {
            learn(&mut self.tokens, (limit, left));
        }
    }

    /// Notes that a request was throttled, with the wait that was asked for. Tells whether it was
    /// for a rate, and one is kept.
    pub(super) fn throttled(&mut self, wait: Duration, now: Timestamp) -> bool {
        if wait > LONGEST_RATE_WAIT {
            return false;
        }
        let is_news = self
            .throttled_at
            .is_none_or(|at| now.since(at) >= SAME_NEWS);
        let rates = [&mut self.requests, &mut self.tokens];
        let mut any = false;
        for rate in rates.into_iter().flatten() {
            any = true;
            if is_news {
                rate.slow();
            }
        }
        if is_news {
            self.throttled_at = Some(now);
        }
        any
    }
}

fn learn(rate: &mut Option<AdaptiveRate>, (per_minute, left): (NonZeroU32, Option<u32>)) {
    match rate {
        Some(known) if known.per_minute() == per_minute => {}
        Some(known) => *known = AdaptiveRate::used_up(per_minute),
        None if left == Some(0) => *rate = Some(AdaptiveRate::used_up(per_minute)),
        None => *rate = Some(AdaptiveRate::rested(per_minute)),
    }
}

fn blocked(wait: Duration, why: Why, now: Timestamp) -> Blocked {
    Blocked {
        until: Some(now + wait),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_464_000_000);

    fn meter(limits: KeyLimits) -> Meter {
        Meter::new(limits, 0, NOW)
    }

    fn some(n: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(n)
    }

    /// Takes permits of one token until there is none; returns how many, and why no more.
    fn drain(meter: &mut Meter, now: Timestamp) -> (u32, Blocked) {
        for count in 0..100_000 {
            if let Err(blocked) = meter.take(1, now) {
                return (count, blocked);
            }
        }
        panic!("there is no limit");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_limited() {
        let mut meter = meter(KeyLimits {
            in_flight: some(2),
            ..KeyLimits::default()
        });
        let full = Blocked {
            until: None,
            why: Why::InFlight,
        };
        assert_eq!(drain(&mut meter, NOW), (2, full));
        meter.came_back();
        assert_eq!(drain(&mut meter, NOW), (1, full));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_is_shared_with_earlier_runs_and_ends_at_its_midnight() {
        let limits = KeyLimits {
            rpd: some(5),
            ..KeyLimits::default()
        };
        let mut meter = Meter::new(limits, 3, NOW);
        let midnight = limits.zone.next_day(NOW);
        let over = Blocked {
            until: Some(midnight),
            why: Why::Day,
        };
        assert_eq!(drain(&mut meter, NOW), (2, over));
        meter.give_back(1);
        assert_eq!(drain(&mut meter, NOW), (1, over));
        assert_eq!(drain(&mut meter, midnight).0, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_used_up_for_want_of_tokens() {
        let limits = KeyLimits {
            rpm: some(60),
            tpm: some(600),
            ..KeyLimits::default()
        };
        let mut meter = meter(limits);
        assert_eq!(meter.take(600, NOW), Ok(()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(meter.take(1, NOW).unwrap_err().why, Why::Tokens);
        tokio::time::advance(Duration::from_mins(1)).await;
        // One has come in since, and the one that was given back is still there.
        assert_eq!(meter.take(1, NOW), Ok(()));
        assert_eq!(meter.take(1, NOW), Ok(()));
        assert_eq!(meter.take(1, NOW).unwrap_err().why, Why::Requests);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_told_is_kept_unless_the_user_knows_better() {
        let reported = |left| {
            let limit = NonZeroU32::new(600).unwrap();
            [Some(ReportedLimit::Minute { limit, left }), None]
        };
        let mut used_up = meter(KeyLimits::default());
        used_up.apply_headers(reported(Some(0)));
        assert_eq!(drain(&mut used_up, NOW).0, 0);
        let reported = reported(Some(599));
        let mut free = meter(KeyLimits::default());
        free.apply_headers(reported);
        assert_eq!(drain(&mut free, NOW).0, 9);
        free.apply_headers(reported);
        assert_eq!(drain(&mut free, NOW).0, 0);
        let mut set = meter(KeyLimits {
            rpm: some(180),
            ..KeyLimits::default()
        });
        set.apply_headers(reported);
        assert_eq!(drain(&mut set, NOW).0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_long_window_no_more_is_sent_than_is_left() {
        let mut meter = meter(KeyLimits::default());
        let until = NOW + Duration::from_hours(4);
        assert_eq!(meter.take(1, NOW), Ok(()));
        meter.apply_headers([Some(ReportedLimit::Longer { left: 3, until }), None]);
        assert_eq!(
            drain(&mut meter, NOW),
            (
                2,
                Blocked {
                    until: None,
                    why: Why::Day
                }
            )
        );
        for _ in 0..3 {
            meter.came_back();
        }
        meter.apply_headers([Some(ReportedLimit::Longer { left: 0, until }), None]);
        assert_eq!(
            drain(&mut meter, NOW),
            (
                0,
                Blocked {
                    until: Some(until),
                    why: Why::Day
                }
            )
        );
        assert_eq!(meter.take(1, until), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_throttled_together_slow_the_rate_once() {
        let mut meter = meter(KeyLimits {
            rpm: some(60_000),
            ..KeyLimits::default()
        });
        assert_eq!(drain(&mut meter, NOW).0, 900);
        for moment in 0..8 {
            for _ in 0..50 {
                assert!(meter.throttled(Duration::ZERO, NOW + SAME_NEWS * moment));
            }
        }
        tokio::time::advance(Duration::from_millis(500)).await;
        let got = drain(&mut meter, NOW).0;
        assert!((330..=400).contains(&got), "{got} of 500");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_says_nothing_of_the_rate() {
        let mut meter = meter(KeyLimits {
            rpm: some(600),
            ..KeyLimits::default()
        });
        assert_eq!(drain(&mut meter, NOW).0, 9);
        assert!(!meter.throttled(Duration::from_hours(3), NOW));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(drain(&mut meter, NOW).0, 9);
    }
}
