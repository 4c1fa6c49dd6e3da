//! Exponential backoff with jitter.

use std::time::Duration;

use tokio_retry::strategy::{ExponentialBackoff, jitter};

/// Returns the wait after a temporary error, given the number of earlier attempts: 0.5 s, doubling
/// up to 20 s, half of it jitter.
pub(super) fn transient(earlier: u32) -> Duration {
    let schedule = ExponentialBackoff::from_millis(2).factor(250);
    jittered(schedule.max_delay(Duration::from_secs(20)), earlier)
}

/// Returns the wait of a key that was throttled without a `Retry-After`, given the number of
/// consecutive earlier throttles: 1 s, doubling up to 60 s, half of it jitter.
pub(super) fn throttled(earlier: u32) -> Duration {
    let schedule = ExponentialBackoff::from_millis(2).factor(500);
    jittered(schedule.max_delay(Duration::from_mins(1)), earlier)
}

/// Returns a requested wait plus jitter of up to 10% (at most 1 s).
pub(super) fn retry_after(wait: Duration) -> Duration {
    wait + jitter((wait / 10).min(Duration::from_secs(1)))
}

fn jittered(schedule: ExponentialBackoff, n: u32) -> Duration {
    // The maximum is reached well before this step.
    let n = usize::try_from(n.min(16)).unwrap_or(16);
    // Full jitter would sometimes result in no wait at all.
    let half = schedule.map(|wait| wait / 2).nth(n).unwrap_or_default();
    half + jitter(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wait: impl Fn() -> Duration, max: Duration) {
        let waits: Vec<_> = (0..400).map(|_| wait()).collect();
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
        check(|| transient(0), Duration::from_millis(500));
        check(|| transient(2), Duration::from_secs(2));
        check(|| transient(60), Duration::from_secs(20));
        check(|| throttled(0), Duration::from_secs(1));
        check(|| throttled(9), Duration::from_mins(1));
    }

    #[test]
    fn a_requested_wait_is_never_shortened() {
        let wait = Duration::from_mins(1);
        for _ in 0..400 {
            assert!((wait..=wait + Duration::from_secs(1)).contains(&retry_after(wait)));
        }
    }
}
