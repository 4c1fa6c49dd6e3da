//! The bounds of a run: rows, requests, time and money; and what a request is let out for.
//!
//! A bound is looked at before a job is claimed, and what is in flight counts.

use crate::domain::key::titled;
use crate::domain::keyring::KeyIndex;
use crate::domain::price::{Cost, Price, Prices};
use crate::domain::run_stats::StopReason;
use crate::domain::time::Timestamp;
use crate::domain::tokens;
use crate::domain::verdict::{LARGER_THAN_LIMIT, Scope};
use crate::progress::event::RunEvent;
use crate::store::{AttemptRecord, ClaimedJob, StoreError};

use super::dispatcher::{Dispatcher, Ending};
use super::rate_limit::{Permit, Why};

/// Tokens of an answer that nothing bounds, before any was seen.
const FIRST_ANSWER: u64 = 500;

/// What the answers of a run are billed by. Prices are looked up once for each model, not for each
/// answer.
#[derive(Debug)]
pub(super) struct Bill<'a> {
    prices: &'a Prices,
    asked: Option<Price>,
    /// The model that answered last, where the one that was asked for has no price.
    answered: Option<(String, Option<Price>)>,
}

impl<'a> Bill<'a> {
    pub(super) fn new(prices: &'a Prices, model: &str) -> Self {
        Self {
            prices,
            asked: prices.of(model),
            answered: None,
        }
    }

    fn price(&mut self, answered_by: &str) -> Option<Price> {
        if self.asked.is_some() {
            return self.asked;
        }
        match &self.answered {
            Some((model, price)) if model == answered_by => *price,
            _ => {
                let price = self.prices.of(answered_by);
                self.answered = Some((answered_by.to_owned(), price));
                price
            }
        }
    }
}

