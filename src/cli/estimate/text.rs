//! The words of an estimate, for people and for programs.

use std::fmt::{self, Display, Write as _};

use serde_json::{Value, json};

use crate::domain::forecast::{self, Bound, Range};
use crate::domain::price::LIST_DATE;
use crate::progress::quantity::{Count, Span, Things};
use crate::progress::safe::Safe;

use super::super::show::{indented, pretty};
use super::Estimate;

/// How the tokens were told.
const METHOD: &str = "counted by characters; within -14 % and +35 %";

/// From one to another; once when both read the same.
struct Between<T>(T, T);

impl<T: Display> fmt::Display for Between<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.0.to_string(), self.1.to_string());
        if low == high {
            f.write_str(&low)
        } else {
            write!(f, "{low} to {high}")
        }
    }
}

/// Rounds to three digits: more would look as if somebody knew.
fn round(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 1_000 {
        unit *= 10;
    }
    (number + unit / 2) / unit * unit
}

impl Estimate<'_> {
    /// Writes the estimate for people.
    pub(super) fn to_text(&self) -> String {
        let (survey, import) = (&self.survey, &self.plan.import);
        let (name, rows) = (Safe(&import.batch), Things(survey.rows, "row"));
        let mut text = format!("{name}: {rows}\n\n");
        self.rows_text(&mut text);
        if survey.work.requests > 0 {
            self.work_text(&mut text);
        }
        if let Some(refusal) = &self.refusal {
            let _ = writeln!(text, "\n  `run` will refuse this as it stands:");
            text.push_str(&indented(refusal));
        }
        if !survey.samples.is_empty() {
            let which = match survey.samples.len() {
                1 => "the request".to_owned(),
                count if count as u64 == survey.work.requests => format!("the {count} requests"),
                count => format!("{count} of the requests"),
            };
            let _ = writeln!(text, "\n  {which}, as sent:");
        }
        for (row, request) in &survey.samples {
            let _ = writeln!(text, "\n  row {}", Count(*row));
            text.push_str(&indented(&indented(&pretty(request))));
        }
        text
    }

    fn rows_text(&self, text: &mut String) {
        let (survey, standing) = (&self.survey, &self.survey.standing);
        let known = standing.answered + standing.failed + standing.waiting + standing.changed;
        let asked = [
            (survey.rows - known, "new"),
            (standing.waiting, "waiting"),
            (standing.changed, "changed"),
        ];
        let left = [(standing.answered, "answered"), (standing.failed, "failed")];
        let list = |parts: &[(u64, &str)]| {
            let parts = parts.iter().filter(|(rows, _)| *rows > 0);
            let parts = parts.map(|(rows, what)| format!("{} {what}", Count(*rows)));
            parts.collect::<Vec<_>>().join(", ")
        };
        let requests = survey.work.requests;
        if requests == 0 {
            let _ = writeln!(text, "  to ask   nothing");
        } else {
            let _ = writeln!(
                text,
                "  to ask   {} ({})",
                Things(requests, "row"),
                list(&asked)
            );
        }
        if requests < survey.rows {
            let rows = Things(survey.rows - requests, "row");
            let retry = if standing.failed > 0 {
                "; `promptmill retry` lets the failed be asked again"
            } else {
                ""
            };
            let _ = writeln!(text, "  not      {rows} ({}){retry}", list(&left));
        }
    }

    fn work_text(&self, text: &mut String) {
        let survey = &self.survey;
        let work = &survey.work;
        let _ = writeln!(
            text,
            "  model    {}",
            Safe(&self.plan.import.template.model)
        );
        let prompt = forecast::prompt_range(work.prompt_tokens);
        let prompt = Between(Count(round(prompt.low)), Count(round(prompt.high)));
        let _ = writeln!(text, "  prompts  {prompt} tokens ({METHOD})");
        let answers = work.answer_tokens;
        let answers = Between(Count(round(answers.low)), Count(round(answers.high)));
        let _ = writeln!(
            text,
            "  answers  {answers} tokens ({})",
            self.answer_source()
        );
        let _ = writeln!(text, "  cost     {}", self.cost_text());
        let (time, bound) = forecast::time(work, &self.limits, survey.latency);
        let time = Between(Span(time.low), Span(time.high));
        let _ = writeln!(text, "  time     {time} ({})", self.bound_text(bound));
    }

    fn answer_source(&self) -> String {
        let assumed = forecast::ASSUMED_ANSWER;
        match (&self.survey.seen, self.survey.is_bounded) {
            (Some(seen), _) if seen.completion_tokens.is_some() => {
                format!(
                    "as the {} of this batch so far",
                    Things(seen.answers, "answer")
                )
            }
            (_, true) => "up to max_tokens".to_owned(),
            _ => format!(
                "assumed: {} to {} each; --set max_tokens=N bounds them",
                assumed.low, assumed.high
            ),
        }
    }

    fn cost_text(&self) -> String {
        match self.cost() {
            Some(cost) => format!(
                "{} (list prices of {LIST_DATE})",
                Between(cost.low, cost.high)
            ),
            None => "the price of this model is not known".to_owned(),
        }
    }

    fn bound_text(&self, bound: Bound) -> String {
        let keys = match self.plan.keys {
            0 | 1 => "with one key".to_owned(),
            keys => format!("each of {keys} keys"),
        };
        let limit = |limit: Option<u64>, of: &str| {
            format!("{} {of}, {keys}", Count(limit.unwrap_or_default()))
        };
        match bound {
            Bound::RequestsPerMinute => limit(self.limits.rpm, "requests a minute"),
            Bound::TokensPerMinute => limit(self.limits.tpm, "tokens a minute"),
            Bound::RequestsPerDay => limit(self.limits.rpd, "requests a day"),
            Bound::Concurrency => {
                let Range { low, high } = self.survey.latency;
                let seen = match self.survey.seen {
                    Some(_) => "as so far",
                    None => "assumed",
                };
                let Range {
                    low: few,
                    high: many,
                } = self.limits.concurrency;
                let in_flight = Between(Count(few), Count(many));
                let latency = Between(Span(low), Span(high));
                format!("{in_flight} in flight, {latency} each, {seen}")
            }
        }
    }

    /// Writes the estimate for programs: tokens, US dollars and seconds.
    pub(super) fn to_json(&self) -> Value {
        let (survey, work) = (&self.survey, &self.survey.work);
        let standing = &survey.standing;
        let known = standing.answered + standing.failed + standing.waiting + standing.changed;
        let prompt = forecast::prompt_range(work.prompt_tokens);
        let (time, _) = forecast::time(work, &self.limits, survey.latency);
        let cost = self.cost().map(|cost| {
            json!({ "low": cost.low.dollars(), "high": cost.high.dollars(), "prices_of": LIST_DATE })
        });
        let samples: Vec<_> = survey
            .samples
            .iter()
            .map(|(row, request)| {
                let request: Value = serde_json::from_str(request).unwrap_or_default();
                json!({ "row": row, "request": request })
            })
            .collect();
        json!({
            "batch": self.plan.import.batch, "rows": survey.rows, "to_ask": work.requests,
            "new": survey.rows - known, "changed": standing.changed, "waiting": standing.waiting,
            "answered": standing.answered, "failed": standing.failed,
            "model": self.plan.import.template.model,
            "prompt_tokens": { "estimate": work.prompt_tokens, "low": prompt.low, "high": prompt.high },
            "answer_tokens": { "low": work.answer_tokens.low, "high": work.answer_tokens.high },
            "cost": cost,
            "seconds": { "low": time.low.as_secs_f64(), "high": time.high.as_secs_f64() },
            "refusal": self.refusal, "samples": samples,
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
    fn numbers_of_an_estimate_have_three_digits() {
        check(0, 0);
        check(999, 999);
        check(1_004, 1_000);
        check(1_005, 1_010);
        check(33_619_827, 33_600_000);
    }

    #[test]
    fn what_is_the_same_is_said_once() {
        assert_eq!(Between(Count(1_000), Count(1_000)).to_string(), "1,000");
        assert_eq!(Between(Count(1), Count(2)).to_string(), "1 to 2");
    }
}
