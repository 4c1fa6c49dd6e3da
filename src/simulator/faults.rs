//! Reactions of the simulated provider to requests, and the rates of random faults.

use std::time::Duration;

use super::keys::KeyRejection;
use super::rng::SeededRng;

/// How the provider reacts to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The normal response, without limits, random faults or latency.
    Normal,
    /// A completion with this text.
    Text(String),
    /// The response that would be sent without a script, after this delay.
    Delay(Duration),
    /// Another reaction, after this delay.
    After(Duration, Box<Reaction>),
    /// This status with a matching error in the format of the personality. A number that is not a
    /// final status becomes 500.
    Status(u16),
    /// This status with this JSON body.
    Json(u16, String),
    /// Any response.
    Raw {
        /// The HTTP status.
        status: u16,
        /// Header names and values; panics if one is invalid.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// A rejection of the key.
    Reject(KeyRejection),
    /// 429 with OpenAI's error text. States this wait in the text and, in whole seconds, in
    /// `Retry-After`.
    RateLimited(Duration),
    /// This status with an HTML page.
    Html(u16),
    /// 307 to this URL.
    Redirect(String),
    /// 200 with an error in the body.
    ErrorInOk,
    /// A completion without choices.
    EmptyChoices,
    /// No response; the connection stays open.
    Hang,
    /// The connection is reset (RST) without a response.
    Reset,
    /// Half of the body announced by `Content-Length`, then the connection is closed.
    HalfBody,
    /// Half of the body announced by `Content-Length`, then the connection is reset.
    HalfBodyReset,
    /// The normal response, one byte per interval.
    SlowBody(Duration),
    /// 200 with a body of this many spaces, without `Content-Length`.
    Flood(u64),
}

impl Reaction {
    /// Delays the reaction.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// The rates of random faults, from 0 (never) to 1 (always). At most one fault affects a request.
/// If the rates add up to more than 1, the last faults occur less often.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// Status 500.
    pub server_error: f64,
    /// Status 503.
    pub unavailable: f64,
    /// Status 529.
    pub overloaded: f64,
    /// Connection reset.
    pub reset: f64,
    /// No response.
    pub hang: f64,
    /// Truncated response.
    pub half_body: f64,
    /// Status 502 with an HTML page.
    pub html: f64,
    /// Status 200 with an error in the body.
    pub error_in_ok: f64,
    /// Completion without choices.
    pub empty_choices: f64,
}

impl FaultRates {
    /// Distributes a rate evenly over all faults except `hang`, which would cause a timeout each
    /// time.
    #[must_use]
    pub fn spread(rate: f64) -> Self {
        let each = rate / 8.0;
        Self {
            server_error: each,
            unavailable: each,
            overloaded: each,
            reset: each,
            hang: 0.0,
            half_body: each,
            html: each,
            error_in_ok: each,
            empty_choices: each,
        }
    }

    /// Returns whether all rates are between 0 and 1, and their sum is at most 1.
    #[must_use]
    pub fn are_valid(&self) -> bool {
        let rates = self.reactions().map(|(rate, _)| rate);
        rates.iter().all(|rate| (0.0..=1.0).contains(rate)) && rates.iter().sum::<f64>() <= 1.0
    }

    /// Returns the fault of one request; `None` if there is none.
    pub(super) fn sample(&self, rng: &mut SeededRng) -> Option<Reaction> {
        let mut remaining = rng.next_f64();
        self.reactions().into_iter().find_map(|(rate, reaction)| {
            remaining -= rate;
            (remaining < 0.0).then_some(reaction)
        })
    }

    fn reactions(&self) -> [(f64, Reaction); 9] {
        [
            (self.server_error, Reaction::Status(500)),
            (self.unavailable, Reaction::Status(503)),
            (self.overloaded, Reaction::Status(529)),
            (self.reset, Reaction::Reset),
            (self.hang, Reaction::Hang),
            (self.half_body, Reaction::HalfBody),
            (self.html, Reaction::Html(502)),
            (self.error_in_ok, Reaction::ErrorInOk),
            (self.empty_choices, Reaction::EmptyChoices),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_fault_occurs_at_its_rate() {
        let rates = FaultRates::spread(0.4);
        let mut counts: HashMap<String, u32> = HashMap::new();
        for prompt in 0..20_000 {
            let fault = rates.sample(&mut SeededRng::new(1, prompt, 1));
            *counts.entry(format!("{fault:?}")).or_default() += 1;
        }
        assert_eq!(counts.len(), 9, "eight faults, and no fault: {counts:?}");
        for (fault, count) in counts {
            let expected = if fault == "None" { 12_000 } else { 1_000 };
            let near = count.abs_diff(expected) < 200;
            assert!(near, "{fault} occurred {count} times");
        }
    }

    #[test]
    fn a_rate_of_zero_means_never_and_one_means_always() {
        let always = FaultRates {
            hang: 1.0,
            ..FaultRates::default()
        };
        for prompt in 0..1_000 {
            let mut rng = SeededRng::new(1, prompt, 1);
            assert_eq!(FaultRates::default().sample(&mut rng), None);
            assert_eq!(always.sample(&mut rng), Some(Reaction::Hang));
        }
    }
}
