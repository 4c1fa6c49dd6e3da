//! The lists of batches, keys and failures. Batches and keys that may need attention come first;
//! those that do not fit are counted.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::domain::key::{KeyStatus, state_text};
use crate::domain::time::Timestamp;
use crate::progress::moment::UtcTime;
use crate::progress::quantity::{Count, HumanDuration, Rate};
use crate::progress::safe::{Safe, Truncated};

use super::state::{WatchState, WatchedBatch, WatchedFailure};
use super::theme::Theme;

/// Minimum width for showing the batch of a failure.
const MIN_WIDTH_FOR_BATCH: u16 = 70;

/// Maximum length of a provider's message, in characters.
const MESSAGE_LENGTH: usize = 300;

/// Maximum length of a name, in characters.
const MAX_NAME_LENGTH: usize = 28;

/// Renders the batches with a bar each, unfinished ones first.
pub(super) fn batches(
    watch: &WatchState,
    area: Rect,
    now: Timestamp,
    theme: Theme,
) -> Vec<Line<'static>> {
    let batches = watch.latest.iter().flat_map(|(_, latest)| &latest.batches);
    let mut shown: Vec<&WatchedBatch> = batches.rev().collect();
    if shown.is_empty() {
        let what = if watch.latest.is_some() {
            "batches"
        } else {
            "data"
        };
        let text = Line::styled(format!(" no {what} yet"), Theme::dim());
        return vec![Line::raw(""), text];
    }
    shown.sort_by_key(|batch| batch.done + batch.failed >= batch.total);
    let capacity = usize::from(area.height / 3).max(1);
    let hidden = shown.len().saturating_sub(capacity);
    shown.truncate(capacity);
    let names = shown.iter().map(|batch| Safe(&batch.name).to_string());
    let names: Vec<String> = names.map(|name| truncate(&name, MAX_NAME_LENGTH)).collect();
    let name_width = widest(&names);
    let width = usize::from(area.width).saturating_sub(2);
    let available = width.saturating_sub(name_width + 2);
    let figures = shown.iter().map(|batch| figures(batch, watch, now));
    let figures: Vec<String> = figures
        .map(|parts| join_fitting(&parts, available))
        .collect();
    let figure_width = widest(&figures);
    let bar = available.saturating_sub(figure_width + 2);
    let mut lines = vec![Line::raw("")];
    for ((batch, name), figures) in shown.iter().zip(&names).zip(&figures) {
        lines.push(batch_line(batch, name, name_width, bar, figures, theme));
    }
    if hidden > 0 {
        lines.push(Line::styled(format!(" and {hidden} more"), Theme::dim()));
    }
    lines
}

fn batch_line(
    batch: &WatchedBatch,
    name: &str,
    name_width: usize,
    bar: usize,
    figures: &str,
    theme: Theme,
) -> Line<'static> {
    let fill = name_width - Span::raw(name).width();
    let name = format!(" {name}{}  ", " ".repeat(fill));
    let mut spans = vec![Span::styled(name, Theme::strong())];
    if bar >= 4 {
        let part = |count: u64| {
            let columns = u128::from(count) * bar as u128 / u128::from(batch.total.max(1));
            usize::try_from(columns).unwrap_or(bar).min(bar)
        };
        let finished = part(batch.done + batch.failed);
        let failed = part(batch.failed)
            .max(usize::from(batch.failed > 0))
            .min(finished);
        spans.push(Span::styled("━".repeat(finished - failed), theme.good()));
        spans.push(Span::styled("━".repeat(failed), theme.bad()));
        spans.push(Span::styled("─".repeat(bar - finished), Theme::dim()));
        spans.push(Span::raw("  "));
    }
    spans.push(Span::raw(figures.to_owned()));
    Line::from(spans)
}

/// Returns the figures of a batch, most important first: `12,345/32,000 38%`, `4 failed`,
/// `eta 8m 9s`, `41/s`, `16 in flight`.
fn figures(batch: &WatchedBatch, watch: &WatchState, now: Timestamp) -> Vec<String> {
    let finished = batch.done + batch.failed;
    let percent = u128::from(finished) * 100 / u128::from(batch.total.max(1));
    let [done, total] = [finished, batch.total].map(Count);
    let mut figures = vec![format!("{done}/{total} {percent}%")];
    if batch.failed > 0 {
        figures.push(format!("{} failed", Count(batch.failed)));
    }
    let throughput = watch.throughputs.get(&batch.name);
    let remaining = batch.total.saturating_sub(finished);
    if let Some(time) =
        throughput.and_then(|throughput| throughput.time_for(remaining, now, finished))
    {
        figures.push(format!("eta {}", HumanDuration(time)));
    }
    let rate = throughput.and_then(|throughput| throughput.per_second(now, finished));
    if let Some(rate) = rate.filter(|rate| *rate > 0.0) {
        figures.push(Rate(rate).to_string());
    }
    if batch.running > 0 {
        figures.push(format!("{} in flight", Count(batch.running)));
    }
    figures
}

