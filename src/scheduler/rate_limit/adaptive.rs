//! A rate limit in units per minute, with small bursts.
//!
//! Implemented with governor on a clock that is set to the time of each call. Each unit costs
//! several cells of governor, and more of them while the rate is slowed down, so the rate can change
//! at any time without losing its state.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter as GovernorLimiter};

use crate::domain::time::Timestamp;

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

/// A clock for governor that is set by hand, in milliseconds.
#[derive(Clone, Debug, Default)]
struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Sets the clock. A time before the current one has no effect.
    fn advance_to(&self, millis: u64) {
        self.0.fetch_max(millis, Ordering::Relaxed);
    }
}

impl GovernorClock for ManualClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }
}

type Limiter = GovernorLimiter<NotKeyed, InMemoryState, ManualClock, NoOpMiddleware<Nanos>>;

/// A rate in units per minute that can be slowed down.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    limiter: Limiter,
    /// The time at which the clock of the limiter started.
    started: Timestamp,
    per_minute: NonZeroU32,
    /// Cells per unit.
    scale: f64,
    /// The maximum number of cells per burst.
    burst: NonZeroU32,
    /// Cells that were used but not yet deducted; negative if too many were deducted.
    debt: f64,
    debt_since: Timestamp,
    /// The factor by which the rate was slower than `per_minute` at `slowed_down_at`.
    slowdown: f64,
    slowed_down_at: Timestamp,
    /// The size of the last slowdown step.
    step: f64,
}

impl AdaptiveRate {
    /// Creates a rate with a full burst (at least one unit) available.
    pub(super) fn full(per_minute: NonZeroU32, now: Timestamp) -> Self {
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
        let quota = Quota::per_minute(cells).allow_burst(burst);
        Self {
            limiter: GovernorLimiter::direct_with_clock(quota, ManualClock::default()),
            started: now,
            per_minute,
            scale: f64::from(scale),
            burst,
            debt: 0.0,
            debt_since: now,
            slowdown: 1.0,
            slowed_down_at: now,
            step: 0.0,
        }
    }

