//! The model of a provider: latency, load, failures, rate limits, quotas, outages and revoked keys.
//!
//! Its random numbers follow from a seed, so that a simulated run can be repeated.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use promptmill::domain::failure::{ErrorResponse, Failure, TransportError, TransportErrorKind};
use promptmill::domain::job::JobId;
use promptmill::domain::keyring::KeyIndex;
use promptmill::domain::time::Timestamp;
use promptmill::domain::time_zone::TimeZone;
use promptmill::scheduler::ReportedLimit;

/// How long the provider takes to reject a request.
const REJECTION_LATENCY: Duration = Duration::from_millis(20);
/// How long a refused connection takes.
const REFUSED_LATENCY: Duration = Duration::from_millis(2);

/// The properties of a provider. The default responds to every request after about a second.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// The median latency.
    pub(super) latency: Duration,
    pub(super) load: Load,
    /// The share of requests that fail independently of each other.
    pub(super) failing: f64,
    /// If set, every n-th row always fails.
    pub(super) poisoned: Option<i64>,
    /// The rate limit of each account.
    pub(super) limit: Option<Limit>,
    /// Requests per account and UTC day.
    pub(super) daily: Option<usize>,
    /// Faults during a time since the start.
    pub(super) faults: Vec<(Range<Duration>, Fault)>,
    /// The account of each key.
    pub(super) accounts: Vec<usize>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            latency: Duration::from_secs(1),
            load: Load::Unlimited,
            failing: 0.0,
            poisoned: None,
            limit: None,
            daily: None,
            faults: Vec::new(),
            accounts: vec![0],
        }
    }
}

/// How the endpoint responds to many requests in flight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// It serves any number.
    Unlimited,
    /// Latency is proportional to the number of requests above this one.
    SlowAbove(u32),
    /// It rejects those above this number.
    ShedAbove(u32),
}

/// A rate limit of an account, enforced as a sliding window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) requests: usize,
    pub(super) window: Duration,
    pub(super) hint: Hint,
}

/// What the provider reports about its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    Nothing,
    /// `Retry-After` with a 429.
    RetryAfter,
    /// The requests per minute, with every response.
    Headers,
}

/// A fault of the endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    ConnectionRefused,
    /// Every request gets a 503.
    Unavailable,
    /// The latency is multiplied.
    Slow(u32),
    /// A key is rejected with 401.
    Revoked(KeyIndex),
}

/// The response to a request.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) latency: Duration,
    /// The failure, if there is no completion.
    pub(super) failure: Option<Failure>,
    pub(super) reported: Option<ReportedLimit>,
    /// Whether the endpoint works on the request until it responds.
    occupies: bool,
}

/// A provider during a simulation.
#[derive(Debug)]
pub(super) struct Provider {
    endpoint: Endpoint,
    started: Timestamp,
    random: Rng,
    in_flight: u32,
    /// The accepted requests of each account: those of the window, and the number of the day.
    accounts: Vec<Account>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    accepted: VecDeque<Timestamp>,
    day: Timestamp,
    today: usize,
}

impl Provider {
    pub(super) fn new(endpoint: Endpoint, seed: u64, started: Timestamp) -> Self {
        let accounts = endpoint.accounts.iter().max().map_or(0, |last| last + 1);
        Self {
            endpoint,
            started,
            random: Rng::with_seed(seed),
            in_flight: 0,
            accounts: vec![Account::default(); accounts],
        }
    }

    /// Receives a request, and returns its response and when it arrives.
    pub(super) fn receive(&mut self, job: JobId, key: KeyIndex, now: Timestamp) -> Response {
        let rejection = self.reject(key, now);
        let reported = self.reported_limit(key, now);
        if let Some((failure, latency)) = rejection {
            return Response {
                latency,
                failure: Some(failure),
                reported,
                occupies: false,
            };
        }
        self.in_flight += 1;
        let poisoned = self.endpoint.poisoned.is_some_and(|n| job.0 % n == 0);
        let fails = poisoned || self.random.f64() < self.endpoint.failing;
        Response {
            latency: self.latency(now),
            failure: fails.then(|| error(500, "internal_error", "internal error", None)),
            reported,
            occupies: true,
        }
    }

    /// Records that a response has arrived.
    pub(super) fn finish(&mut self, response: &Response) {
        self.in_flight -= u32::from(response.occupies);
    }

