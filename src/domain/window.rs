//! The window: how many requests may be in flight, fixed or found out.
//!
//! Found out as TCP does it: up by one for each answer until the first sign of congestion, then up
//! by one for each window of answers; down at once when the provider throttles, is overloaded or
//! lets requests time out, and a little when answers take much longer than they did.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::time::Timestamp;

/// Where a window that is found out begins.
const START: f64 = 4.0;
/// The most that a window that is found out grows to.
const AUTO_MOST: NonZeroU32 = NonZeroU32::new(256).unwrap();
/// What is left of the window after a sign of congestion.
const CONGESTED: f64 = 0.7;
/// What is left of it when answers take longer.
const SLOWER: f64 = 0.9;
/// Answers that take so many times as long as they did are a sign that requests queue.
const MUCH_LONGER: f64 = 2.0;
/// The least number of answers that the present latency is averaged over.
const LEAST_AVERAGED: f64 = 20.0;
/// How far the latency to compare with follows the present one with each answer.
const FORGETS: f64 = 0.002;

/// How many requests may be in flight, as the user says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// So many.
    Fixed(NonZeroU32),
    /// As many as the endpoint takes well, and at most so many.
    Auto(NonZeroU32),
}

impl Concurrency {
    /// Makes a fixed one; 0 counts as 1.
    #[must_use]
    pub fn fixed(n: u32) -> Self {
        Self::Fixed(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN))
    }

    /// Makes one that is found out; it grows to 256 at most.
    #[must_use]
    pub const fn auto() -> Self {
        Self::Auto(AUTO_MOST)
    }

    /// Returns the most requests that may ever be in flight.
    #[must_use]
    pub fn most(self) -> usize {
        let (Self::Fixed(most) | Self::Auto(most)) = self;
        usize::try_from(most.get()).unwrap_or(usize::MAX)
    }

    /// Returns it with no more than so many in flight.
    #[must_use]
    pub fn at_most(self, n: NonZeroU32) -> Self {
        match self {
            Self::Fixed(most) => Self::Fixed(most.min(n)),
            Self::Auto(most) => Self::Auto(most.min(n)),
        }
    }
}

impl FromStr for Concurrency {
    type Err = ();

    /// Reads `auto` or a number from 1 on.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::auto());
        }
        text.parse().map(Self::Fixed).map_err(|_| ())
    }
}

impl std::fmt::Display for Concurrency {
    /// Writes the number or `auto`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(n) => n.fmt(f),
            Self::Auto(_) => f.write_str("auto"),
        }
    }
}

/// How many requests may be in flight now.
#[derive(Clone, Debug)]
pub struct Window {
    concurrency: Concurrency,
    limit: f64,
    /// Whether no sign of congestion was seen yet.
    opening: bool,
    /// When it was last made smaller. What was sent before that tells nothing new.
    narrowed_at: Timestamp,
    latency: Option<Latency>,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    present: f64,
    usual: f64,
}

impl Window {
    /// Makes the window of a run.
    #[must_use]
    pub fn new(concurrency: Concurrency) -> Self {
        let limit = match concurrency {
            Concurrency::Fixed(n) => f64::from(n.get()),
            Concurrency::Auto(most) => START.min(f64::from(most.get())),
        };
        Self {
            concurrency,
            limit,
            opening: true,
            narrowed_at: Timestamp::default(),
            latency: None,
        }
    }

