//! The limits of a run (rows, requests, time, cost), and token estimates of requests.
//!
//! Limits are checked before a job is claimed. Requests in flight count toward them.

use crate::domain::key::display_name;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::{Cost, Price, Prices};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::domain::tokens;
use crate::domain::verdict::{LARGER_THAN_LIMIT, Scope};
use crate::progress::event::RunEvent;
use crate::store::{AttemptRecord, ClaimedJob, StoreError};

use super::dispatcher::{Dispatcher, Ending};
use super::rate_limit::{BlockReason, Permit};

/// The assumed length of an unlimited completion before the first response, in tokens.
const DEFAULT_COMPLETION_TOKENS: u64 = 500;

/// Computes the cost of completions. Prices are looked up once per model.
#[derive(Debug)]
pub(super) struct CostTracker<'a> {
    prices: &'a Prices,
    /// The price of the requested model.
    requested: Option<Price>,
    /// The model that responded last and its price, used if the requested model has no price.
    responding: Option<(String, Option<Price>)>,
}

impl<'a> CostTracker<'a> {
    pub(super) fn new(prices: &'a Prices, model: &str) -> Self {
        Self {
            prices,
            requested: prices.get(model),
            responding: None,
        }
    }

    fn price(&mut self, responding_model: &str) -> Option<Price> {
        if self.requested.is_some() {
            return self.requested;
        }
        match &self.responding {
            Some((model, price)) if model == responding_model => *price,
            _ => {
                let price = self.prices.get(responding_model);
                self.responding = Some((responding_model.to_owned(), price));
                price
            }
        }
    }
}

