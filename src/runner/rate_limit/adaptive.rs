//! A rate limit in units per minute, with small bursts.
//!
//! Implemented with governor on tokio's clock, which tests can pause. Each unit costs several cells
//! of governor, and more of them while the rate is slowed down, so the rate can change at any time
//! without losing its state.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter as GovernorLimiter};
use tokio::time::Instant;

/// The maximum slowdown: to a quarter of the rate.
const MAX_SLOWDOWN: f64 = 4.0;
/// The slowdown after the first throttled request in a while. It is small, since a single throttled
/// request can be an exception.
const MIN_STEP: f64 = 0.002;
/// The maximum slowdown per throttled request. Each one doubles the previous step, up to this.
const MAX_STEP: f64 = 0.1;
/// After this time without a throttled request, the next one counts as the first.
const QUIET_PERIOD: Duration = Duration::from_secs(20);
/// The burst size, as a fraction of the units per second. Providers allow a full second, but the
/// intervals at which requests arrive differ from those at which they are sent.
const BURST_FRACTION: f64 = 0.9;
/// The time constant of the recovery from a slowdown.
const RECOVERY: Duration = Duration::from_mins(1);
/// Slowdowns below this are ignored.
const NEGLIGIBLE: f64 = 0.0005;

/// tokio's clock for governor.
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

/// A rate in units per minute that can be slowed down.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    limiter: Limiter,
    per_minute: NonZeroU32,
    /// Cells per unit.
    scale: f64,
    /// The maximum number of cells per burst.
    burst: NonZeroU32,
    /// Cells that were used but not yet deducted; negative if too many were deducted.
    debt: f64,
    debt_since: Instant,
    /// The factor by which the rate was slower than `per_minute` at `slowed_down_at`.
    slowdown: f64,
    slowed_down_at: Instant,
    /// The size of the last slowdown step.
    step: f64,
}

