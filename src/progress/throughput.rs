//! Throughput as a moving average, so that a slow start or a pause has no lasting effect.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// Window of the average.
const WINDOW: Duration = Duration::from_mins(1);

/// Minimum interval between samples, which bounds their number.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum elapsed time for a rate.
const MIN_ELAPSED: Duration = Duration::from_secs(1);

/// Longer estimates are meaningless and not shown.
const MAX_ESTIMATE: Duration = Duration::from_hours(30 * 24);

/// Samples of an increasing count over the last minute.
#[derive(Clone, Debug, Default)]
pub struct Throughput {
    samples: VecDeque<(Timestamp, u64)>,
}

impl Throughput {
    /// Records the current count. The first sample is the start.
    pub fn record(&mut self, now: Timestamp, count: u64) {
        if let Some((last, _)) = self.samples.back()
            && now.since(*last) < SAMPLE_INTERVAL
        {
            return;
        }
        self.samples.push_back((now, count));
        // Keep one sample before the window, so that the average covers all of it.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Adds to all earlier counts, so that an increase by this much does not affect the rate.
    pub(super) fn raise(&mut self, by: u64) {
        for (_, count) in &mut self.samples {
            *count += by;
        }
    }

    /// Returns the rate per second; `None` if too little time has elapsed.
    #[must_use]
    pub fn per_second(&self, now: Timestamp, count: u64) -> Option<f64> {
        let (since, from) = *self.samples.front()?;
        let elapsed = now.since(since);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits at most"
        )]
        let increase = count.saturating_sub(from) as f64;
        (elapsed >= MIN_ELAPSED).then(|| increase / elapsed.as_secs_f64())
    }

    /// Estimates the time until the count has increased by `remaining`. Returns `None` if the
    /// estimate would be unreliable: the count must have increased by at least ten in at least three
    /// seconds, or by at least three in at least 30 seconds.
    #[must_use]
    pub fn time_for(&self, remaining: u64, now: Timestamp, count: u64) -> Option<Duration> {
        let (since, from) = *self.samples.front()?;
        let (elapsed, increase) = (now.since(since).as_secs(), count.saturating_sub(from));
        if remaining == 0 || !((elapsed >= 3 && increase >= 10) || (elapsed >= 30 && increase >= 3))
        {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "an estimate is shown in two units"
        )]
        let seconds = remaining as f64 / self.per_second(now, count)?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|time| *time < MAX_ESTIMATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::default() + Duration::from_secs_f64(seconds)
    }

    fn throughput(samples: &[(f64, u64)]) -> Throughput {
        let mut throughput = Throughput::default();
        for (seconds, count) in samples {
            throughput.record(at(*seconds), *count);
        }
        throughput
    }

    #[track_caller]
    fn check(throughput: &Throughput, seconds: f64, count: u64, expected: Option<f64>) {
        let found = throughput.per_second(at(seconds), count);
        let near = |(a, b): (f64, f64)| (a - b).abs() < 0.01;
        let same = found.is_none() && expected.is_none();
        assert!(same || found.zip(expected).is_some_and(near), "{found:?}");
    }

    #[test]
    fn the_average_covers_one_minute() {
        check(&Throughput::default(), 9.0, 1, None);
        check(&throughput(&[(0.0, 500)]), 0.5, 900, None);
        check(&throughput(&[(0.0, 500)]), 2.0, 600, Some(50.0));
        let mut long: Vec<_> = (0..600).map(|second| (f64::from(second), 0)).collect();
        long.push((600.0, 6_000));
        check(&throughput(&long), 600.0, 6_000, Some(100.0));
        check(&throughput(&long), 660.0, 6_000, Some(50.0));
        assert!(throughput(&long).samples.len() < 70);
    }

    #[test]
    fn the_remaining_time_is_estimated_only_with_enough_data() {
        #[track_caller]
        fn check(seconds: f64, done: u64, remaining: u64, expected: Option<u64>) {
            let time = throughput(&[(0.0, 0)]).time_for(remaining, at(seconds), done);
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