/// Joins the leading parts that fit into the width, but at least the first.
fn join_fitting(parts: &[String], width: usize) -> String {
    let mut joined = parts.first().cloned().unwrap_or_default();
    for part in parts.iter().skip(1) {
        if joined.chars().count() + 3 + part.chars().count() > width {
            break;
        }
        joined = format!("{joined} · {part}");
    }
    joined
}

/// Renders the API keys with their state.
pub(super) fn keys(
    watch: &WatchState,
    area: Rect,
    now: Timestamp,
    theme: Theme,
) -> Vec<Line<'static>> {
    let keys = watch.latest.iter().flat_map(|(_, snapshot)| &snapshot.keys);
    let mut shown: Vec<&KeyStatus> = keys.collect();
    if shown.is_empty() {
        return Vec::new();
    }
    shown.sort_by_key(|key| is_healthy(key));
    let capacity = usize::from(area.height / 4).max(1);
    let hidden = shown.len().saturating_sub(capacity);
    shown.truncate(capacity);
    let labels = shown
        .iter()
        .map(|key| truncate(&Safe(&key.label).to_string(), MAX_NAME_LENGTH));
    let labels: Vec<String> = labels.collect();
    let width = widest(&labels);
    let mut lines = vec![Line::raw(""), Line::styled(" API keys", Theme::strong())];
    for (key, label) in shown.iter().zip(&labels) {
        let fill = " ".repeat(width - Span::raw(label).width());
        let wait_end = key.until.filter(|until| *until > now);
        let style = match (key.state.as_str(), wait_end) {
            _ if is_healthy(key) => theme.good(),
            ("dead", _) => theme.bad(),
            _ => theme.warn(),
        };
        let mut state = Safe(state_text(&key.state)).to_string();
        if let Some(until) = wait_end {
            state = format!("{state}, {}", HumanDuration(until.since(now)));
        }
        let mut spans = vec![
            Span::raw(format!(" {label}{fill}  ")),
            Span::styled(state, style),
        ];
        if !key.reason.is_empty() {
            let reason = Truncated(&key.reason, MESSAGE_LENGTH);
            spans.push(Span::styled(format!("  {reason}"), Theme::dim()));
        }
        lines.push(Line::from(spans));
    }
    if hidden > 0 {
        lines.push(Line::styled(format!(" and {hidden} more"), Theme::dim()));
    }
    lines
}

fn is_healthy(key: &KeyStatus) -> bool {
    matches!(key.state.as_str(), "healthy" | "active")
}

/// Renders the most recent failures that fit.
pub(super) fn failures(watch: &WatchState, area: Rect, theme: Theme) -> Vec<Line<'static>> {
    let failures = watch.latest.as_ref().map(|(_, latest)| &latest.failures);
    let Some(failures) = failures.filter(|failures| !failures.is_empty()) else {
        return Vec::new();
    };
    let mut lines = vec![
        Line::raw(""),
        Line::styled(" recent failures", Theme::strong()),
    ];
    let capacity = usize::from(area.height).saturating_sub(lines.len());
    let show_batch = area.width >= MIN_WIDTH_FOR_BATCH;
    let shown = failures.iter().take(capacity);
    lines.extend(shown.map(|failure| failure_line(failure, show_batch, theme)));
    lines
}

fn failure_line(failure: &WatchedFailure, show_batch: bool, theme: Theme) -> Line<'static> {
    let time = UtcTime(failure.ended_at).to_string();
    let time = time.trim_end_matches(" UTC").to_owned();
    let row = match failure.row {
        Some(row) => format!("row {}", Count(row)),
        None => "removed row".to_owned(),
    };
    let batch = if show_batch {
        truncate(&Safe(&failure.batch).to_string(), MAX_NAME_LENGTH) + " "
    } else {
        String::new()
    };
    let message = Truncated(&failure.message, MESSAGE_LENGTH).to_string();
    Line::from(vec![
        Span::styled(format!(" {time}  "), Theme::dim()),
        Span::raw(format!("{batch}{row}  ")),
        Span::styled(format!("{}  ", Safe(&failure.rule)), theme.warn()),
        Span::styled(message, Theme::dim()),
    ])
}

/// Returns the width of the widest text, in columns.
fn widest(texts: &[String]) -> usize {
    let widths = texts.iter().map(|text| Span::raw(text).width());
    widths.max().unwrap_or(0)
}

/// Truncates text to a number of characters.
fn truncate(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max.saturating_sub(1)).collect();
    kept + "…"
}