    /// Creates a rate with no burst available.
    pub(super) fn empty(per_minute: NonZeroU32, now: Timestamp) -> Self {
        let rate = Self::full(per_minute, now);
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
    pub(super) fn try_acquire(&mut self, units: u32, now: Timestamp) -> Result<(), Duration> {
        self.pay_debt(now)?;
        let cost = self.cost(f64::from(units), now) + self.debt;
        let is_due = cost >= 1.0;
        let consumed = if is_due {
            self.consume(cost, now)?
        } else {
            0.0
        };
        self.set_debt(cost - consumed, now);
        Ok(())
    }

    /// Pays the debt. A debt larger than the burst is paid off as time passes.
    fn pay_debt(&mut self, now: Timestamp) -> Result<(), Duration> {
        let burst = f64::from(self.burst.get());
        if self.debt > burst {
            let cells_per_second = f64::from(self.per_minute.get()) * self.scale / 60.0;
            let due = Duration::from_secs_f64(self.debt / cells_per_second);
            let passed = now.since(self.debt_since);
            if passed < due {
                return Err(due.saturating_sub(passed));
            }
            // Cells gained since the debt was paid are available, up to the burst.
            let since = passed.saturating_sub(due).as_secs_f64() * cells_per_second;
            self.debt = (burst - since).max(0.0);
        }
        if self.debt >= 1.0 {
            self.debt -= self.consume(self.debt, now)?;
        }
        Ok(())
    }

    fn set_debt(&mut self, cells: f64, now: Timestamp) {
        if self.debt < 1.0 {
            self.debt_since = now;
        }
        self.debt = cells;
    }

    /// Adjusts the usage by `units`, which can be negative.
    pub(super) fn adjust(&mut self, units: f64, now: Timestamp) {
        self.set_debt(self.debt + self.cost(units, now), now);
    }

    /// Slows down the rate after a throttled request. It recovers gradually.
    pub(super) fn slow_down(&mut self, now: Timestamp) {
        self.step = if now.since(self.slowed_down_at) < QUIET_PERIOD {
            (self.step * 2.0).clamp(MIN_STEP, MAX_STEP)
        } else {
            MIN_STEP
        };
        self.slowdown = (self.current_slowdown(now) * (1.0 + self.step)).min(MAX_SLOWDOWN);
        self.slowed_down_at = now;
    }

    fn current_slowdown(&self, now: Timestamp) -> f64 {
        if self.slowdown <= 1.0 {
            return 1.0;
        }
        let decay = (now.since(self.slowed_down_at).as_secs_f64() / -RECOVERY.as_secs_f64()).exp();
        let excess = (self.slowdown - 1.0) * decay;
        if excess < NEGLIGIBLE {
            1.0
        } else {
            1.0 + excess
        }
    }

    fn cost(&self, units: f64, now: Timestamp) -> f64 {
        units * self.scale * self.current_slowdown(now)
    }

    /// Consumes up to a burst of `cells` (at least 1), and returns how many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the burst, which is a u32"
    )]
    fn consume(&self, cells: f64, now: Timestamp) -> Result<f64, Duration> {
        let part = cells.floor().clamp(1.0, f64::from(self.burst.get()));
        let whole = NonZeroU32::new(part as u32).unwrap_or(NonZeroU32::MIN);
        let elapsed = now.since(self.started).as_millis();
        let clock = self.limiter.clock();
        clock.advance_to(u64::try_from(elapsed).unwrap_or(u64::MAX));
        match self.limiter.check_n(whole) {
            Ok(Ok(())) => Ok(part),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(clock.now())),
            Err(_) => unreachable!("more cells than the burst"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_795_464_000_000);

    fn rate(per_minute: u32) -> AdaptiveRate {
        AdaptiveRate::full(NonZeroU32::new(per_minute).unwrap(), START)
    }

    /// Rounds a wait up to the resolution of the clock.
    fn after(wait: Duration) -> Duration {
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap() + 1)
    }

    /// Acquires as much as possible for a while, `units` at a time; returns the total.
    fn acquire_all(
        rate: &mut AdaptiveRate,
        units: u32,
        (mut now, time): (Timestamp, Duration),
    ) -> u32 {
        let (until, mut count) = (now + time, 0);
        while now < until {
            match rate.try_acquire(units, now) {
                Ok(()) => count += units,
                Err(wait) => now = now + after(wait),
            }
        }
        count
    }

    #[test]
    fn allows_a_burst_and_then_an_even_rate() {
        let mut rate = rate(150);
        assert_eq!(rate.try_acquire(1, START), Ok(()));
        assert_eq!(rate.try_acquire(1, START), Ok(()));
        let wait = rate.try_acquire(1, START).unwrap_err();
        assert!((280..=321).contains(&wait.as_millis()), "{wait:?}");
        let now = START + after(wait);
        assert!(rate.try_acquire(1, now).is_ok() && rate.try_acquire(1, now).is_err());
    }

    #[test]
    fn a_minute_allows_its_units_and_at_most_one_burst_more() {
        for per_minute in [60, 3000, 90_000] {
            let got = acquire_all(&mut rate(per_minute), 1, (START, Duration::from_mins(1)));
            // The clock of the test has a resolution of a millisecond.
            let max = per_minute + per_minute / 60 + per_minute / 10_000 + 1;
            assert!((per_minute..=max).contains(&got), "{got} of {per_minute}");
        }
    }

    #[test]
    fn units_beyond_the_burst_are_paid_before_the_next_acquisition() {
        // 6,000 per minute is 100 per second; each acquisition needs 1,500.
        let got = acquire_all(&mut rate(6000), 1500, (START, Duration::from_mins(2)));
        assert!((12_000..=13_500).contains(&got), "{got}");
    }

    #[test]
    fn adjustments_refund_unused_units_and_charge_excess_units() {
        let mut rate = rate(60);
        let at = |millis| START + Duration::from_millis(millis);
        assert!(rate.try_acquire(1, START).is_ok());
        rate.adjust(-1.0, START);
        assert!(rate.try_acquire(1, START).is_ok());
        assert!(rate.try_acquire(1, START).is_err());
        rate.adjust(2.0, START);
        assert!(rate.try_acquire(1, at(2500)).is_err());
        assert!(rate.try_acquire(1, at(3500)).is_ok());
    }

    #[test]
    fn slows_down_and_recovers_gradually() {
        let mut rate = rate(6000);
        for _ in 0..11 {
            rate.slow_down(START);
        }
        // The total slowdown is a factor of 1.8.
        let slow = acquire_all(&mut rate, 1, (START, Duration::from_secs(6)));
        assert!((300..450).contains(&slow), "{slow}");
        let later = START + Duration::from_mins(8);
        let recovered = acquire_all(&mut rate, 1, (later, Duration::from_mins(1)));
        assert!(recovered >= 6000, "{recovered}");
    }

    #[test]
    fn an_empty_rate_allows_no_burst() {
        let mut rate = AdaptiveRate::empty(NonZeroU32::new(600).unwrap(), START);
        assert!(rate.try_acquire(1, START).is_err());
        let later = START + Duration::from_millis(101);
        assert!(rate.try_acquire(1, later).is_ok());
    }
}
