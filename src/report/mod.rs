//! The report of a batch: one page that needs nothing else, to look back at what was asked, what
//! came of it, and what it cost.
//!
//! Facts come in one by one and are added up; what is kept grows neither with the rows nor with
//! what a provider says. No prompt and no answer is in a report, and no script.

mod chart;
mod charts;
mod escape;
mod page;
mod spread;
mod tables;
mod ticks;
mod timeline;

use std::collections::BTreeMap;

use crate::domain::history::{CompletedRequest, FailedRequest};
use crate::domain::price::Prices;
use crate::domain::run_stats::Cause;
use crate::domain::time::Timestamp;

use self::spread::Spread;
use self::timeline::{Slot, Timeline};

/// The most names of one kind that are told apart: a provider may tell a new model every time.
const MOST_NAMES: usize = 40;

/// What names beyond the most are counted under.
const OTHERS: &str = "(others)";

/// What a report says besides what happened.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The batch's name.
    pub batch: &'a str,
    /// The path of its input.
    pub source: &'a str,
    /// The model that was asked.
    pub model: &'a str,
    /// Whether the answers are made up by the simulated provider.
    pub simulated: bool,
    /// Rows of the batch.
    pub total: u64,
    /// Rows with an answer.
    pub done: u64,
    /// Rows that failed for good.
    pub failed: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Why rows failed or wait, the most frequent first, with the cures.
    pub causes: &'a [Cause],
    /// How the keys stand that were used.
    pub keys: &'a [KeyStanding],
    /// What tokens cost.
    pub prices: &'a Prices,
    /// When the report is made.
    pub now: Timestamp,
}

/// How a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    /// Its label.
    pub label: String,
    /// Its state's name.
    pub state: String,
    /// When it may be tried again; `None` for a state without an end.
    pub until: Option<Timestamp>,
    /// Why, as the provider said it, redacted.
    pub reason: String,
}

/// What happened to a batch, added up.
#[derive(Clone, Debug, Default)]
pub struct Report {
    timeline: Timeline,
    latency: Spread,
    prompt_tokens: Spread,
    completion_tokens: Spread,
    models: BTreeMap<String, ModelSum>,
    keys: BTreeMap<String, KeySum>,
    endings: BTreeMap<String, u64>,
    all: Slot,
}

/// What a model answered.
#[derive(Clone, Copy, Debug, Default)]
struct ModelSum {
    answers: u64,
    /// Answers whose tokens the provider told.
    told: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// What was asked with a key.
#[derive(Clone, Copy, Debug, Default)]
struct KeySum {
    answers: u64,
    tokens: u64,
    throttled: u64,
    refused: u64,
}

impl Report {
    /// Adds an answer.
    pub fn completion(&mut self, fact: &CompletedRequest) {
        let slot = Slot {
            answered: 1,
            latency_ms: fact.latency_ms,
            ..Slot::default()
        };
        self.happened(fact.ended_at, &slot);
        self.latency.add(fact.latency_ms);
        let tokens = [fact.prompt_tokens, fact.completion_tokens];
        let spreads = [&mut self.prompt_tokens, &mut self.completion_tokens];
        for (spread, tokens) in spreads.into_iter().zip(tokens) {
            if let Some(tokens) = tokens {
                spread.add(tokens);
            }
        }
        let [prompt, completion] = tokens.map(Option::unwrap_or_default);
        let model = named(&mut self.models, &fact.model);
        model.answers += 1;
        model.told += u64::from(fact.prompt_tokens.is_some());
        model.prompt_tokens = model.prompt_tokens.saturating_add(prompt);
        model.completion_tokens = model.completion_tokens.saturating_add(completion);
        let key = named(&mut self.keys, &fact.key_label);
        key.answers += 1;
        key.tokens = key.tokens.saturating_add(prompt.saturating_add(completion));
        *named(&mut self.endings, &fact.finish_reason) += 1;
    }

    /// Adds an attempt that got no answer.
    pub fn attempt(&mut self, fact: &FailedRequest) {
        let throttled = fact.is_throttled();
        let refused = !throttled && !fact.unknown;
        let slot = Slot {
            failed: u64::from(fact.is_last),
            throttled: u64::from(throttled),
            refused: u64::from(refused),
            unknown: u64::from(fact.unknown),
            longest_wait_ms: fact.wait_ms.unwrap_or(0),
            ..Slot::default()
        };
        self.happened(fact.ended_at, &slot);
        if !fact.key_label.is_empty() {
            let key = named(&mut self.keys, &fact.key_label);
            key.throttled += u64::from(throttled);
            key.refused += u64::from(refused);
        }
    }

    /// Returns the labels of the keys that were used.
    pub fn key_labels(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Writes the page: a whole HTML document.
    #[must_use]
    pub fn page(&self, subject: &Subject<'_>) -> String {
        page::page(self, subject)
    }

    fn happened(&mut self, at: Timestamp, what: &Slot) {
        self.timeline.add(at, what);
        self.all.add(what);
    }
}

/// Finds what is counted under a name, as long as there is room for one more.
fn named<'a, T: Default>(counted: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let room = counted.len() < MOST_NAMES || counted.contains_key(name);
    let name = if room { name } else { OTHERS };
    counted.entry(name.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Scope;

    pub(super) fn completion(at: i64, model: &str) -> CompletedRequest {
        CompletedRequest {
            model: model.to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(100),
            completion_tokens: Some(50),
            latency_ms: 800,
            key_label: "work".to_owned(),
            ended_at: Timestamp::from_millis(1_795_466_460_000 + at),
        }
    }

    pub(super) fn throttled(at: i64) -> FailedRequest {
        FailedRequest {
            scope: Scope::Quota,
            unknown: false,
            status: Some(429),
            wait_ms: Some(12_000),
            key_label: "free-2".to_owned(),
            ended_at: Timestamp::from_millis(1_795_466_460_000 + at),
            is_last: false,
        }
    }

    #[test]
    fn facts_are_added_up_by_model_and_key() {
        let mut report = Report::default();
        for at in 0..3 {
            report.completion(&completion(at, "gpt-4o-mini"));
        }
        report.attempt(&throttled(7));
        let refused = FailedRequest {
            scope: Scope::Transient,
            status: Some(500),
            wait_ms: None,
            is_last: true,
            ..throttled(9)
        };
        report.attempt(&refused);
        let unknown = FailedRequest {
            unknown: true,
            ..refused
        };
        report.attempt(&unknown);
        let model = report.models["gpt-4o-mini"];
        assert_eq!(
            (model.answers, model.prompt_tokens, model.completion_tokens),
            (3, 300, 150)
        );
        let key = report.keys["free-2"];
        assert_eq!((key.throttled, key.refused, key.answers), (1, 1, 0));
        let all = report.all;
        assert_eq!(
            (all.answered, all.throttled, all.refused, all.unknown),
            (3, 1, 1, 1)
        );
        assert_eq!((all.longest_wait_ms, all.failed), (12_000, 2));
    }

    #[test]
    fn a_provider_that_tells_a_new_model_every_time_does_not_fill_the_memory() {
        let mut report = Report::default();
        for number in 0..1_000 {
            report.completion(&completion(number, &format!("model-{number}")));
        }
        assert_eq!(report.models.len(), MOST_NAMES + 1);
        assert_eq!(report.models[OTHERS].answers, 960);
    }
}
