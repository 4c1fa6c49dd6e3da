//! How fast the run is now: a moving average, so that a slow start or a pause is forgotten.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// How far back the average looks.
const WINDOW: Duration = Duration::from_mins(1);

/// Counts are kept this far apart at least, which bounds their number.
const APART: Duration = Duration::from_secs(1);

/// A shorter time than this gives no speed.
const SHORTEST: Duration = Duration::from_secs(1);

/// A longer time left than this is no information.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// A count that rises, as it stood in the last minute.
#[derive(Clone, Debug, Default)]
pub struct Speed {
    seen: VecDeque<(Timestamp, u64)>,
}

impl Speed {
    /// Notes how far the count is. The first note is the start.
    pub fn note(&mut self, now: Timestamp, count: u64) {
        if let Some((last, _)) = self.seen.back()
            && now.since(*last) < APART
        {
            return;
        }
        self.seen.push_back((now, count));
        // The one before the window stays: the average reaches over the whole of it.
        while self
            .seen
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= WINDOW)
        {
            self.seen.pop_front();
        }
    }

    /// Returns how many there are a second; `None` while that cannot be told.
    #[must_use]
    pub fn per_second(&self, now: Timestamp, count: u64) -> Option<f64> {
        let (since, from) = *self.seen.front()?;
        let elapsed = now.since(since);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits at most"
        )]
        let risen = count.saturating_sub(from) as f64;
        (elapsed >= SHORTEST).then(|| risen / elapsed.as_secs_f64())
    }

    /// Returns how long `left` more take at this speed; `None` where that would be a guess: after
    /// fewer than ten in three seconds or three in half a minute, or when it is months.
    #[must_use]
    pub fn time_for(&self, left: u64, now: Timestamp, count: u64) -> Option<Duration> {
        let (since, from) = *self.seen.front()?;
        let (elapsed, risen) = (now.since(since).as_secs(), count.saturating_sub(from));
        if left == 0 || !((elapsed >= 3 && risen >= 10) || (elapsed >= 30 && risen >= 3)) {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "an estimate is shown in two units"
        )]
        let seconds = left as f64 / self.per_second(now, count)?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|time| *time < LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::default() + Duration::from_secs_f64(seconds)
    }

    /// A speed that has seen a count at each of these moments.
    fn speed(seen: &[(f64, u64)]) -> Speed {
        let mut speed = Speed::default();
        for (seconds, count) in seen {
            speed.note(at(*seconds), *count);
        }
        speed
    }

    #[track_caller]
    fn check(speed: &Speed, seconds: f64, count: u64, expected: Option<f64>) {
        let found = speed.per_second(at(seconds), count);
        let near = |(a, b): (f64, f64)| (a - b).abs() < 0.01;
        let same = found.is_none() && expected.is_none();
        assert!(same || found.zip(expected).is_some_and(near), "{found:?}");
    }

    #[test]
    fn it_looks_back_a_minute_and_no_further() {
        check(&Speed::default(), 9.0, 1, None);
        check(&speed(&[(0.0, 500)]), 0.5, 900, None);
        check(&speed(&[(0.0, 500)]), 2.0, 600, Some(50.0));
        let mut long: Vec<_> = (0..600).map(|second| (f64::from(second), 0)).collect();
        long.push((600.0, 6_000));
        check(&speed(&long), 600.0, 6_000, Some(100.0));
        check(&speed(&long), 660.0, 6_000, Some(50.0));
        assert!(speed(&long).seen.len() < 70);
    }

    #[test]
    fn the_time_left_is_told_once_it_means_something() {
        #[track_caller]
        fn check(seconds: f64, done: u64, left: u64, expected: Option<u64>) {
            let time = speed(&[(0.0, 0)]).time_for(left, at(seconds), done);
            assert_eq!(time.map(|time| time.as_secs()), expected);
        }
        check(2.0, 1_000, 1_000, None);
        check(3.0, 9, 1_000, None);
        check(5.0, 10, 1_000, Some(500));
        check(30.0, 3, 10, Some(100));
        check(30.0, 2, 10, None);
        check(30.0, 30, 0, None);
        check(40.0, 3, u64::MAX, None);
    }
}
