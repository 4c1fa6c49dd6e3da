//! A rate: so many units a minute, evenly and with little at once.
//!
//! governor counts, on tokio's clock, which tests can hold still; nobody sleeps in here. A unit
//! costs some cells of governor's, and more of them while the rate is slowed, so that a rate can
//! change from moment to moment without losing count.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter as GovernorLimiter};
use tokio::time::Instant;

/// The most that a rate is slowed: to a quarter.
const MOST_SLOWED: f64 = 4.0;
/// How much a throttled answer slows the rate, when it is the first for a while: next to nothing, for
/// it may be no more than a bad moment.
const FIRST_STEP: f64 = 0.002;
/// Each further one slows it by twice as much, up to this.
const LAST_STEP: f64 = 0.1;
/// After this time without a throttled answer the next is a first one.
const QUIET: Duration = Duration::from_secs(20);
/// The part of a second's worth that may be had at once. It is less than the whole, which providers
/// allow: requests do not arrive just as far apart as they were sent.
const AT_ONCE: f64 = 0.9;
/// In this time the rate makes good two thirds of what it was slowed.
const RECOVERY: Duration = Duration::from_mins(1);
/// What is slowed by less than this is not slowed.
const NOTHING: f64 = 0.0005;

/// governor's view of tokio's clock.
#[derive(Clone, Debug)]
struct TokioClock {
    started: Instant,
}

impl GovernorClock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.started.elapsed())
    }
}

type Limiter = GovernorLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>;

/// So many units a minute.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    limiter: Limiter,
    per_minute: NonZeroU32,
    /// Cells for a unit.
    scale: f64,
    /// The most cells at once.
    burst: NonZeroU32,
    /// Cells that were used and not paid yet; below zero they were paid and not used.
    owed: f64,
    owed_since: Instant,
    /// How many times slower it is than `per_minute`, and as of when.
    slowed: f64,
    slowed_at: Instant,
    /// By how much it was slowed the last time.
    step: f64,
}

