//! Concurrency window: the maximum number of requests in flight, fixed or tuned automatically.
//!
//! Tuning follows TCP congestion control: the window grows by one per completion until the first
//! sign of congestion, then by one per window of completions. It shrinks at once when the provider
//! throttles, is overloaded or times out, and a little when latency rises sharply.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::time::Timestamp;

/// Initial size of an automatic window.
const INITIAL_SIZE: f64 = 4.0;
/// Maximum size of an automatic window.
const AUTO_MAX: NonZeroU32 = NonZeroU32::new(256).unwrap();
/// Factor applied on a sign of congestion.
const CONGESTION_FACTOR: f64 = 0.7;
/// Factor applied when latency rises.
const SLOWDOWN_FACTOR: f64 = 0.9;
/// Ratio of the current to the baseline latency above which requests are assumed to be queued.
const SLOWDOWN_RATIO: f64 = 2.0;
/// Minimum number of completions over which the current latency is averaged.
const MIN_LATENCY_SAMPLES: f64 = 20.0;
/// Fraction by which the baseline moves toward a higher latency per completion.
const BASELINE_GAIN: f64 = 0.002;

/// The `--concurrency` setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// A fixed number of requests in flight.
    Fixed(NonZeroU32),
    /// Tuned automatically up to a maximum.
    Auto(NonZeroU32),
}

impl Concurrency {
    /// Creates a fixed concurrency; 0 counts as 1.
    #[must_use]
    pub fn fixed(n: u32) -> Self {
        Self::Fixed(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN))
    }

    /// Creates an automatic concurrency of at most 256.
    #[must_use]
    pub const fn auto() -> Self {
        Self::Auto(AUTO_MAX)
    }

    /// Returns the maximum number of requests in flight.
    #[must_use]
    pub fn max(self) -> usize {
        let (Self::Fixed(max) | Self::Auto(max)) = self;
        usize::try_from(max.get()).unwrap_or(usize::MAX)
    }

    /// Returns the concurrency limited to `n` requests in flight.
    #[must_use]
    pub fn capped_at(self, n: NonZeroU32) -> Self {
        match self {
            Self::Fixed(max) => Self::Fixed(max.min(n)),
            Self::Auto(max) => Self::Auto(max.min(n)),
        }
    }
}

impl FromStr for Concurrency {
    type Err = ();

    /// Parses `auto` or a positive integer.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::auto());
        }
        text.parse().map(Self::Fixed).map_err(|_| ())
    }
}

impl std::fmt::Display for Concurrency {
    /// Formats the setting as a number or `auto`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(n) => n.fmt(f),
            Self::Auto(_) => f.write_str("auto"),
        }
    }
}

/// The current limit on requests in flight.
#[derive(Clone, Debug)]
pub struct ConcurrencyWindow {
    concurrency: Concurrency,
    limit: f64,
    /// Whether no sign of congestion has occurred yet (slow start).
    slow_start: bool,
    /// When the window last shrank. Requests sent before that carry no new information.
    shrunk_at: Timestamp,
    latency: Option<LatencyTrend>,
}

#[derive(Clone, Copy, Debug)]
struct LatencyTrend {
    current: f64,
    baseline: f64,
}

impl ConcurrencyWindow {
    /// Creates the window of a run.
    #[must_use]
    pub fn new(concurrency: Concurrency) -> Self {
        let limit = match concurrency {
            Concurrency::Fixed(n) => f64::from(n.get()),
            Concurrency::Auto(max) => INITIAL_SIZE.min(f64::from(max.get())),
        };
        Self {
            concurrency,
            limit,
            slow_start: true,
            shrunk_at: Timestamp::default(),
            latency: None,
        }
    }