    /// Returns the failure of a request that the endpoint does not process.
    fn reject(&mut self, key: KeyIndex, now: Timestamp) -> Option<(Failure, Duration)> {
        for fault in self.present_faults(now) {
            let failure = match fault {
                Fault::ConnectionRefused => return Some((refused(), REFUSED_LATENCY)),
                Fault::Unavailable => error(503, "", "service unavailable", None),
                Fault::Revoked(revoked) if revoked == key => {
                    error(401, "invalid_api_key", "invalid API key", None)
                }
                Fault::Revoked(_) | Fault::Slow(_) => continue,
            };
            return Some((failure, REJECTION_LATENCY));
        }
        let sheds = matches!(self.endpoint.load, Load::ShedAbove(max) if self.in_flight >= max);
        let failure = if sheds {
            Some(error(503, "", "the server is overloaded", None))
        } else {
            self.enforce_limits(key, now)
        };
        failure.map(|failure| (failure, REJECTION_LATENCY))
    }

    /// Counts a request toward the limits of its account, or returns the failure.
    fn enforce_limits(&mut self, key: KeyIndex, now: Timestamp) -> Option<Failure> {
        let account = &mut self.accounts[self.endpoint.accounts[key.0]];
        let days = TimeZone::default();
        if account.day != days.day_start(now) {
            (account.day, account.today) = (days.day_start(now), 0);
        }
        if self.endpoint.daily.is_some_and(|max| account.today >= max) {
            let wait = days.next_day(now).since(now);
            let message = "rate limit reached: requests per day";
            return Some(error(429, "rate_limit_exceeded", message, Some(wait)));
        }
        if let Some(limit) = self.endpoint.limit {
            let past = |sent: &Timestamp| now.since(*sent) >= limit.window;
            while account.accepted.pop_front_if(|sent| past(sent)).is_some() {}
            if account.accepted.len() >= limit.requests {
                let wait = limit.window.saturating_sub(now.since(account.accepted[0]));
                let wait = (limit.hint == Hint::RetryAfter).then_some(wait);
                let message = "too many requests";
                return Some(error(429, "rate_limit_exceeded", message, wait));
            }
            account.accepted.push_back(now);
        }
        account.today += 1;
        None
    }

    fn reported_limit(&self, key: KeyIndex, now: Timestamp) -> Option<ReportedLimit> {
        let limit = self.endpoint.limit?;
        if limit.hint != Hint::Headers {
            return None;
        }
        let accepted = &self.accounts[self.endpoint.accounts[key.0]].accepted;
        let current = |sent: &&Timestamp| now.since(**sent) < limit.window;
        let used = accepted.iter().filter(current).count();
        let per_minute = limit.requests as u64 * 60 / limit.window.as_secs();
        Some(ReportedLimit::Minute {
            limit: NonZeroU32::new(u32::try_from(per_minute).ok()?)?,
            remaining: u32::try_from(limit.requests - used).ok(),
        })
    }

    /// Draws a latency with the median of the endpoint; the 95th percentile is 2.6 times as long.
    fn latency(&mut self, now: Timestamp) -> Duration {
        let spread = 0.7 + 0.15 / (1.0 - 0.97 * self.random.f64());
        let mut latency = self.endpoint.latency.mul_f64(spread);
        if let Load::SlowAbove(max) = self.endpoint.load {
            latency = latency * self.in_flight.max(max) / max;
        }
        for fault in self.present_faults(now) {
            if let Fault::Slow(factor) = fault {
                latency *= factor;
            }
        }
        latency
    }

    fn present_faults(&self, now: Timestamp) -> Vec<Fault> {
        let elapsed = now.since(self.started);
        let faults = self.endpoint.faults.iter();
        let present = faults.filter(|(time, _)| time.contains(&elapsed));
        present.map(|(_, fault)| *fault).collect()
    }
}

fn error(status: u16, code: &str, message: &str, retry_after: Option<Duration>) -> Failure {
    Failure::ErrorResponse(ErrorResponse {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
        retry_after,
        ..ErrorResponse::default()
    })
}

fn refused() -> Failure {
    Failure::Transport(TransportError {
        kind: TransportErrorKind::Connect,
        detail: "connection refused".to_owned(),
    })
}
