//! The tables of a report: cost by model, failures with their cures, keys, how answers ended.

use std::fmt::Write as _;

use crate::domain::price::{Cost, LIST_DATE};
use crate::domain::run_stats::Cause;
use crate::progress::moment::DateTime;
use crate::progress::quantity::Count;
use crate::progress::whose;

use super::escape::Html;
use super::{KeySum, ModelSum, Report, Subject};

/// What the answers cost, as far as prices are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bill {
    /// The known part.
    pub(super) cost: Cost,
    /// Answers with a known price.
    pub(super) priced: u64,
    /// Answers without one.
    pub(super) unpriced: u64,
}

/// Adds up what a batch cost.
pub(super) fn bill(report: &Report, subject: &Subject<'_>) -> Bill {
    let mut bill = Bill::default();
    for (model, sum) in &report.models {
        match cost(model, sum, subject) {
            Some(cost) => {
                bill.cost += cost;
                bill.priced += sum.told;
                bill.unpriced += sum.answers - sum.told;
            }
            None => bill.unpriced += sum.answers,
        }
    }
    bill
}

/// What a model's answers cost: by the price of the model that was asked, as a run counts it, or
/// else by that of the model that answered.
fn cost(model: &str, sum: &ModelSum, subject: &Subject<'_>) -> Option<Cost> {
    let price = subject.prices.of(subject.model);
    let price = price.or_else(|| subject.prices.of(model))?;
    (sum.told > 0).then(|| price.of(sum.prompt_tokens, sum.completion_tokens))
}

/// Lists models with tokens and cost.
pub(super) fn models(report: &Report, subject: &Subject<'_>) -> String {
    if report.models.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (model, sum) in &report.models {
        let cost = cost(model, sum, subject);
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Html(if model.is_empty() {
                "(not told)"
            } else {
                model
            }),
            Count(sum.answers),
            Count(sum.prompt_tokens),
            Count(sum.completion_tokens),
            cost.map_or("price unknown".to_owned(), |cost| cost.to_string()),
        );
    }
    let by = if subject.prices.is_own(subject.model) {
        "Your own prices.".to_owned()
    } else {
        format!(
            "List prices of {LIST_DATE}; yours may differ. Give your own under [prices] in promptmill.toml."
        )
    };
    let made_up = if subject.simulated {
        " Nothing was paid: the answers are made up."
    } else {
        ""
    };
    format!(
        "<section><h2>Cost by model</h2><div class=\"wide\"><table class=\"numbers\"><thead><tr>\
         <th>Model</th><th>Answers</th><th>Tokens in</th><th>Tokens out</th><th>Cost</th></tr></thead>\
         <tbody>\n{rows}</tbody></table></div><p class=\"note\">{by}{made_up}</p></section>\n"
    )
}

/// Lists why rows failed or wait, with what to do.
pub(super) fn causes(causes: &[Cause]) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for cause in causes {
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td><b>{}</b> <code>{}</code><p class=\"said\">{}</p><p>{}</p></td></tr>",
            Count(cause.jobs),
            Html(whose(cause.scope)),
            Html(&cause.rule),
            Html(&cause.message),
            Html(&cause.hint),
        );
    }
    format!(
        "<section><h2>Why rows failed or wait</h2><div class=\"wide\"><table class=\"causes\"><thead><tr>\
         <th>Rows</th><th>Cause, what was said, and the cure</th></tr></thead><tbody>\n{rows}\
         </tbody></table></div></section>\n"
    )
}

/// Lists keys by their labels.
pub(super) fn keys(report: &Report, subject: &Subject<'_>) -> String {
    if report.keys.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (label, sum) in &report.keys {
        let KeySum {
            answers,
            tokens,
            throttled,
            refused,
        } = sum;
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Html(label),
            Count(*answers),
            Count(*tokens),
            Count(*throttled),
            Count(*refused),
            standing(label, subject),
        );
    }
    format!(
        "<section><h2>Keys</h2><div class=\"wide\"><table class=\"numbers\"><thead><tr><th>Key</th>\
         <th>Answers</th><th>Tokens</th><th>Throttled</th><th>Refused</th><th>Now</th></tr></thead>\
         <tbody>\n{rows}</tbody></table></div></section>\n"
    )
}

fn standing(label: &str, subject: &Subject<'_>) -> String {
    let Some(key) = subject.keys.iter().find(|key| key.label == label) else {
        return String::new();
    };
    let mut shown = Html(&key.state).to_string();
    if let Some(until) = key.until.filter(|until| *until > subject.now) {
        let _ = write!(shown, " until {}", DateTime(until));
    }
    if !key.reason.is_empty() {
        let _ = write!(shown, "<p class=\"said\">{}</p>", Html(&key.reason));
    }
    shown
}

/// Lists how answers ended, when not all ended by themselves: what was cut off is no whole answer.
pub(super) fn endings(report: &Report) -> String {
    let usual = |reason: &str| reason == "stop" || reason.is_empty();
    if report.endings.keys().all(|reason| usual(reason)) {
        return String::new();
    }
    let mut rows = String::new();
    for (reason, count) in &report.endings {
        let meaning = match reason.as_str() {
            "stop" => "whole",
            "length" => "cut off at the most tokens: raise max_tokens",
            "content_filter" => "cut off by the provider's filter",
            "tool_calls" | "function_call" => "a call of a tool",
            "" => "the provider told nothing",
            _ => "",
        };
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td><code>{}</code> {meaning}</td></tr>",
            Count(*count),
            Html(reason),
        );
    }
    format!(
        "<section><h2>How answers ended</h2><table class=\"causes\"><thead><tr><th>Answers</th>\
         <th>Finish reason</th></tr></thead><tbody>\n{rows}</tbody></table></section>\n"
    )
}
