//! Exponential backoff with jitter. The random numbers are those of a seeded generator, so that a
//! simulated run can be repeated.

use std::time::Duration;

use fastrand::Rng;
use tokio_retry::strategy::ExponentialBackoff;

/// Waits with jitter.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    random: Rng,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
        }
    }

    /// Returns the wait after a temporary error, given the number of earlier attempts: 0.5 s,
    /// doubling up to 20 s, half of it jitter.
    pub(super) fn transient(&mut self, earlier: u32) -> Duration {
        let schedule = ExponentialBackoff::from_millis(2).factor(250);
        self.jittered(schedule.max_delay(Duration::from_secs(20)), earlier)
    }

    /// Returns the wait of a key that was throttled without a `Retry-After`, given the number of
    /// consecutive earlier throttles: 1 s, doubling up to 60 s, half of it jitter.
    pub(super) fn throttled(&mut self, earlier: u32) -> Duration {
        let schedule = ExponentialBackoff::from_millis(2).factor(500);
        self.jittered(schedule.max_delay(Duration::from_mins(1)), earlier)
    }

    /// Returns a requested wait plus jitter of up to 10% (at most 1 s).
    pub(super) fn requested(&mut self, wait: Duration) -> Duration {
        wait + self.jitter((wait / 10).min(Duration::from_secs(1)))
    }

    fn jittered(&mut self, schedule: ExponentialBackoff, n: u32) -> Duration {
        // The maximum is reached well before this step.
        let n = usize::try_from(n.min(16)).unwrap_or(16);
        // Full jitter would sometimes result in no wait at all.
        let half = schedule.map(|wait| wait / 2).nth(n).unwrap_or_default();
        half + self.jitter(half)
    }

    fn jitter(&mut self, max: Duration) -> Duration {
        max.mul_f64(self.random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wait: impl Fn(&mut Backoff) -> Duration, max: Duration) {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..400).map(|_| wait(&mut backoff)).collect();
        assert!(
            waits.iter().all(|wait| (max / 2..=max).contains(wait)),
            "{waits:?}"
        );
        assert!(
            waits.iter().any(|wait| *wait > max * 3 / 4),
            "never near {max:?}: {waits:?}"
        );
    }

    #[test]
    fn waits_double_up_to_a_maximum() {
        check(|backoff| backoff.transient(0), Duration::from_millis(500));
        check(|backoff| backoff.transient(2), Duration::from_secs(2));
        check(|backoff| backoff.transient(60), Duration::from_secs(20));
        check(|backoff| backoff.throttled(0), Duration::from_secs(1));
        check(|backoff| backoff.throttled(9), Duration::from_mins(1));
    }

    #[test]
    fn a_requested_wait_is_never_shortened() {
        let (wait, mut backoff) = (Duration::from_mins(1), Backoff::new(7));
        for _ in 0..400 {
            let longest = wait + Duration::from_secs(1);
            assert!((wait..=longest).contains(&backoff.requested(wait)));
        }
    }
}