    /// Returns how many requests may be in flight now, at least 1.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.concurrency {
            Concurrency::Fixed(_) => self.concurrency.most(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and the most, a u32"
            )]
            Concurrency::Auto(_) => self.limit as usize,
        }
    }

    /// Notes an answer, now, to a request that was sent at `sent`, took `latency` and was one of
    /// `in_flight`.
    pub fn answered(
        &mut self,
        sent: Timestamp,
        latency: Duration,
        in_flight: usize,
        now: Timestamp,
    ) {
        let Concurrency::Auto(most) = self.concurrency else {
            return;
        };
        if self.is_much_longer(latency.as_secs_f64()) {
            if self.limit > START && sent >= self.narrowed_at {
                self.narrow((self.limit * SLOWER).max(START), now);
            }
            return;
        }
        // A window that is not used says nothing about a larger one.
        if in_flight * 2 >= self.limit() {
            let more = if self.opening { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + more).min(f64::from(most.get()));
        }
    }

    /// Notes that a request that was sent at `sent` met a sign of congestion.
    pub fn congested(&mut self, sent: Timestamp, now: Timestamp) {
        if matches!(self.concurrency, Concurrency::Auto(_)) && sent >= self.narrowed_at {
            self.narrow((self.limit * CONGESTED).max(1.0), now);
        }
    }

    fn narrow(&mut self, limit: f64, now: Timestamp) {
        self.limit = limit;
        self.opening = false;
        self.narrowed_at = now;
    }

    /// Takes in a latency. Tells whether answers take much longer than they did.
    fn is_much_longer(&mut self, seconds: f64) -> bool {
        let averaged = self.limit.max(LEAST_AVERAGED);
        let latency = self.latency.get_or_insert(Latency {
            present: seconds,
            usual: seconds,
        });
        latency.present += (seconds - latency.present) / averaged;
        if latency.present < latency.usual {
            latency.usual = latency.present;
        } else {
            latency.usual += (latency.present - latency.usual) * FORGETS;
        }
        latency.present > latency.usual * MUCH_LONGER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_464_000_000) + Duration::from_secs(seconds)
    }

    /// Answers a full window, `rounds` times, a second each; returns the limits after each.
    fn full_rounds(window: &mut Window, begin: u64, rounds: u64) -> Vec<usize> {
        let round = |n| {
            for _ in 0..window.limit() {
                window.answered(at(begin + n - 1), SECOND, window.limit(), at(begin + n));
            }
            window.limit()
        };
        (0..rounds).map(round).collect()
    }

    /// Notes a sign of congestion a second after its request was sent.
    fn congested(window: &mut Window, second: u64) {
        window.congested(at(second - 1), at(second));
    }

    #[test]
    fn a_fixed_one_stays() {
        let mut window = Window::new(Concurrency::fixed(7));
        full_rounds(&mut window, 1, 3);
        congested(&mut window, 9);
        assert_eq!(window.limit(), 7);
    }

    #[test]
    fn it_doubles_until_the_first_congestion_and_then_grows_by_one() {
        let mut window = Window::new(Concurrency::auto());
        assert_eq!(full_rounds(&mut window, 1, 3), [8, 16, 32]);
        congested(&mut window, 5);
        assert_eq!(window.limit(), 22);
        assert_eq!(full_rounds(&mut window, 7, 3), [23, 24, 25]);
    }

    #[test]
    fn it_ends_at_its_most() {
        let mut window = Window::new(Concurrency::auto());
        full_rounds(&mut window, 1, 12);
        assert_eq!(window.limit(), Concurrency::auto().most());
    }

    #[test]
    fn a_window_of_requests_that_are_throttled_together_narrows_it_once() {
        let mut window = Window::new(Concurrency::auto());
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
    fn a_window_that_is_not_full_does_not_grow() {
        let mut window = Window::new(Concurrency::auto());
        for second in 1..99 {
            window.answered(at(second - 1), SECOND, 1, at(second));
        }
        assert_eq!(window.limit(), 4);
    }

    #[test]
    fn answers_that_take_much_longer_narrow_it() {
        let mut window = Window::new(Concurrency::auto());
        full_rounds(&mut window, 1, 4);
        let before = window.limit();
        for second in 0..40 {
            window.answered(at(95 + second), SECOND * 5, 0, at(100 + second));
        }
        assert!(window.limit() < before, "{} of {before}", window.limit());
        assert!(window.limit() >= 4);
    }

    #[test]
    fn it_is_read_and_written() {
        for text in ["auto", "1", "500"] {
            assert_eq!(text.parse::<Concurrency>().unwrap().to_string(), text);
        }
        for text in ["0", "-1", "many", ""] {
            assert!(text.parse::<Concurrency>().is_err(), "{text}");
        }
    }
}
