//! What can go wrong at the simulated provider, and how often it does so by chance.

use std::time::Duration;

use super::keys::KeyRefusal;
use super::seed::Dice;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// A proper answer at once, whatever limits, random faults and latency say.
    Answer,
    /// A completion with this text.
    Say(String),
    /// What would have happened without the script, but so much later.
    Delay(Duration),
    /// Another reaction, but so much later.
    After(Duration, Box<Reaction>),
    /// This status with an error in OpenAI's form that fits it. A number that is no final status
    /// becomes 500.
    Status(u16),
    /// This status with this JSON.
    Json(u16, String),
    /// Any response.
    Raw {
        /// The HTTP status.
        status: u16,
        /// Headers by name; an invalid one makes the request panic.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// A refusal of the key.
    Refuse(KeyRefusal),
    /// 429 in OpenAI's words, with this wait in the text and, in whole seconds, in `Retry-After`.
    RateLimited(Duration),
    /// This status with a web page.
    Html(u16),
    /// 307 to this URL.
    Redirect(String),
    /// 200 with an error in the body.
    ErrorInOk,
    /// A completion without a choice in it.
    EmptyChoices,
    /// No response, ever. The connection stays open.
    Hang,
    /// The connection is reset (RST) instead of a response.
    Reset,
    /// Half of the answer, though the head promises all of it; then the connection is closed.
    HalfBody,
    /// Half of the answer, though the head promises all of it; then the connection is reset.
    HalfBodyReset,
    /// The answer, one byte each time this much has passed.
    Drip(Duration),
    /// 200 with so many bytes of blanks, without saying how many there are.
    Flood(u64),
}

impl Reaction {
    /// Returns the same reaction, so much later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// How often which fault happens, each from 0 (never) to 1 (always). At most one happens to a
/// request; when the rates add up to more than 1, the later ones of this list come short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates {
    /// 500.
    pub server_error: f64,
    /// 503.
    pub unavailable: f64,
    /// 529.
    pub overloaded: f64,
    /// A connection that is reset.
    pub reset: f64,
    /// No response, ever.
    pub hang: f64,
    /// Half of an answer.
    pub half_body: f64,
    /// 502 with a web page.
    pub html: f64,
    /// 200 with an error in the body.
    pub error_in_ok: f64,
    /// A completion without a choice.
    pub empty_choices: f64,
}

impl FaultRates {
    /// Spreads a rate evenly over all faults but `hang`, which would cost each client a timeout.
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

    /// Draws what happens to a request; `None` is nothing out of the ordinary.
    pub(super) fn draw(&self, dice: &mut Dice) -> Option<Reaction> {
        let mut left = dice.unit();
        let rates = [
            (self.server_error, Reaction::Status(500)),
            (self.unavailable, Reaction::Status(503)),
            (self.overloaded, Reaction::Status(529)),
            (self.reset, Reaction::Reset),
            (self.hang, Reaction::Hang),
            (self.half_body, Reaction::HalfBody),
            (self.html, Reaction::Html(502)),
            (self.error_in_ok, Reaction::ErrorInOk),
            (self.empty_choices, Reaction::EmptyChoices),
        ];
        rates.into_iter().find_map(|(rate, reaction)| {
            left -= rate;
            (left < 0.0).then_some(reaction)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_fault_happens_as_often_as_its_rate_says() {
        let rates = FaultRates::spread(0.4);
        let mut counts: HashMap<String, u32> = HashMap::new();
        for prompt in 0..20_000 {
            let drawn = rates.draw(&mut Dice::new(1, prompt, 1));
            *counts.entry(format!("{drawn:?}")).or_default() += 1;
        }
        assert_eq!(counts.len(), 9, "eight faults and none: {counts:?}");
        for (fault, count) in counts {
            let expected = if fault == "None" { 12_000 } else { 1_000 };
            assert!(
                count.abs_diff(expected) < 200,
                "{fault} happened {count} times"
            );
        }
    }

    #[test]
    fn no_rate_is_no_fault_and_a_rate_of_one_is_always() {
        let always = FaultRates {
            hang: 1.0,
            ..FaultRates::default()
        };
        for prompt in 0..1_000 {
            let mut dice = Dice::new(1, prompt, 1);
            assert_eq!(FaultRates::default().draw(&mut dice), None);
            assert_eq!(always.draw(&mut dice), Some(Reaction::Hang));
        }
    }
}
