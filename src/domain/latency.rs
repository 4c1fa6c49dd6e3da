//! Latency of recent completions.

use std::time::Duration;

/// Number of latencies kept.
const CAPACITY: usize = 100;

/// The most recent latencies.
#[derive(Clone, Debug, Default)]
pub struct RecentLatencies {
    last: Vec<Duration>,
    /// Index of the oldest entry when full.
    oldest: usize,
}

impl RecentLatencies {
    /// Records a latency and drops the oldest.
    pub fn record(&mut self, latency: Duration) {
        if self.last.len() < CAPACITY {
            self.last.push(latency);
        } else {
            self.last[self.oldest] = latency;
            self.oldest = (self.oldest + 1) % CAPACITY;
        }
    }

    /// Returns the 95th percentile; zero if nothing is recorded.
    #[must_use]
    pub fn p95(&self) -> Duration {
        let mut sorted = self.last.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
        sorted.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p95_of(millis: impl IntoIterator<Item = u64>) -> Duration {
        let mut latencies = RecentLatencies::default();
        for millis in millis {
            latencies.record(Duration::from_millis(millis));
        }
        latencies.p95()
    }

    #[test]
    fn p95_covers_95_of_100() {
        assert_eq!(p95_of([]), Duration::ZERO);
        assert_eq!(p95_of([7]), Duration::from_millis(7));
        assert_eq!(p95_of((1..=100).rev()), Duration::from_millis(95));
    }

    #[test]
    fn only_the_last_100_count() {
        assert_eq!(p95_of((0..900).chain(1..=100)), Duration::from_millis(95));
    }
}
