//! The HTML page: header, key figures, charts and tables.

use std::fmt::Write as _;
use std::time::Duration;

use crate::progress::moment::DateTime;
use crate::progress::quantity::{Count, HumanDuration, Plural, Rate, ShortCount};

use super::charts::charts;
use super::escape::Html;
use super::totals::{Report, ReportContext};
use super::{chart, tables};

/// Styles for light mode, dark mode and print.
const STYLE: &str = include_str!("style.css");

/// Renders a report as an HTML document.
#[must_use]
pub fn page(report: &Report, context: &ReportContext<'_>) -> String {
    let charts: String = charts(report, context.total)
        .into_iter()
        .map(chart::Chart::figure)
        .collect();
    // Blocks all scripts and external resources, in case escaping ever fails.
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name} · promptmill</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
         {head}{figures}<section class=\"charts\">\n{charts}</section>\n{causes}{models}{keys}{finish_reasons}\
         {foot}</main></body></html>\n",
        name = Html(context.batch),
        head = head(report, context),
        figures = figures(report, context),
        causes = tables::causes(context.causes),
        models = tables::models(report, context),
        keys = tables::keys(report, context),
        finish_reasons = tables::finish_reasons(report),
        foot = foot(context),
    )
}

fn head(report: &Report, context: &ReportContext<'_>) -> String {
    let simulated = if context.simulated {
        "<p class=\"badge\">Simulated responses: no provider was called and nothing was charged.</p>"
    } else {
        ""
    };
    let span = match report.timeline.span() {
        Some((first, last)) => format!("{} to {}", DateTime(first), DateTime(last)),
        None => "no requests yet".to_owned(),
    };
    format!(
        "<header><p class=\"kind\">Batch report</p><h1>{}</h1>\
         <p class=\"subtitle\"><b>{}</b> · {} · {span}</p>{simulated}</header>\n{}",
        Html(context.batch),
        Html(context.model),
        Html(context.source),
        meter(context),
    )
}

/// Renders the bar of done, failed and remaining rows.
fn meter(context: &ReportContext<'_>) -> String {
    let (total, done, failed) = (context.total, context.done, context.failed);
    let share = |count: u64| 100.0 * chart::to_f64(count) / chart::to_f64(total.max(1));
    let mut parts = String::new();
    for (class, count) in [("done", done), ("failed", failed)] {
        if count > 0 {
            let width = share(count);
            let _ = write!(
                parts,
                "<i class=\"{class}\" style=\"width:{width:.2}%\"></i>"
            );
        }
    }
    let remaining = total.saturating_sub(done + failed);
    let [done, failed, remaining] = [done, failed, remaining].map(Count);
    let label = format!("{done} done, {failed} failed, {remaining} remaining");
    format!("<div class=\"meter\" role=\"img\" aria-label=\"{label}\">{parts}</div>\n")
}

fn figures(report: &Report, context: &ReportContext<'_>) -> String {
    let (total, done, failed) = (context.total, context.done, context.failed);
    let remaining = total.saturating_sub(done + failed);
    let mut shown = String::new();
    let mut figure = |name: &str, value: String, caption: String, class: &str| {
        let _ = writeln!(
            shown,
            "<div class=\"figure {class}\"><dt>{name}</dt><dd>{value}</dd><p>{caption}</p></div>"
        );
    };
    let caption = format!("of {} rows{}", Count(total), percent(done, total));
    figure("Done", Count(done).to_string(), caption, "");
    let class = if failed > 0 { "bad" } else { "" };
    for (name, count, class) in [("Failed", failed, class), ("Remaining", remaining, "")] {
        let caption = percent_of_rows(count, total);
        figure(name, Count(count).to_string(), caption, class);
    }
    let (elapsed, rate) = times(report);
    figure("Duration", elapsed, rate, "");
    let caption = format!("{} rate limited", Count(report.all.throttled));
    figure("Requests", Count(context.requests).to_string(), caption, "");
    let (prompt, completion) = (report.prompt_tokens.sum(), report.completion_tokens.sum());
    let caption = format!("{} in, {} out", ShortCount(prompt), ShortCount(completion));
    let tokens = ShortCount(prompt.saturating_add(completion)).to_string();
    figure("Tokens", tokens, caption, "");
    let (cost, caption) = cost(report, context);
    figure("Cost", cost, caption, "");
    let (median, caption) = latency(report);
    figure("Latency p50", median, caption, "");
    format!("<dl class=\"figures\">\n{shown}</dl>\n")
}

fn times(report: &Report) -> (String, String) {
    let Some((first, last)) = report.timeline.span() else {
        return ("–".to_owned(), String::new());
    };
    let elapsed = last.since(first);
    let rate = Rate::over(report.all.completed, elapsed);
    let rate = rate.map_or(String::new(), |rate| format!("{rate} on average"));
    (HumanDuration(elapsed).to_string(), rate)
}

fn cost(report: &Report, context: &ReportContext<'_>) -> (String, String) {
    let cost_total = tables::cost_total(report, context);
    if cost_total.priced == 0 {
        return ("–".to_owned(), "price unknown".to_owned());
    }
    let caption = match (cost_total.unpriced, context.simulated) {
        (0, false) => format!(
            "{} per 1,000 responses",
            cost_total.cost.scaled(1_000, cost_total.priced)
        ),
        (0, true) => "not charged".to_owned(),
        (unpriced, _) => format!("price unknown for {}", Plural(unpriced, "response")),
    };
    (cost_total.cost.to_string(), caption)
}

fn latency(report: &Report) -> (String, String) {
    let time = |percent| {
        let millis = report.latency.percentile(percent)?;
        Some(HumanDuration(Duration::from_millis(millis)).to_string())
    };
    match (time(50), time(95)) {
        (Some(median), Some(p95)) => (median, format!("p95 {p95}")),
        _ => ("–".to_owned(), String::new()),
    }
}

/// Formats ` · 99.5%`; empty without rows. Rounded down, so that 100% means all rows.
fn percent(count: u64, total: u64) -> String {
    if total == 0 {
        return String::new();
    }
    let tenths = u128::from(count) * 1_000 / u128::from(total);
    if tenths == 0 && count > 0 {
        return " · less than 0.1%".to_owned();
    }
    format!(" · {}.{}%", tenths / 10, tenths % 10)
}

fn percent_of_rows(count: u64, total: u64) -> String {
    if count == 0 {
        return "0% of rows".to_owned();
    }
    let shown = percent(count, total);
    let share = shown.strip_prefix(" · ");
    share.map_or(String::new(), |share| format!("{share} of rows"))
}

fn foot(context: &ReportContext<'_>) -> String {
    format!(
        "<footer>Generated by promptmill {} on {}. This page contains no prompts, responses or API keys.</footer>\n",
        env!("CARGO_PKG_VERSION"),
        DateTime(context.now),
    )
}