impl Dispatcher<'_> {
    /// Returns how many more requests may go out beside those in flight.
    pub(super) fn within_bounds(&self) -> usize {
        let bounds = &self.settings.bounds;
        let in_flight = self.in_flight() as u64;
        let rows = bounds
            .rows
            .map(|most| most.saturating_sub(self.stats.ended + in_flight));
        let requests = bounds
            .requests
            .map(|most| most.saturating_sub(self.stats.requests));
        let time = self.no_answer_in_time(self.clock.now()).then_some(0);
        let least = [rows, requests, self.affordable(in_flight), time];
        let least = least.into_iter().flatten().min().unwrap_or(u64::MAX);
        usize::try_from(least).unwrap_or(usize::MAX)
    }

    /// How many requests the money that is left may pay for, each as dear as those before.
    fn affordable(&self, in_flight: u64) -> Option<u64> {
        let most = self.settings.bounds.cost?;
        let priced = self.stats.answers.saturating_sub(self.stats.unpriced);
        if priced == 0 || self.stats.cost.is_nothing() {
            // The first answer tells.
            return Some(u64::from(in_flight == 0 && !most.is_nothing()));
        }
        Some(
            most.pays_for(self.stats.cost, priced)
                .saturating_sub(in_flight),
        )
    }

    /// Says which bound is reached, with nothing in flight.
    pub(super) fn bound_reached(&self, now: Timestamp) -> Option<StopReason> {
        let bounds = &self.settings.bounds;
        let what = if self.no_answer_in_time(now) {
            "--max-runtime"
        } else if bounds.rows.is_some_and(|most| self.stats.ended >= most) {
            "--limit"
        } else if bounds
            .requests
            .is_some_and(|most| self.stats.requests >= most)
        {
            "--max-requests"
        } else if self.affordable(0) == Some(0) {
            "--max-cost"
        } else {
            return None;
        };
        Some(StopReason::Limit(what))
    }

    /// Tells whether an answer would hardly come back before the time is up.
    fn no_answer_in_time(&self, now: Timestamp) -> bool {
        let late = |until| until <= now + self.latencies.most();
        self.settings.bounds.until.is_some_and(late)
    }

    /// Tells whether the time is up.
    pub(super) fn time_is_up(&self, now: Timestamp) -> bool {
        self.settings.bounds.until.is_some_and(|until| until <= now)
    }

    /// Lets what is in flight come back when the time is up. Returns when that patience ends.
    pub(super) fn run_out(&mut self, deadline: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let until = deadline.unwrap_or_else(|| {
            if matches!(self.ending, Ending::Open) {
                self.ending = Ending::Firm(StopReason::Limit("--max-runtime"));
            }
            now + self.settings.grace
        });
        if until <= now {
            self.give_up();
        }
        until
    }

    /// Sends a claimed job if the limit of tokens lets it out; else it waits in the queue, or fails
    /// when no key could ever send it.
    pub(super) fn send_within(&mut self, job: ClaimedJob, mut permit: Permit, now: Timestamp) {
        if !self.rate_limiter.counts_tokens() {
            self.launch(job, permit, now);
            return;
        }
        let wanted = self.tokens_of(&job.request);
        let largest = self
            .rate_limiter
            .largest()
            .map_or(u32::MAX, std::num::NonZero::get);
        if wanted > largest {
            self.return_permit(permit);
            self.fail(&job, None, too_large(wanted, largest));
        } else if self.rate_limiter.fit(&mut permit, wanted, now) {
            self.launch(job, permit, now);
        } else {
            self.return_permit(permit);
            self.put_back(&job, now);
        }
    }

    /// Estimates the tokens of a request and its answer.
    fn tokens_of(&self, request: &str) -> u32 {
        let completion = tokens::most_completion(request).unwrap_or_else(|| {
            self.stats
                .completion_tokens
                .checked_div(self.stats.answers)
                .unwrap_or(FIRST_ANSWER)
        });
        let tokens = tokens::estimate_request(request).saturating_add(completion);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Counts what an answer cost, and returns it; `None` when its price is not known.
    pub(super) fn pay(
        &mut self,
        answered_by: &str,
        has_usage: bool,
        [prompt, completion]: [u64; 2],
    ) -> Option<Cost> {
        let price = self.bill.price(answered_by).filter(|_| has_usage);
        let cost = price.map(|price| price.of(prompt, completion));
        match cost {
            Some(cost) => self.stats.cost += cost,
            None => self.stats.unpriced += 1,
        }
        cost
    }

    /// Writes the requests down that count against a limit a day.
    pub(super) async fn count_requests(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if !self.rate_limiter.counts_days() {
            return Ok(());
        }
        let base_url = self.client.endpoint().display();
        for (index, count) in self.uncounted.iter_mut().enumerate() {
            if *count == 0 {
                continue;
            }
            let key = KeyIndex(index);
            let day = self.rate_limiter.day_start(key, now);
            let print = &self.ring.key(key).fingerprint;
            let requests = std::mem::take(count);
            self.store
                .count_requests(print, base_url, day, requests)
                .await?;
        }
        Ok(())
    }

    /// Tells what the run waits for, when nothing is in flight and a limit of ours is the cause.
    pub(super) fn tell_wait(&mut self, until: Option<Timestamp>, now: Timestamp) {
        let Some(until) =
            until.filter(|until| self.in_flight() == 0 && now.since(*until).is_zero())
        else {
            return;
        };
        let long = until.since(now).as_secs() >= 1;
        let mut keys = self.ring.indices();
        let cause = keys.find_map(|key| {
            let blocked = self.rate_limiter.blocked(key)?;
            (self.place_at(key, now) == Some(until)).then_some((key, blocked.why))
        });
        let Some((key, why)) = cause.filter(|_| long && self.wait_told != Some(until)) else {
            return;
        };
        self.wait_told = Some(until);
        let why = match why {
            Why::InFlight | Why::Requests => "requests a minute",
            Why::Tokens => "tokens a minute",
            Why::Day => "requests a day",
        };
        let who = titled(&self.ring.key(key).label);
        (self.on_event)(&RunEvent::Waiting {
            who,
            until,
            why: why.to_owned(),
        });
    }
}

fn too_large(wanted: u32, largest: u32) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope: Scope::Request,
        rule: LARGER_THAN_LIMIT.0.to_owned(),
        status: None,
        message: format!(
            "the request and its answer may have {wanted} tokens, and no key may use more than \
             {largest} a minute"
        ),
        request_id: String::new(),
        wait_ms: None,
        latency_ms: None,
    }
}
