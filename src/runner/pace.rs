//! The pace: how fast each key may send.
//!
//! governor counts; nobody sleeps in here. A permit is taken before a job is claimed, and one that
//! found no job is held for the next.

use std::num::NonZeroU32;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::keyring::KeyIndex;
use crate::domain::time::Timestamp;

/// governor's view of tokio's clock, which tests can hold still.
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

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>;

/// The pace of all keys.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    keys: Vec<KeyPace>,
}

#[derive(Debug)]
struct KeyPace {
    limiter: Option<Limiter>,
    /// Permits taken for which no job was found.
    held: u32,
    /// The limiter said no until then.
    blocked_until: Option<Timestamp>,
}

impl Pace {
    /// Makes the pace of `keys` keys that may each send `rpm` requests a minute.
    pub(super) fn new(clock: Clock, keys: usize, rpm: Option<NonZeroU32>) -> Self {
        let governed = TokioClock {
            started: Instant::now(),
        };
        let limiter =
            || rpm.map(|rpm| RateLimiter::direct_with_clock(quota(rpm), governed.clone()));
        let keys = (0..keys)
            .map(|_| KeyPace {
                limiter: limiter(),
                held: 0,
                blocked_until: None,
            })
            .collect();
        Self { clock, keys }
    }

    /// Takes a permit to send with a key now. When there is none, `blocked_until` tells when.
    pub(super) fn take(&mut self, key: KeyIndex) -> bool {
        let pace = &mut self.keys[key.0];
        pace.blocked_until = None;
        if pace.held > 0 {
            pace.held -= 1;
            return true;
        }
        let Some(limiter) = &pace.limiter else {
            return true;
        };
        let Err(not_until) = limiter.check() else {
            return true;
        };
        let wait = not_until.wait_time_from(limiter.clock().now());
        pace.blocked_until = Some(self.clock.now() + wait);
        false
    }

    /// Gives a permit back that was not used.
    pub(super) fn give_back(&mut self, key: KeyIndex) {
        self.keys[key.0].held += 1;
    }

    /// Returns when the key gets its next permit, if the last `take` found none.
    pub(super) fn blocked_until(&self, key: KeyIndex) -> Option<Timestamp> {
        self.keys[key.0].blocked_until
    }
}

/// A second's worth of requests at once, the rest evenly: providers look at windows of a second
/// and more, and a burst of one would lose what the timer is late.
fn quota(rpm: NonZeroU32) -> Quota {
    let burst = NonZeroU32::new(rpm.get() / 60).unwrap_or(NonZeroU32::MIN);
    Quota::per_minute(rpm).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: KeyIndex = KeyIndex(0);

    fn pace(rpm: u32) -> Pace {
        Pace::new(Clock::start(), 1, NonZeroU32::new(rpm))
    }

    #[tokio::test(start_paused = true)]
    async fn sends_a_second_at_once_and_then_evenly() {
        let mut pace = pace(120);
        assert_eq!(
            [pace.take(KEY), pace.take(KEY), pace.take(KEY)],
            [true, true, false]
        );
        let wait = pace.blocked_until(KEY).unwrap().since(pace.clock.now());
        assert!((1..=501).contains(&wait.as_millis()), "{wait:?}");
        tokio::time::advance(Duration::from_millis(501)).await;
        assert_eq!([pace.take(KEY), pace.take(KEY)], [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_than_a_minutes_worth_and_one_burst_in_a_minute() {
        let mut pace = pace(60);
        let mut sent = 0;
        for _ in 0..60_000 {
            sent += u32::from(pace.take(KEY));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!((60..=61).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_given_back_is_not_lost() {
        let mut pace = pace(60);
        assert!(pace.take(KEY));
        pace.give_back(KEY);
        assert_eq!([pace.take(KEY), pace.take(KEY)], [true, false]);
    }
}
