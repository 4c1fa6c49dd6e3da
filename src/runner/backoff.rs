//! How long to wait after a failure: exponential with jitter, so that many do not come back at once.

use std::time::Duration;

use tokio_retry::strategy::{ExponentialBackoff, jitter};

/// The wait after the attempt number `spent` (from 0) failed for something that passes: 0.5 s
/// doubling to 20 s, of which the second half is by chance.
pub(super) fn transient(spent: u32) -> Duration {
    let schedule = ExponentialBackoff::from_millis(2).factor(250);
    jittered(schedule.max_delay(Duration::from_secs(20)), spent)
}

/// The wait of a key that was throttled `before` times in a row and given no hint: 1 s doubling to
/// 60 s, of which the second half is by chance.
pub(super) fn throttled(before: u32) -> Duration {
    let schedule = ExponentialBackoff::from_millis(2).factor(500);
    jittered(schedule.max_delay(Duration::from_mins(1)), before)
}

/// The wait for a hint: never less than it, and up to a tenth (at most 1 s) more.
pub(super) fn after_hint(hint: Duration) -> Duration {
    hint + jitter((hint / 10).min(Duration::from_secs(1)))
}

fn jittered(schedule: ExponentialBackoff, n: u32) -> Duration {
    // Far beyond the cap every step is the cap.
    let n = usize::try_from(n.min(16)).unwrap_or(16);
    // All of it by chance would now and then be no wait at all.
    let half = schedule.map(|wait| wait / 2).nth(n).unwrap_or_default();
    half + jitter(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wait: impl Fn() -> Duration, most: Duration) {
        let waits: Vec<_> = (0..400).map(|_| wait()).collect();
        assert!(
            waits.iter().all(|wait| (most / 2..=most).contains(wait)),
            "{waits:?}"
        );
        assert!(
            waits.iter().any(|wait| *wait > most * 3 / 4),
            "never near {most:?}: {waits:?}"
        );
    }

    #[test]
    fn waits_double_to_their_cap() {
        check(|| transient(0), Duration::from_millis(500));
        check(|| transient(2), Duration::from_secs(2));
        check(|| transient(60), Duration::from_secs(20));
        check(|| throttled(0), Duration::from_secs(1));
        check(|| throttled(9), Duration::from_mins(1));
    }

    #[test]
    fn a_hint_is_a_floor() {
        let hint = Duration::from_mins(1);
        for _ in 0..400 {
            assert!((hint..=hint + Duration::from_secs(1)).contains(&after_hint(hint)));
        }
    }
}
