//! How long answers take: of the last hundred.

use std::time::Duration;

/// How many of the last latencies count.
const KEPT: usize = 100;

/// The last latencies.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    last: Vec<Duration>,
    /// The oldest, when all places are taken.
    oldest: usize,
}

impl Latencies {
    /// Notes one.
    pub fn note(&mut self, latency: Duration) {
        if self.last.len() < KEPT {
            self.last.push(latency);
        } else {
            self.last[self.oldest] = latency;
            self.oldest = (self.oldest + 1) % KEPT;
        }
    }

    /// Returns the time within which 95 of 100 came back; zero while none has.
    #[must_use]
    pub fn most(&self) -> Duration {
        let mut sorted = self.last.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Duration {
        let mut latencies = Latencies::default();
        for millis in millis {
            latencies.note(Duration::from_millis(millis));
        }
        latencies.most()
    }

    #[test]
    fn ninety_five_of_a_hundred_came_back_within_it() {
        assert_eq!(of([]), Duration::ZERO);
        assert_eq!(of([7]), Duration::from_millis(7));
        assert_eq!(of((1..=100).rev()), Duration::from_millis(95));
    }

    #[test]
    fn only_the_last_hundred_count() {
        assert_eq!(of((0..900).chain(1..=100)), Duration::from_millis(95));
    }
}