impl AdaptiveRate {
    /// Creates a rate with a full burst (at least one unit) available.
    pub(super) fn full(per_minute: NonZeroU32) -> Self {
        // Use more cells per unit for low rates, for precise slowdowns.
        let scale = (10_000_000 / per_minute.get()).clamp(1, 100);
        let cells = per_minute.saturating_mul(NonZeroU32::new(scale).unwrap_or(NonZeroU32::MIN));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "less than a sixtieth of a u32"
        )]
        let burst_cells = (f64::from(cells.get()) / 60.0 * BURST_FRACTION) as u32;
        let burst = NonZeroU32::new(burst_cells.max(scale)).unwrap_or(NonZeroU32::MIN);
        let started = Instant::now();
        let quota = Quota::per_minute(cells).allow_burst(burst);
        Self {
            limiter: GovernorLimiter::direct_with_clock(quota, TokioClock { started }),
            per_minute,
            scale: f64::from(scale),
            burst,
            debt: 0.0,
            debt_since: started,
            slowdown: 1.0,
            slowed_down_at: started,
            step: 0.0,
        }
    }

    /// Creates a rate with no burst available.
    pub(super) fn empty(per_minute: NonZeroU32) -> Self {
        let rate = Self::full(per_minute);
        // The full burst is available, so this cannot fail.
        let _ = rate.limiter.check_n(rate.burst);
        rate
    }

    /// Returns the units per minute without slowdown.
    pub(super) fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    /// Acquires `units`. If they are not available, returns how long to wait before the next try.
    ///
    /// More units than the burst are acquired when the full burst is available. The rest becomes
    /// debt, which must be paid before anything else is acquired.
    pub(super) fn try_acquire(&mut self, units: u32) -> Result<(), Duration> {
        self.pay_debt()?;
        let cost = self.cost(f64::from(units)) + self.debt;
        let consumed = if cost >= 1.0 {
            self.consume(cost)?
        } else {
            0.0
        };
        self.set_debt(cost - consumed);
        Ok(())
    }

    /// Pays the debt. A debt larger than the burst is paid off as time passes.
    fn pay_debt(&mut self) -> Result<(), Duration> {
        let burst = f64::from(self.burst.get());
        if self.debt > burst {
            let cells_per_second = f64::from(self.per_minute.get()) * self.scale / 60.0;
            let due = Duration::from_secs_f64(self.debt / cells_per_second);
            let passed = self.debt_since.elapsed();
            if passed < due {
                return Err(due.saturating_sub(passed));
            }
            // Cells gained since the debt was paid are available, up to the burst.
            let since = passed.saturating_sub(due).as_secs_f64() * cells_per_second;
            self.debt = (burst - since).max(0.0);
        }
        if self.debt >= 1.0 {
            self.debt -= self.consume(self.debt)?;
        }
        Ok(())
    }

    fn set_debt(&mut self, cells: f64) {
        if self.debt < 1.0 {
            self.debt_since = Instant::now();
        }
        self.debt = cells;
    }

    /// Adjusts the usage by `units`, which can be negative.
    pub(super) fn adjust(&mut self, units: f64) {
        self.set_debt(self.debt + self.cost(units));
    }

    /// Slows down the rate after a throttled request. It recovers gradually.
    pub(super) fn slow_down(&mut self) {
        self.step = if self.slowed_down_at.elapsed() < QUIET_PERIOD {
            (self.step * 2.0).clamp(MIN_STEP, MAX_STEP)
        } else {
            MIN_STEP
        };
        self.slowdown = (self.current_slowdown() * (1.0 + self.step)).min(MAX_SLOWDOWN);
        self.slowed_down_at = Instant::now();
    }

    fn current_slowdown(&self) -> f64 {
        if self.slowdown <= 1.0 {
            return 1.0;
        }
        let decay = (self.slowed_down_at.elapsed().as_secs_f64() / -RECOVERY.as_secs_f64()).exp();
        let excess = (self.slowdown - 1.0) * decay;
        if excess < NEGLIGIBLE {
            1.0
        } else {
            1.0 + excess
        }
    }

    fn cost(&self, units: f64) -> f64 {
        units * self.scale * self.current_slowdown()
    }

    /// Consumes up to a burst of `cells` (at least 1), and returns how many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the burst, which is a u32"
    )]
    fn consume(&self, cells: f64) -> Result<f64, Duration> {
        let part = cells.floor().clamp(1.0, f64::from(self.burst.get()));
        let whole = NonZeroU32::new(part as u32).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_n(whole) {
            Ok(Ok(())) => Ok(part),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.limiter.clock().now())),
            Err(_) => unreachable!("more cells than the burst"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: u32) -> AdaptiveRate {
        AdaptiveRate::full(NonZeroU32::new(per_minute).unwrap())
    }

    /// Acquires as much as possible for a while, `units` at a time; returns the total.
    async fn acquire_all(rate: &mut AdaptiveRate, units: u32, time: Duration) -> u32 {
        let (until, mut count) = (Instant::now() + time, 0);
        while Instant::now() < until {
            match rate.try_acquire(units) {
                Ok(()) => count += units,
                Err(wait) => tokio::time::advance(wait.max(Duration::from_millis(1))).await,
            }
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn allows_a_burst_and_then_an_even_rate() {
        let mut rate = rate(150);
        assert_eq!([rate.try_acquire(1), rate.try_acquire(1)], [Ok(()), Ok(())]);
        let wait = rate.try_acquire(1).unwrap_err();
        assert!((280..=321).contains(&wait.as_millis()), "{wait:?}");
        tokio::time::advance(wait + Duration::from_millis(1)).await;
        assert!(rate.try_acquire(1).is_ok() && rate.try_acquire(1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_allows_its_units_and_at_most_one_burst_more() {
        for per_minute in [60, 3000, 90_000] {
            let got = acquire_all(&mut rate(per_minute), 1, Duration::from_mins(1)).await;
            // The clock of the test has a resolution of a millisecond.
            let max = per_minute + per_minute / 60 + per_minute / 10_000 + 1;
            assert!((per_minute..=max).contains(&got), "{got} of {per_minute}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn units_beyond_the_burst_are_paid_before_the_next_acquisition() {
        // 6,000 per minute is 100 per second; each acquisition needs 1,500.
        let got = acquire_all(&mut rate(6000), 1500, Duration::from_mins(2)).await;
        assert!((12_000..=13_500).contains(&got), "{got}");
    }

    #[tokio::test(start_paused = true)]
    async fn adjustments_refund_unused_units_and_charge_excess_units() {
        let mut rate = rate(60);
        assert!(rate.try_acquire(1).is_ok());
        rate.adjust(-1.0);
        assert_eq!(
            (rate.try_acquire(1).is_ok(), rate.try_acquire(1).is_ok()),
            (true, false)
        );
        rate.adjust(2.0);
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert!(rate.try_acquire(1).is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(rate.try_acquire(1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn slows_down_and_recovers_gradually() {
        let mut rate = rate(6000);
        for _ in 0..11 {
            rate.slow_down();
        }
        // The total slowdown is a factor of 1.8.
        let slow = acquire_all(&mut rate, 1, Duration::from_secs(6)).await;
        assert!((300..450).contains(&slow), "{slow}");
        tokio::time::advance(Duration::from_mins(8)).await;
        let recovered = acquire_all(&mut rate, 1, Duration::from_mins(1)).await;
        assert!(recovered >= 6000, "{recovered}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_rate_allows_no_burst() {
        let mut rate = AdaptiveRate::empty(NonZeroU32::new(600).unwrap());
        assert!(rate.try_acquire(1).is_err());
        tokio::time::advance(Duration::from_millis(101)).await;
        assert!(rate.try_acquire(1).is_ok());
    }
}
