//! The page as a whole: head, figures to read at a glance, charts, tables.

use std::fmt::Write as _;
use std::time::Duration;

use crate::progress::moment::DateTime;
use crate::progress::quantity::{Count, Rate, Short, Span};

use super::charts::charts;
use super::escape::Html;
use super::{Report, Subject, chart, tables};

/// How the page looks, light, dark and on paper.
const STYLE: &str = include_str!("style.css");

/// Writes the page.
pub(super) fn page(report: &Report, subject: &Subject<'_>) -> String {
    let charts: String = charts(report, subject.total)
        .into_iter()
        .map(chart::Chart::figure)
        .collect();
    // Nothing is loaded and nothing is run, whatever a provider has said.
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name} · promptmill</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
         {head}{figures}<section class=\"charts\">\n{charts}</section>\n{causes}{models}{keys}{endings}\
         {foot}</main></body></html>\n",
        name = Html(subject.batch),
        head = head(report, subject),
        figures = figures(report, subject),
        causes = tables::causes(subject.causes),
        models = tables::models(report, subject),
        keys = tables::keys(report, subject),
        endings = tables::endings(report),
        foot = foot(subject),
    )
}

fn head(report: &Report, subject: &Subject<'_>) -> String {
    let simulated = if subject.simulated {
        "<p class=\"badge\">Simulated: no provider was asked and nothing was paid; the answers are made up.</p>"
    } else {
        ""
    };
    let span = match report.timeline.span() {
        Some((first, last)) => format!("{} to {}", DateTime(first), DateTime(last)),
        None => "nothing was asked yet".to_owned(),
    };
    format!(
        "<header><p class=\"kind\">Batch report</p><h1>{}</h1>\
         <p class=\"what\"><b>{}</b> · {} · {span}</p>{simulated}</header>\n{}",
        Html(subject.batch),
        Html(subject.model),
        Html(subject.source),
        meter(subject),
    )
}

/// The bar of what is answered, failed and left.
fn meter(subject: &Subject<'_>) -> String {
    let Subject {
        total,
        done,
        failed,
        ..
    } = *subject;
    let share = |count: u64| 100.0 * chart::number(count) / chart::number(total.max(1));
    let mut parts = String::new();
    for (class, count) in [("done", done), ("failed", failed)] {
        if count > 0 {
            let _ = write!(
                parts,
                "<i class=\"{class}\" style=\"width:{:.2}%\"></i>",
                share(count)
            );
        }
    }
    let left = total.saturating_sub(done + failed);
    let said = format!(
        "{} answered, {} failed, {} left",
        Count(done),
        Count(failed),
        Count(left)
    );
    format!("<div class=\"meter\" role=\"img\" aria-label=\"{said}\">{parts}</div>\n")
}

fn figures(report: &Report, subject: &Subject<'_>) -> String {
    let Subject {
        total,
        done,
        failed,
        requests,
        ..
    } = *subject;
    let left = total.saturating_sub(done + failed);
    let mut shown = String::new();
    let mut figure = |name: &str, value: String, about: String, class: &str| {
        let _ = writeln!(
            shown,
            "<div class=\"figure {class}\"><dt>{name}</dt><dd>{value}</dd><p>{about}</p></div>"
        );
    };
    figure(
        "Answered",
        Count(done).to_string(),
        format!("of {} rows{}", Count(total), percent(done, total)),
        "",
    );
    figure(
        "Failed",
        Count(failed).to_string(),
        percent_of_rows(failed, total),
        if failed > 0 { "bad" } else { "" },
    );
    figure(
        "Left",
        Count(left).to_string(),
        percent_of_rows(left, total),
        "",
    );
    let (elapsed, rate) = times(report);
    figure("From first to last", elapsed, rate, "");
    let about = format!("{} met a limit", Count(report.all.throttled));
    figure("Requests", Count(requests).to_string(), about, "");
    let (sent, got) = (report.prompt_tokens.sum(), report.completion_tokens.sum());
    let about = format!("{} in, {} out", Short(sent), Short(got));
    figure(
        "Tokens",
        Short(sent.saturating_add(got)).to_string(),
        about,
        "",
    );
    let (cost, about) = cost(report, subject);
    figure("Cost", cost, about, "");
    let (middle, slow) = latency(report);
    figure("Latency", middle, slow, "");
    format!("<dl class=\"figures\">\n{shown}</dl>\n")
}

fn times(report: &Report) -> (String, String) {
    let Some((first, last)) = report.timeline.span() else {
        return ("–".to_owned(), String::new());
    };
    let elapsed = last.since(first);
    let rate = Rate::over(report.all.answered, elapsed);
    let rate = rate.map_or(String::new(), |rate| format!("{rate} over all of it"));
    (Span(elapsed).to_string(), rate)
}

fn cost(report: &Report, subject: &Subject<'_>) -> (String, String) {
    let bill = tables::bill(report, subject);
    if bill.priced == 0 {
        return ("–".to_owned(), "price unknown".to_owned());
    }
    let about = match (bill.unpriced, subject.simulated) {
        (0, false) => format!("{} a thousand answers", bill.cost.share(1_000, bill.priced)),
        (0, true) => "if it were asked for real".to_owned(),
        (unpriced, _) => format!("and {} answers at an unknown price", Count(unpriced)),
    };
    (bill.cost.to_string(), about)
}

fn latency(report: &Report) -> (String, String) {
    let time = |percent| {
        let millis = report.latency.percentile(percent)?;
        Some(Span(Duration::from_millis(millis)).to_string())
    };
    match (time(50), time(95)) {
        (Some(middle), Some(slow)) => (middle, format!("the middle; 95% within {slow}")),
        _ => ("–".to_owned(), String::new()),
    }
}

/// ` · 99.5%`, or nothing of nothing. What is not all is never shown as all.
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
        return "none of the rows".to_owned();
    }
    let shown = percent(count, total);
    shown
        .strip_prefix(" · ")
        .map_or(String::new(), |share| format!("{share} of the rows"))
}

fn foot(subject: &Subject<'_>) -> String {
    format!(
        "<footer>Made by promptmill {} on {}. No prompt, no answer and no key is in this page.</footer>\n",
        env!("CARGO_PKG_VERSION"),
        DateTime(subject.now),
    )
}