impl AdaptiveRate {
    /// A rate that has not been used: most of a second's worth may be taken at once, but at least
    /// one.
    pub(super) fn rested(per_minute: NonZeroU32) -> Self {
        // Fine cells for small numbers, so that a slowed rate is met exactly.
        let scale = (10_000_000 / per_minute.get()).clamp(1, 100);
        let cells = per_minute.saturating_mul(NonZeroU32::new(scale).unwrap_or(NonZeroU32::MIN));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "less than a sixtieth of a u32"
        )]
        let at_once = (f64::from(cells.get()) / 60.0 * AT_ONCE) as u32;
        let burst = NonZeroU32::new(at_once.max(scale)).unwrap_or(NonZeroU32::MIN);
        let started = Instant::now();
        let quota = Quota::per_minute(cells).allow_burst(burst);
        Self {
            limiter: GovernorLimiter::direct_with_clock(quota, TokioClock { started }),
            per_minute,
            scale: f64::from(scale),
            burst,
            owed: 0.0,
            owed_since: started,
            slowed: 1.0,
            slowed_at: started,
            step: 0.0,
        }
    }

    /// A rate of which nothing is left at this moment.
    pub(super) fn used_up(per_minute: NonZeroU32) -> Self {
        let rate = Self::rested(per_minute);
        // It has all of its burst now, so this cannot fail.
        let _ = rate.limiter.check_n(rate.burst);
        rate
    }

    /// Returns the units a minute, when nothing slows it.
    pub(super) fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    /// Takes `units`. When there are not enough, says how long it takes until there may be.
    ///
    /// More than may be had at once is taken when all of that is there; the rest is owed, and
    /// nothing more is given until it is paid.
    pub(super) fn take(&mut self, units: u32) -> Result<(), Duration> {
        self.settle()?;
        let cost = self.cost(f64::from(units)) + self.owed;
        let paid = if cost >= 1.0 { self.pay(cost)? } else { 0.0 };
        self.owe(cost - paid);
        Ok(())
    }

    /// Pays what is owed. More than may be had at once takes its time, whether anybody asks
    /// meanwhile or not.
    fn settle(&mut self) -> Result<(), Duration> {
        let burst = f64::from(self.burst.get());
        if self.owed > burst {
            let cells_a_second = f64::from(self.per_minute.get()) * self.scale / 60.0;
            let due = Duration::from_secs_f64(self.owed / cells_a_second);
            let passed = self.owed_since.elapsed();
            if passed < due {
                return Err(due.saturating_sub(passed));
            }
            // What has come in since is still there, up to the burst.
            let since = passed.saturating_sub(due).as_secs_f64() * cells_a_second;
            self.owed = (burst - since).max(0.0);
        }
        if self.owed >= 1.0 {
            let paid = self.pay(self.owed)?;
            self.owed -= paid;
        }
        Ok(())
    }

    fn owe(&mut self, cells: f64) {
        if self.owed < 1.0 {
            self.owed_since = Instant::now();
        }
        self.owed = cells;
    }

    /// Corrects what was taken: `units` more were used, or fewer.
    pub(super) fn correct(&mut self, units: f64) {
        self.owe(self.owed + self.cost(units));
    }

    /// Slows the rate: it was faster than allowed. It creeps back by itself.
    pub(super) fn slow(&mut self) {
        self.step = if self.slowed_at.elapsed() < QUIET {
            (self.step * 2.0).clamp(FIRST_STEP, LAST_STEP)
        } else {
            FIRST_STEP
        };
        self.slowed = (self.slowed_now() * (1.0 + self.step)).min(MOST_SLOWED);
        self.slowed_at = Instant::now();
    }

    fn slowed_now(&self) -> f64 {
        if self.slowed <= 1.0 {
            return 1.0;
        }
        let faded = (self.slowed_at.elapsed().as_secs_f64() / -RECOVERY.as_secs_f64()).exp();
        let more = (self.slowed - 1.0) * faded;
        if more < NOTHING { 1.0 } else { 1.0 + more }
    }

    fn cost(&self, units: f64) -> f64 {
        units * self.scale * self.slowed_now()
    }

    /// Pays as many of `cells` (at least 1) as may be had at once; returns how many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the burst, which is a u32"
    )]
    fn pay(&self, cells: f64) -> Result<f64, Duration> {
        let part = cells.floor().clamp(1.0, f64::from(self.burst.get()));
        let whole = NonZeroU32::new(part as u32).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_n(whole) {
            Ok(Ok(())) => Ok(part),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.limiter.clock().now())),
            Err(_) => unreachable!("no more than the burst is asked for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: u32) -> AdaptiveRate {
        AdaptiveRate::rested(NonZeroU32::new(per_minute).unwrap())
    }

    /// Takes all it can for a while, `units` at a time; returns how many it got.
    async fn taken(rate: &mut AdaptiveRate, units: u32, time: Duration) -> u32 {
        let (until, mut count) = (Instant::now() + time, 0);
        while Instant::now() < until {
            match rate.take(units) {
                Ok(()) => count += units,
                Err(wait) => tokio::time::advance(wait.max(Duration::from_millis(1))).await,
            }
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn most_of_a_second_at_once_and_then_evenly() {
        let mut rate = rate(150);
        assert_eq!([rate.take(1), rate.take(1)], [Ok(()), Ok(())]);
        let wait = rate.take(1).unwrap_err();
        assert!((280..=321).contains(&wait.as_millis()), "{wait:?}");
        tokio::time::advance(wait + Duration::from_millis(1)).await;
        assert!(rate.take(1).is_ok() && rate.take(1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_brings_what_is_allowed_and_one_second_more_whatever_the_size() {
        for per_minute in [60, 3000, 90_000] {
            let got = taken(&mut rate(per_minute), 1, Duration::from_mins(1)).await;
            // The clock of the test is exact to a millisecond.
            let most = per_minute + per_minute / 60 + per_minute / 10_000 + 1;
            assert!((per_minute..=most).contains(&got), "{got} of {per_minute}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_may_be_had_at_once_is_paid_off_before_the_next() {
        // 6,000 a minute is 100 a second; each takes 1,500.
        let got = taken(&mut rate(6000), 1500, Duration::from_mins(2)).await;
        assert!((12_000..=13_500).contains(&got), "{got}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_may_be_used_later_and_what_was_used_is_owed() {
        let mut rate = rate(60);
        assert!(rate.take(1).is_ok());
        rate.correct(-1.0);
        assert_eq!((rate.take(1).is_ok(), rate.take(1).is_ok()), (true, false));
        rate.correct(2.0);
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert!(rate.take(1).is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(rate.take(1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn it_slows_down_and_creeps_back() {
        let mut rate = rate(6000);
        for _ in 0..11 {
            rate.slow();
        }
        // In all by 1.8.
        let slow = taken(&mut rate, 1, Duration::from_secs(6)).await;
        assert!((300..450).contains(&slow), "{slow}");
        tokio::time::advance(Duration::from_mins(8)).await;
        let again = taken(&mut rate, 1, Duration::from_mins(1)).await;
        assert!(again >= 6000, "{again}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_up_rate_gives_nothing_at_once() {
        let mut rate = AdaptiveRate::used_up(NonZeroU32::new(600).unwrap());
        assert!(rate.take(1).is_err());
        tokio::time::advance(Duration::from_millis(101)).await;
        assert!(rate.take(1).is_ok());
    }
}
