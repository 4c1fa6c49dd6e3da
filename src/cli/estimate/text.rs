//! Formats an estimate as text and as JSON.

use std::fmt::{self, Display, Write as _};

use serde_json::{Value, json};

use crate::domain::forecast::{self, Bottleneck, Interval};
use crate::domain::price::{Cost, LIST_DATE};
use crate::progress::quantity::{Count, HumanDuration, Plural};
use crate::progress::safe::Safe;

use super::super::show::{indented, pretty};
use super::Estimate;

/// How prompt tokens are estimated.
const ESTIMATION_METHOD: &str = "estimated from characters, -14% to +35%";

/// Displays a range, or a single value if both ends read the same.
struct DisplayRange<T>(T, T);

impl<T: Display> fmt::Display for DisplayRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.0.to_string(), self.1.to_string());
        if low == high {
            f.write_str(&low)
        } else {
            write!(f, "{low} to {high}")
        }
    }
}

/// Rounds to three digits: more would suggest a precision that an estimate does not have.
fn round(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 1_000 {
        unit *= 10;
    }
    (number + unit / 2) / unit * unit
}

impl Estimate<'_> {
    /// Formats the estimate as text.
    pub(super) fn to_text(&self) -> String {
        let (scan, import) = (&self.scan, &self.inputs.import);
        let (name, rows) = (Safe(&import.batch), Plural(scan.rows, "row"));
        let mut text = format!("{name}: {rows}\n\n");
        self.rows_text(&mut text);
        if scan.work.requests > 0 {
            self.work_text(&mut text);
        }
        if let Some(rejection) = &self.rejection {
            let _ = writeln!(text, "\n  `run` would reject this batch:");
            text.push_str(&indented(rejection));
        }
        if !scan.samples.is_empty() {
            let which = match scan.samples.len() {
                1 => "the request".to_owned(),
                count if count as u64 == scan.work.requests => format!("the {count} requests"),
                count => format!("{count} of the requests"),
            };
            let _ = writeln!(text, "\n  {which}, as sent:");
        }
        for (row, request) in &scan.samples {
            let _ = writeln!(text, "\n  row {}", Count(*row));
            text.push_str(&indented(&indented(&pretty(request))));
        }
        text
    }

    fn rows_text(&self, text: &mut String) {
        let (scan, preview) = (&self.scan, &self.scan.preview);
        let known = preview.completed + preview.failed + preview.pending + preview.changed;
        let to_send = [
            (scan.rows - known, "new"),
            (preview.pending, "pending"),
            (preview.changed, "changed"),
        ];
        let skipped = [(preview.completed, "completed"), (preview.failed, "failed")];
        let list = |parts: &[(u64, &str)]| {
            let parts = parts.iter().filter(|(rows, _)| *rows > 0);
            let parts = parts.map(|(rows, what)| format!("{} {what}", Count(*rows)));
            parts.collect::<Vec<_>>().join(", ")
        };
        let requests = scan.work.requests;
        if requests == 0 {
            let _ = writeln!(text, "  to send    nothing");
        } else {
            let (rows, to_send) = (Plural(requests, "row"), list(&to_send));
            let _ = writeln!(text, "  to send    {rows} ({to_send})");
        }
        if requests < scan.rows {
            let rows = Plural(scan.rows - requests, "row");
            let retry = if preview.failed > 0 {
                "; use `promptmill retry` to retry failed rows"
            } else {
                ""
            };
            let _ = writeln!(text, "  skipped    {rows} ({}){retry}", list(&skipped));
        }
    }

    fn work_text(&self, text: &mut String) {
        let scan = &self.scan;
        let work = &scan.work;
        let model = Safe(&self.inputs.import.template.model);
        let _ = writeln!(text, "  model      {model}");
        let prompt = forecast::prompt_tokens_interval(work.prompt_tokens);
        let prompt = DisplayRange(Count(round(prompt.low)), Count(round(prompt.high)));
        let _ = writeln!(text, "  prompts    {prompt} tokens ({ESTIMATION_METHOD})");
        let tokens = work.completion_tokens;
        let tokens = DisplayRange(Count(round(tokens.low)), Count(round(tokens.high)));
        let source = self.completion_source();
        let _ = writeln!(text, "  responses  {tokens} tokens ({source})");
        let _ = writeln!(text, "  cost       {}", self.cost_text());
        let (time, bottleneck) = forecast::time(work, &self.limits, scan.latency);
        let time = DisplayRange(HumanDuration(time.low), HumanDuration(time.high));
        let bottleneck = self.bottleneck_text(bottleneck);
        let _ = writeln!(text, "  time       {time} ({bottleneck})");
    }

    fn cost(&self) -> Option<Interval<Cost>> {
        let prices = &self.inputs.limits.limits_and_prices.prices;
        let price = prices.get(&self.inputs.import.template.model)?;
        Some(forecast::cost(&self.scan.work, price))
    }

    fn completion_source(&self) -> String {
        let assumed = forecast::ASSUMED_COMPLETION_TOKENS;
        match (&self.scan.averages, self.scan.is_bounded) {
            (Some(averages), _) if averages.completion_tokens.is_some() => {
                let responses = Plural(averages.completions, "response");
                format!("based on {responses} of this batch")
            }
            (_, true) => "up to max_tokens".to_owned(),
            _ => format!(
                "assumed: {} to {} per response; limit it with --set max_tokens=N",
                assumed.low, assumed.high
            ),
        }
    }

    fn cost_text(&self) -> String {
        match self.cost() {
            Some(cost) => format!(
                "{} at list prices of {LIST_DATE}",
                DisplayRange(cost.low, cost.high)
            ),
            None => "unknown: no price for this model".to_owned(),
        }
    }

    fn bottleneck_text(&self, bottleneck: Bottleneck) -> String {
        let keys = match self.inputs.keys {
            0 | 1 => ", one key".to_owned(),
            keys => format!(" per key, {keys} keys"),
        };
        let limit = |limit: Option<u64>, of: &str| {
            format!("{} {of}{keys}", Count(limit.unwrap_or_default()))
        };
        match bottleneck {
            Bottleneck::RequestsPerMinute => limit(self.limits.rpm, "requests per minute"),
            Bottleneck::TokensPerMinute => limit(self.limits.tpm, "tokens per minute"),
            Bottleneck::RequestsPerDay => limit(self.limits.rpd, "requests per day"),
            Bottleneck::Concurrency => {
                let Interval { low, high } = self.scan.latency;
                let source = match self.scan.averages {
                    Some(_) => "based on this batch",
                    None => "assumed",
                };
                let Interval {
                    low: few,
                    high: many,
                } = self.limits.concurrency;
                let in_flight = DisplayRange(Count(few), Count(many));
                let latency = DisplayRange(HumanDuration(low), HumanDuration(high));
                format!("{in_flight} in flight, latency {latency}, {source}")
            }
        }
    }

    /// Formats the estimate as JSON: tokens, US dollars and seconds.
    pub(super) fn to_json(&self) -> Value {
        let (scan, work) = (&self.scan, &self.scan.work);
        let preview = &scan.preview;
        let known = preview.completed + preview.failed + preview.pending + preview.changed;
        let prompt = forecast::prompt_tokens_interval(work.prompt_tokens);
        let (time, _) = forecast::time(work, &self.limits, scan.latency);
        let cost = self.cost().map(|cost| {
            json!({ "low": cost.low.dollars(), "high": cost.high.dollars(), "prices_of": LIST_DATE })
        });
        let samples: Vec<_> = scan
            .samples
            .iter()
            .map(|(row, request)| {
                let request: Value = serde_json::from_str(request).unwrap_or_default();
                json!({ "row": row, "request": request })
            })
            .collect();
        json!({
            "batch": self.inputs.import.batch, "rows": scan.rows, "to_ask": work.requests,
            "new": scan.rows - known, "changed": preview.changed, "waiting": preview.pending,
            "answered": preview.completed, "failed": preview.failed,
            "model": self.inputs.import.template.model,
            "prompt_tokens": { "estimate": work.prompt_tokens, "low": prompt.low, "high": prompt.high },
            "answer_tokens": { "low": work.completion_tokens.low, "high": work.completion_tokens.high },
            "cost": cost,
            "seconds": { "low": time.low.as_secs_f64(), "high": time.high.as_secs_f64() },
            "refusal": self.rejection, "samples": samples,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: u64, expected: u64) {
        assert_eq!(round(number), expected);
    }

    #[test]
    fn rounds_to_three_digits() {
        check(0, 0);
        check(999, 999);
        check(1_004, 1_000);
        check(1_005, 1_010);
        check(33_619_827, 33_600_000);
    }

    #[test]
    fn a_range_with_equal_ends_is_a_single_value() {
        assert_eq!(
            DisplayRange(Count(1_000), Count(1_000)).to_string(),
            "1,000"
        );
        assert_eq!(DisplayRange(Count(1), Count(2)).to_string(), "1 to 2");
    }
}