    /// Returns the current maximum number of requests in flight, at least 1.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.concurrency {
            Concurrency::Fixed(_) => self.concurrency.max(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and a maximum of type u32"
            )]
            Concurrency::Auto(_) => self.limit as usize,
        }
    }

    /// Records a completion at `now` of a request that was sent at `sent`, took `latency`, and was
    /// one of `in_flight` requests.
    pub fn record_completion(
        &mut self,
        sent: Timestamp,
        latency: Duration,
        in_flight: usize,
        now: Timestamp,
    ) {
        let Concurrency::Auto(max) = self.concurrency else {
            return;
        };
        if self.record_latency(latency.as_secs_f64()) {
            if self.limit > INITIAL_SIZE && sent >= self.shrunk_at {
                self.shrink((self.limit * SLOWDOWN_FACTOR).max(INITIAL_SIZE), now);
            }
            return;
        }
        // A window that is less than half full does not show whether a larger one would work.
        if in_flight * 2 >= self.limit() {
            let growth = if self.slow_start {
                1.0
            } else {
                1.0 / self.limit
            };
            self.limit = (self.limit + growth).min(f64::from(max.get()));
        }
    }

    /// Records a sign of congestion for a request sent at `sent`.
    pub fn record_congestion(&mut self, sent: Timestamp, now: Timestamp) {
        if matches!(self.concurrency, Concurrency::Auto(_)) && sent >= self.shrunk_at {
            self.shrink((self.limit * CONGESTION_FACTOR).max(1.0), now);
        }
    }

    fn shrink(&mut self, limit: f64, now: Timestamp) {
        self.limit = limit;
        self.slow_start = false;
        self.shrunk_at = now;
    }

    /// Records a latency. Returns whether latency is far above the baseline.
    fn record_latency(&mut self, seconds: f64) -> bool {
        let samples = self.limit.max(MIN_LATENCY_SAMPLES);
        let latency = self.latency.get_or_insert(LatencyTrend {
            current: seconds,
            baseline: seconds,
        });
        latency.current += (seconds - latency.current) / samples;
        if latency.current < latency.baseline {
            latency.baseline = latency.current;
        } else {
            latency.baseline += (latency.current - latency.baseline) * BASELINE_GAIN;
        }
        latency.current > latency.baseline * SLOWDOWN_RATIO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_464_000_000) + Duration::from_secs(seconds)
    }

    /// Completes a full window `rounds` times, one second each, and returns the limit after each
    /// round.
    fn full_rounds(window: &mut ConcurrencyWindow, begin: u64, rounds: u64) -> Vec<usize> {
        let round = |n| {
            for _ in 0..window.limit() {
                window.record_completion(at(begin + n - 1), SECOND, window.limit(), at(begin + n));
            }
            window.limit()
        };
        (0..rounds).map(round).collect()
    }

    /// Records a sign of congestion one second after its request was sent.
    fn congested(window: &mut ConcurrencyWindow, second: u64) {
        window.record_congestion(at(second - 1), at(second));
    }

    #[test]
    fn a_fixed_window_does_not_change() {
        let mut window = ConcurrencyWindow::new(Concurrency::fixed(7));
        full_rounds(&mut window, 1, 3);
        congested(&mut window, 9);
        assert_eq!(window.limit(), 7);
    }

    #[test]
    fn doubles_until_the_first_congestion_and_then_grows_by_one() {
        let mut window = ConcurrencyWindow::new(Concurrency::auto());
        assert_eq!(full_rounds(&mut window, 1, 3), [8, 16, 32]);
        congested(&mut window, 5);
        assert_eq!(window.limit(), 22);
        assert_eq!(full_rounds(&mut window, 7, 3), [23, 24, 25]);
    }

    #[test]
    fn grows_to_its_maximum() {
        let mut window = ConcurrencyWindow::new(Concurrency::auto());
        full_rounds(&mut window, 1, 12);
        assert_eq!(window.limit(), Concurrency::auto().max());
    }

    #[test]
    fn requests_throttled_together_shrink_the_window_once() {
        let mut window = ConcurrencyWindow::new(Concurrency::auto());
        full_rounds(&mut window, 1, 3);
        for _ in 0..32 {
            congested(&mut window, 9);
        }
        assert_eq!(window.limit(), 22);
        congested(&mut window, 10);
        assert_eq!(window.limit(), 15);
        for second in 11..99 {
            congested(&mut window, second);
        }
        assert_eq!(window.limit(), 1);
    }

    #[test]
    fn a_window_less_than_half_full_does_not_grow() {
        let mut window = ConcurrencyWindow::new(Concurrency::auto());
        for second in 1..99 {
            window.record_completion(at(second - 1), SECOND, 1, at(second));
        }
        assert_eq!(window.limit(), 4);
    }

    #[test]
    fn a_sharp_rise_in_latency_shrinks_the_window() {
        let mut window = ConcurrencyWindow::new(Concurrency::auto());
        full_rounds(&mut window, 1, 4);
        let before = window.limit();
        for second in 0..40 {
            window.record_completion(at(95 + second), SECOND * 5, 0, at(100 + second));
        }
        assert!(window.limit() < before, "{} of {before}", window.limit());
        assert!(window.limit() >= 4);
    }

    #[test]
    fn settings_are_parsed_and_displayed() {
        for text in ["auto", "1", "500"] {
            assert_eq!(text.parse::<Concurrency>().unwrap().to_string(), text);
        }
        for text in ["0", "-1", "many", ""] {
            assert!(text.parse::<Concurrency>().is_err(), "{text}");
        }
    }
}
