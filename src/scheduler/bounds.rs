//! The limits of a run: rows, requests, time and cost.
//!
//! They are checked before a job is claimed. Requests in flight count toward them.

use std::time::Duration;

use crate::domain::run_stats::{StopReason, Usage};
use crate::domain::time::Timestamp;

use super::settings::RunLimits;

/// The limits of a run with their usage at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    pub(super) limits: &'a RunLimits,
    pub(super) usage: &'a Usage,
    pub(super) in_flight: u64,
    /// The 95th percentile of the latency, if there is a time limit.
    pub(super) p95: Duration,
    pub(super) now: Timestamp,
}

impl Bounds<'_> {
    /// Returns how many requests the limits allow in addition to those in flight.
    pub(super) fn allowed_requests(&self) -> usize {
        let rows = self.limits.rows;
        let rows = rows.map(|max| max.saturating_sub(self.usage.finished + self.in_flight));
        let requests = self.limits.requests;
        let requests = requests.map(|max| max.saturating_sub(self.usage.requests));
        let time = self.too_late_to_send().then_some(0);
        let limits = [rows, requests, self.affordable(), time];
        let min = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        usize::try_from(min).unwrap_or(usize::MAX)
    }

    /// Returns how many more requests the cost limit allows at the average cost so far.
    fn affordable(&self) -> Option<u64> {
        let max = self.limits.cost?;
        let priced = self.usage.completions.saturating_sub(self.usage.unpriced);
        if priced == 0 || self.usage.cost.is_zero() {
            // The cost is unknown until the first response.
            return Some(u64::from(self.in_flight == 0 && !max.is_zero()));
        }
        let affordable = max.affords(self.usage.cost, priced);
        Some(affordable.saturating_sub(self.in_flight))
    }

    /// Returns the limit that has been reached. Call this only if nothing is in flight.
    pub(super) fn limit_reached(&self) -> Option<StopReason> {
        let reached = |limit: Option<u64>, used| limit.is_some_and(|max| used >= max);
        let flag = if self.too_late_to_send() {
            "--max-runtime"
        } else if reached(self.limits.rows, self.usage.finished) {
            "--limit"
        } else if reached(self.limits.requests, self.usage.requests) {
            "--max-requests"
        } else if self.affordable() == Some(0) {
            "--max-cost"
        } else {
            return None;
        };
        Some(StopReason::Limit(flag))
    }

    /// Returns whether a response is unlikely to arrive before the end of the run.
    fn too_late_to_send(&self) -> bool {
        let late = |until| until <= self.now + self.p95;
        self.limits.until.is_some_and(late)
    }

    /// Returns whether `--max-runtime` has elapsed.
    pub(super) fn max_runtime_reached(&self) -> bool {
        self.limits.until.is_some_and(|until| until <= self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::Cost;

    fn dollars(dollars: f64) -> Option<Cost> {
        Cost::from_dollars(dollars)
    }

    fn limits(set: impl Fn(&mut RunLimits)) -> RunLimits {
        let mut limits = RunLimits::default();
        set(&mut limits);
        limits
    }

    #[track_caller]
    fn check(limits: RunLimits, in_flight: u64, allowed: usize, reached: Option<&'static str>) {
        let usage = Usage {
            requests: 20,
            finished: 10,
            completions: 10,
            cost: dollars(0.1).unwrap(),
            ..Usage::default()
        };
        let bounds = Bounds {
            limits: &limits,
            usage: &usage,
            in_flight,
            p95: Duration::from_secs(2),
            now: Timestamp::from_millis(60_000),
        };
        assert_eq!(bounds.allowed_requests(), allowed);
        assert_eq!(bounds.limit_reached(), reached.map(StopReason::Limit));
    }

    #[test]
    fn the_strictest_limit_applies() {
        check(limits(|_| ()), 4, usize::MAX, None);
        check(limits(|max| max.rows = Some(18)), 4, 4, None);
        check(limits(|max| max.rows = Some(10)), 0, 0, Some("--limit"));
        let requests = |n| limits(move |max| max.requests = Some(n));
        check(requests(25), 4, 5, None);
        check(requests(20), 0, 0, Some("--max-requests"));
        let cost = |n| limits(move |max| max.cost = dollars(n));
        check(cost(0.15), 4, 1, None);
        check(cost(0.105), 0, 0, Some("--max-cost"));
        let until = |ms| limits(move |max| max.until = Some(Timestamp::from_millis(ms)));
        check(until(62_001), 4, usize::MAX, None);
        check(until(62_000), 0, 0, Some("--max-runtime"));
        let both = limits(|max| (max.requests, max.rows) = (Some(23), Some(100)));
        check(both, 0, 3, None);
    }

    #[test]
    fn the_first_request_shows_the_cost() {
        let limits = limits(|max| max.cost = dollars(1.0));
        let usage = Usage::default();
        let bounds = |in_flight| Bounds {
            limits: &limits,
            usage: &usage,
            in_flight,
            p95: Duration::ZERO,
            now: Timestamp::default(),
        };
        assert_eq!(bounds(0).allowed_requests(), 1);
        assert_eq!(bounds(1).allowed_requests(), 0);
    }
}