impl Dispatcher<'_> {
    /// Returns how many requests the limits allow in addition to those in flight.
    pub(super) fn allowed_requests(&self) -> usize {
        let limits = &self.settings.limits;
        let in_flight = self.in_flight() as u64;
        let rows = limits
            .rows
            .map(|max| max.saturating_sub(self.stats.finished + in_flight));
        let requests = limits
            .requests
            .map(|max| max.saturating_sub(self.stats.requests));
        let time = self.too_late_to_send(self.clock.now()).then_some(0);
        let limits = [rows, requests, self.affordable(in_flight), time];
        let min = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        usize::try_from(min).unwrap_or(usize::MAX)
    }

    /// Returns how many more requests the cost limit allows at the average cost so far.
    fn affordable(&self, in_flight: u64) -> Option<u64> {
        let max = self.settings.limits.cost?;
        let priced = self.stats.completions.saturating_sub(self.stats.unpriced);
        if priced == 0 || self.stats.cost.is_zero() {
            // The cost is unknown until the first response.
            return Some(u64::from(in_flight == 0 && !max.is_zero()));
        }
        Some(
            max.affords(self.stats.cost, priced)
                .saturating_sub(in_flight),
        )
    }

    /// Returns the limit that has been reached. Call this only if nothing is in flight.
    pub(super) fn limit_reached(&self, now: Timestamp) -> Option<StopReason> {
        let limits = &self.settings.limits;
        let flag = if self.too_late_to_send(now) {
            "--max-runtime"
        } else if limits.rows.is_some_and(|max| self.stats.finished >= max) {
            "--limit"
        } else if limits
            .requests
            .is_some_and(|max| self.stats.requests >= max)
        {
            "--max-requests"
        } else if self.affordable(0) == Some(0) {
            "--max-cost"
        } else {
            return None;
        };
        Some(StopReason::Limit(flag))
    }

    /// Returns whether a response is unlikely to arrive before the end of the run.
    fn too_late_to_send(&self, now: Timestamp) -> bool {
        let late = |until| until <= now + self.latencies.p95();
        self.settings.limits.until.is_some_and(late)
    }

    /// Returns whether `--max-runtime` has elapsed.
    pub(super) fn max_runtime_reached(&self, now: Timestamp) -> bool {
        self.settings.limits.until.is_some_and(|until| until <= now)
    }

    /// Stops the run at `--max-runtime`: waits for the requests in flight, and abandons them after
    /// the grace period. Returns when that period ends.
    pub(super) fn stop_at_max_runtime(
        &mut self,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let until = deadline.unwrap_or_else(|| {
            if matches!(self.ending, Ending::Open) {
                self.ending = Ending::Firm(StopReason::Limit("--max-runtime"));
            }
            now + self.settings.grace
        });
        if until <= now {
            self.abandon_in_flight();
        }
        until
    }

    /// Dispatches a claimed job if the token limit allows it now. Otherwise requeues the job, or
    /// fails it if it exceeds the token limit of every key.
    pub(super) fn dispatch_within_token_limit(
        &mut self,
        job: ClaimedJob,
        mut permit: Permit,
        now: Timestamp,
    ) {
        if !self.rate_limiter.has_token_limit() {
            self.dispatch(job, permit, now);
            return;
        }
        let needed = self.estimate_tokens(&job.request);
        let allowed = self
            .rate_limiter
            .max_request_tokens()
            .map_or(u32::MAX, std::num::NonZero::get);
        if needed > allowed {
            self.return_permit(permit);
            self.fail(&job, None, larger_than_limit(needed, allowed));
        } else if self.rate_limiter.resize(&mut permit, needed, now) {
            self.dispatch(job, permit, now);
        } else {
            self.return_permit(permit);
            self.requeue(&job, now);
        }
    }

    /// Estimates the tokens of a request and its completion.
    fn estimate_tokens(&self, request: &str) -> u32 {
        let api = self.batch.template.api;
        let completion = api.max_completion_tokens(request).unwrap_or_else(|| {
            self.stats
                .completion_tokens
                .checked_div(self.stats.completions)
                .unwrap_or(DEFAULT_COMPLETION_TOKENS)
        });
        let tokens = tokens::estimate_request(request).saturating_add(completion);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Records the cost of a completion, and returns it; `None` if the price is unknown.
    pub(super) fn record_cost(
        &mut self,
        responding_model: &str,
        has_usage: bool,
        [prompt, completion]: [u64; 2],
    ) -> Option<Cost> {
        let price = self.costs.price(responding_model).filter(|_| has_usage);
        let cost = price.map(|price| price.cost(prompt, completion));
        match cost {
            Some(cost) => self.stats.cost += cost,
            None => self.stats.unpriced += 1,
        }
        cost
    }

    /// Saves the number of requests that count toward daily limits.
    pub(super) async fn save_request_counts(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if !self.rate_limiter.has_daily_limit() {
            return Ok(());
        }
        let base_url = self.client.endpoint().display();
        for (index, count) in self.uncounted.iter_mut().enumerate() {
            if *count == 0 {
                continue;
            }
            let key = KeyIndex(index);
            let day = self.rate_limiter.day_start(key, now);
            let fingerprint = &self.ring.key(key).fingerprint;
            let requests = std::mem::take(count);
            self.store
                .count_requests(fingerprint, base_url, day, requests)
                .await?;
        }
        Ok(())
    }

    /// Reports a wait for a rate limit while nothing is in flight.
    pub(super) fn report_wait(&mut self, until: Option<Timestamp>, now: Timestamp) {
        let Some(until) =
            until.filter(|until| self.in_flight() == 0 && now.since(*until).is_zero())
        else {
            return;
        };
        let is_long = until.since(now).as_secs() >= 1;
        let mut keys = self.ring.indices();
        let cause = keys.find_map(|key| {
            let blocked = self.rate_limiter.blocked(key)?;
            (self.next_permit_at(key, now) == Some(until)).then_some((key, blocked.reason))
        });
        let is_new = self.reported_wait != Some(until);
        let Some((key, reason)) = cause.filter(|_| is_long && is_new) else {
            return;
        };
        self.reported_wait = Some(until);
        let why = match reason {
            BlockReason::InFlight | BlockReason::Requests => "requests per minute",
            BlockReason::Tokens => "tokens per minute",
            BlockReason::Day => "requests per day",
        };
        let subject = display_name(&self.ring.key(key).label);
        (self.on_event)(&RunEvent::Waiting {
            subject,
            until,
            reason: why.to_owned(),
        });
    }
}

fn larger_than_limit(needed: u32, allowed: u32) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope: Scope::Request,
        rule: LARGER_THAN_LIMIT.0.to_owned(),
        status: None,
        message: format!(
            "the request and its response need up to {needed} tokens, but no API key allows more than \
             {allowed} per minute"
        ),
        request_id: String::new(),
        wait_ms: None,
        latency_ms: None,
    }
}
