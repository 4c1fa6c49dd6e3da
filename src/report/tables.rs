//! The tables of a report: cost by model, failures with hints, API keys, finish reasons.

use std::fmt::Write as _;

use crate::domain::key::state_text;
use crate::domain::price::{Cost, LIST_DATE};
use crate::domain::run_stats::Cause;
use crate::progress::describe_scope;
use crate::progress::moment::DateTime;
use crate::progress::quantity::Count;

use super::escape::Html;
use super::totals::{ModelTotals, Report, ReportContext};

/// Cost of the responses with a known price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CostTotal {
    /// The known cost.
    pub(super) cost: Cost,
    /// Responses with a known price.
    pub(super) priced: u64,
    /// Responses without a known price.
    pub(super) unpriced: u64,
}

/// Calculates the cost of a batch.
pub(super) fn cost_total(report: &Report, context: &ReportContext<'_>) -> CostTotal {
    let mut cost_total = CostTotal::default();
    for (model, totals) in &report.models {
        match cost(model, totals, context) {
            Some(cost) => {
                cost_total.cost += cost;
                cost_total.priced += totals.with_usage;
                cost_total.unpriced += totals.responses - totals.with_usage;
            }
            None => cost_total.unpriced += totals.responses,
        }
    }
    cost_total
}

/// Returns the cost of a model's responses, using the price of the requested model, as runs do, or
/// else that of the reported model.
fn cost(model: &str, totals: &ModelTotals, context: &ReportContext<'_>) -> Option<Cost> {
    let price = context.prices.get(context.model);
    let price = price.or_else(|| context.prices.get(model))?;
    (totals.with_usage > 0).then(|| price.cost(totals.prompt_tokens, totals.completion_tokens))
}

/// Renders the models with tokens and cost.
pub(super) fn models(report: &Report, context: &ReportContext<'_>) -> String {
    if report.models.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (model, totals) in &report.models {
        let cost = cost(model, totals, context);
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Html(
                Some(&**model)
                    .filter(|model| !model.is_empty())
                    .unwrap_or("(not reported)")
            ),
            Count(totals.responses),
            Count(totals.prompt_tokens),
            Count(totals.completion_tokens),
            cost.map_or("price unknown".to_owned(), |cost| cost.to_string()),
        );
    }
    let prices = if context.prices.is_own(context.model) {
        "Your own prices.".to_owned()
    } else {
        format!(
            "List prices of {LIST_DATE}; yours may differ. Set your own under [prices] in promptmill.toml."
        )
    };
    let simulated = if context.simulated {
        " Responses are simulated; nothing was charged."
    } else {
        ""
    };
    format!(
        "<section><h2>Cost by model</h2><div class=\"wide\"><table class=\"numbers\"><thead><tr>\
         <th>Model</th><th>Responses</th><th>Tokens in</th><th>Tokens out</th><th>Cost</th></tr></thead>\
         <tbody>\n{rows}</tbody></table></div><p class=\"note\">{prices}{simulated}</p></section>\n"
    )
}

/// Renders the causes of failed and waiting rows, with hints.
pub(super) fn causes(causes: &[Cause]) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for cause in causes {
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td><b>{}</b> <code>{}</code><p class=\"message\">{}</p><p>{}</p></td></tr>",
            Count(cause.jobs),
            Html(describe_scope(cause.scope)),
            Html(&cause.rule),
            Html(&cause.message),
            Html(&cause.hint),
        );
    }
    format!(
        "<section><h2>Why rows failed or are waiting</h2><div class=\"wide\"><table class=\"causes\"><thead><tr>\
         <th>Rows</th><th>Cause, message and hint</th></tr></thead><tbody>\n{rows}\
         </tbody></table></div></section>\n"
    )
}

/// Renders the API keys by label.
pub(super) fn keys(report: &Report, context: &ReportContext<'_>) -> String {
    if report.keys.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for (label, totals) in &report.keys {
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Html(label),
            Count(totals.responses),
            Count(totals.tokens),
            Count(totals.throttled),
            Count(totals.other_failures),
            key_status(label, context),
        );
    }
    format!(
        "<section><h2>API keys</h2><div class=\"wide\"><table class=\"numbers\"><thead><tr><th>Key</th>\
         <th>Responses</th><th>Tokens</th><th>Rate limited</th><th>Other failures</th><th>State</th></tr></thead>\
         <tbody>\n{rows}</tbody></table></div></section>\n"
    )
}

fn key_status(label: &str, context: &ReportContext<'_>) -> String {
    let Some(key) = context.keys.iter().find(|key| key.label == label) else {
        return String::new();
    };
    let mut shown = Html(state_text(&key.state)).to_string();
    if let Some(until) = key.until.filter(|until| *until > context.now) {
        let _ = write!(shown, " until {}", DateTime(until));
    }
    if !key.reason.is_empty() {
        let _ = write!(shown, "<p class=\"message\">{}</p>", Html(&key.reason));
    }
    shown
}

/// Renders the finish reasons, unless all responses are complete.
pub(super) fn finish_reasons(report: &Report) -> String {
    let mut reasons = report.finish_reasons.keys();
    if reasons.all(|reason| reason == "stop" || reason.is_empty()) {
        return String::new();
    }
    let mut rows = String::new();
    for (reason, count) in &report.finish_reasons {
        let meaning = match reason.as_str() {
            "stop" => "complete",
            "length" => "truncated at the token limit; raise max_tokens",
            "content_filter" => "truncated by the provider's content filter",
            "tool_calls" | "function_call" => "tool call",
            "" => "not reported",
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
        "<section><h2>Finish reasons</h2><table class=\"causes\"><thead><tr><th>Responses</th>\
         <th>Finish reason</th></tr></thead><tbody>\n{rows}</tbody></table></section>\n"
    )
}
