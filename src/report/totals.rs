//! The totals of a report, aggregated from single requests, and the context to display them in.

use std::collections::BTreeMap;

use crate::domain::history::{CompletedRequest, FailedRequest};
use crate::domain::key::KeyStatus;
use crate::domain::price::Prices;
use crate::domain::run_stats::Cause;
use crate::domain::time::Timestamp;

use super::histogram::Histogram;
use super::timeline::{Slot, Timeline};

/// Maximum number of distinct names: a provider may report a new model with every response.
const MAX_NAMES: usize = 40;

/// The name under which all further names are counted.
const OTHERS: &str = "(others)";

/// Context of a report: everything except the individual requests.
#[derive(Clone, Copy, Debug)]
pub struct ReportContext<'a> {
    /// The batch's name.
    pub batch: &'a str,
    /// Path of the input.
    pub source: &'a str,
    /// The requested model.
    pub model: &'a str,
    /// Whether responses are simulated.
    pub simulated: bool,
    /// Rows of the batch.
    pub total: u64,
    /// Completed rows.
    pub done: u64,
    /// Rows that failed permanently.
    pub failed: u64,
    /// Requests sent.
    pub requests: u64,
    /// Why rows failed or are waiting, most frequent first, with hints.
    pub causes: &'a [Cause],
    /// State of the API keys.
    pub keys: &'a [KeyStatus],
    /// Token prices.
    pub prices: &'a Prices,
    /// Time of the report.
    pub now: Timestamp,
}

/// Aggregated requests of a batch.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(super) timeline: Timeline,
    pub(super) latency: Histogram,
    pub(super) prompt_tokens: Histogram,
    pub(super) completion_tokens: Histogram,
    pub(super) models: BTreeMap<String, ModelTotals>,
    pub(super) keys: BTreeMap<String, KeyTotals>,
    pub(super) finish_reasons: BTreeMap<String, u64>,
    pub(super) all: Slot,
}

/// Totals of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ModelTotals {
    pub(super) responses: u64,
    /// Responses with reported token counts.
    pub(super) with_usage: u64,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

/// Totals of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyTotals {
    pub(super) responses: u64,
    pub(super) tokens: u64,
    pub(super) throttled: u64,
    pub(super) other_failures: u64,
}

impl Report {
    /// Adds a completed request.
    pub fn add_completion(&mut self, request: &CompletedRequest) {
        let slot = Slot {
            completed: 1,
            latency_ms: request.latency_ms,
            ..Slot::default()
        };
        self.count(request.ended_at, &slot);
        self.latency.add(request.latency_ms);
        let tokens = [request.prompt_tokens, request.completion_tokens];
        let histograms = [&mut self.prompt_tokens, &mut self.completion_tokens];
        for (histogram, tokens) in histograms.into_iter().zip(tokens) {
            if let Some(tokens) = tokens {
                histogram.add(tokens);
            }
        }
        let [prompt, completion] = tokens.map(Option::unwrap_or_default);
        let model = entry(&mut self.models, &request.model);
        model.responses += 1;
        model.with_usage += u64::from(request.prompt_tokens.is_some());
        model.prompt_tokens = model.prompt_tokens.saturating_add(prompt);
        model.completion_tokens = model.completion_tokens.saturating_add(completion);
        let key = entry(&mut self.keys, &request.key_label);
        key.responses += 1;
        key.tokens = key.tokens.saturating_add(prompt.saturating_add(completion));
        *entry(&mut self.finish_reasons, &request.finish_reason) += 1;
    }

    /// Adds a failed request.
    pub fn add_failure(&mut self, request: &FailedRequest) {
        let throttled = request.is_rate_limited();
        let other_failure = !throttled && !request.unknown;
        let slot = Slot {
            failed: u64::from(request.is_final),
            throttled: u64::from(throttled),
            other_failures: u64::from(other_failure),
            unknown: u64::from(request.unknown),
            longest_wait_ms: request.wait_ms.unwrap_or(0),
            ..Slot::default()
        };
        self.count(request.ended_at, &slot);
        if !request.key_label.is_empty() {
            let key = entry(&mut self.keys, &request.key_label);
            key.throttled += u64::from(throttled);
            key.other_failures += u64::from(other_failure);
        }
    }

    fn count(&mut self, at: Timestamp, counts: &Slot) {
        self.timeline.add(at, counts);
        self.all.add(counts);
    }
}

/// Returns the entry for a name, or the one for other names once the maximum is reached.
fn entry<'a, T: Default>(totals: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let known = totals.len() < MAX_NAMES || totals.contains_key(name);
    let name = if known { name } else { OTHERS };
    totals.entry(name.to_owned()).or_default()
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
            is_final: false,
        }
    }

    #[test]
    fn requests_are_aggregated_by_model_and_key() {
        let mut report = Report::default();
        for at in 0..3 {
            report.add_completion(&completion(at, "gpt-4o-mini"));
        }
        report.add_failure(&throttled(7));
        let server_error = FailedRequest {
            scope: Scope::Transient,
            status: Some(500),
            wait_ms: None,
            is_final: true,
            ..throttled(9)
        };
        report.add_failure(&server_error);
        let unknown = FailedRequest {
            unknown: true,
            ..server_error
        };
        report.add_failure(&unknown);
        let model = report.models["gpt-4o-mini"];
        assert_eq!(model.responses, 3);
        assert_eq!((model.prompt_tokens, model.completion_tokens), (300, 150));
        let key = report.keys["free-2"];
        assert_eq!([key.throttled, key.other_failures], [1, 1]);
        assert_eq!(key.responses, 0);
        let all = report.all;
        assert_eq!([all.completed, all.throttled], [3, 1]);
        assert_eq!([all.other_failures, all.unknown], [1, 1]);
        assert_eq!((all.longest_wait_ms, all.failed), (12_000, 2));
    }

    #[test]
    fn the_number_of_models_is_bounded() {
        let mut report = Report::default();
        for number in 0..1_000 {
            report.add_completion(&completion(number, &format!("model-{number}")));
        }
        assert_eq!(report.models.len(), MAX_NAMES + 1);
        assert_eq!(report.models[OTHERS].responses, 960);
    }
}
