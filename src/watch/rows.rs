//! What is told line by line: batches, keys, failures. The first of each kind are those that
//! somebody may have to see to; what does not fit is counted.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span as Piece};

use crate::domain::time::Timestamp;
use crate::progress::moment::Clock;
use crate::progress::quantity::{Count, Rate, Span};
use crate::progress::safe::{Excerpt, Safe};

use super::look::Look;
use super::{Batch, Failure, Key, Watch};

/// From this width on failures are told with their batch.
const ROOMY: u16 = 70;

/// Characters of a provider's message that are shown.
const MESSAGE_LENGTH: usize = 300;

/// The widest that names become, in characters.
const WIDEST_NAME: usize = 28;

/// The batches, those with work left first, each with a bar.
pub(super) fn batches(watch: &Watch, area: Rect, now: Timestamp, look: Look) -> Vec<Line<'static>> {
    let Some((_, snapshot)) = &watch.seen else {
        return vec![
            Line::raw(""),
            Line::styled(" nothing was seen yet", Look::dim()),
        ];
    };
    if snapshot.batches.is_empty() {
        return vec![Line::raw(""), Line::styled(" no batches yet", Look::dim())];
    }
    let mut shown: Vec<&Batch> = snapshot.batches.iter().rev().collect();
    shown.sort_by_key(|batch| batch.done + batch.failed >= batch.total);
    let room = usize::from(area.height / 3).max(1);
    let hidden = shown.len().saturating_sub(room);
    shown.truncate(room);
    let names = shown.iter().map(|batch| Safe(&batch.name).to_string());
    let names: Vec<String> = names.map(|name| cut(&name, WIDEST_NAME)).collect();
    let name_width = names
        .iter()
        .map(|name| Piece::raw(name).width())
        .max()
        .unwrap_or(0);
    let width = usize::from(area.width).saturating_sub(2);
    let room = width.saturating_sub(name_width + 2);
    let figures = shown.iter().map(|batch| figures(batch, watch, now));
    let figures: Vec<String> = figures.map(|parts| fitting(&parts, room)).collect();
    let figure_width = figures
        .iter()
        .map(|text| text.chars().count())
        .max()
        .unwrap_or(0);
    let bar = room.saturating_sub(figure_width + 2);
    let mut lines = vec![Line::raw("")];
    for ((batch, name), figures) in shown.iter().zip(&names).zip(&figures) {
        lines.push(batch_line(batch, name, name_width, bar, figures, look));
    }
    if hidden > 0 {
        lines.push(Line::styled(format!(" and {hidden} more"), Look::dim()));
    }
    lines
}

fn batch_line(
    batch: &Batch,
    name: &str,
    name_width: usize,
    bar: usize,
    figures: &str,
    look: Look,
) -> Line<'static> {
    let fill = name_width - Piece::raw(name).width();
    let mut pieces = vec![Piece::styled(
        format!(" {name}{}  ", " ".repeat(fill)),
        Look::strong(),
    )];
    if bar >= 4 {
        let part = |count: u64| {
            let columns = u128::from(count) * bar as u128 / u128::from(batch.total.max(1));
            usize::try_from(columns).unwrap_or(bar).min(bar)
        };
        let ended = part(batch.done + batch.failed);
        let failed = part(batch.failed)
            .max(usize::from(batch.failed > 0))
            .min(ended);
        pieces.push(Piece::styled("━".repeat(ended - failed), look.good()));
        pieces.push(Piece::styled("━".repeat(failed), look.bad()));
        pieces.push(Piece::styled("─".repeat(bar - ended), Look::dim()));
        pieces.push(Piece::raw("  "));
    }
    pieces.push(Piece::raw(figures.to_owned()));
    Line::from(pieces)
}

/// What there is to say of a batch, the most important first: `12,345/32,000 38%`, `4 failed`,
/// `eta 8m 9s`, `41/s`, `16 in flight`.
fn figures(batch: &Batch, watch: &Watch, now: Timestamp) -> Vec<String> {
    let ended = batch.done + batch.failed;
    let percent = u128::from(ended) * 100 / u128::from(batch.total.max(1));
    let mut figures = vec![format!(
        "{}/{} {percent}%",
        Count(ended),
        Count(batch.total)
    )];
    if batch.failed > 0 {
        figures.push(format!("{} failed", Count(batch.failed)));
    }
    let speed = watch.speeds.get(&batch.name);
    let left = batch.total.saturating_sub(ended);
    if let Some(left) = speed.and_then(|speed| speed.time_for(left, now, ended)) {
        figures.push(format!("eta {}", Span(left)));
    }
    let rate = speed.and_then(|speed| speed.per_second(now, ended));
    if let Some(rate) = rate.filter(|rate| *rate > 0.0) {
        figures.push(Rate(rate).to_string());
    }
    if batch.running > 0 {
        figures.push(format!("{} in flight", Count(batch.running)));
    }
    figures
}

/// Joins the first of the parts that fit; the first one is always there.
fn fitting(parts: &[String], width: usize) -> String {
    let mut joined = parts.first().cloned().unwrap_or_default();
    for part in parts.iter().skip(1) {
        if joined.chars().count() + 3 + part.chars().count() > width {
            break;
        }
        joined = format!("{joined} · {part}");
    }
    joined
}

/// The keys, with what each waits for.
pub(super) fn keys(watch: &Watch, area: Rect, now: Timestamp, look: Look) -> Vec<Line<'static>> {
    let Some((_, snapshot)) = watch
        .seen
        .as_ref()
        .filter(|(_, seen)| !seen.keys.is_empty())
    else {
        return Vec::new();
    };
    let mut shown: Vec<&Key> = snapshot.keys.iter().collect();
    // Those that somebody may have to see to come first.
    shown.sort_by_key(|key| is_well(key));
    let room = usize::from(area.height / 4).max(1);
    let hidden = shown.len().saturating_sub(room);
    shown.truncate(room);
    let labels = shown
        .iter()
        .map(|key| cut(&Safe(&key.label).to_string(), WIDEST_NAME));
    let labels: Vec<String> = labels.collect();
    let width = labels
        .iter()
        .map(|label| Piece::raw(label).width())
        .max()
        .unwrap_or(0);
    let mut lines = vec![Line::raw(""), Line::styled(" keys", Look::strong())];
    for (key, label) in shown.iter().zip(&labels) {
        let fill = " ".repeat(width - Piece::raw(label).width());
        let waits = key.until.filter(|until| *until > now);
        let style = match (key.state.as_str(), waits) {
            _ if is_well(key) => look.good(),
            ("dead", _) => look.bad(),
            _ => look.warn(),
        };
        let mut state = Safe(&key.state).to_string();
        if let Some(until) = waits {
            state = format!("{state}, {}", Span(until.since(now)));
        }
        let mut pieces = vec![
            Piece::raw(format!(" {label}{fill}  ")),
            Piece::styled(state, style),
        ];
        if !key.reason.is_empty() {
            let reason = Excerpt(&key.reason, MESSAGE_LENGTH);
            pieces.push(Piece::styled(format!("  {reason}"), Look::dim()));
        }
        lines.push(Line::from(pieces));
    }
    if hidden > 0 {
        lines.push(Line::styled(format!(" and {hidden} more"), Look::dim()));
    }
    lines
}

fn is_well(key: &Key) -> bool {
    matches!(key.state.as_str(), "healthy" | "answering")
}

/// The last failures, as many as there is room for.
pub(super) fn failures(watch: &Watch, area: Rect, look: Look) -> Vec<Line<'static>> {
    let Some((_, snapshot)) = watch
        .seen
        .as_ref()
        .filter(|(_, seen)| !seen.failures.is_empty())
    else {
        return Vec::new();
    };
    let mut lines = vec![
        Line::raw(""),
        Line::styled(" last failures", Look::strong()),
    ];
    let room = usize::from(area.height).saturating_sub(lines.len());
    let named = area.width >= ROOMY;
    let shown = snapshot.failures.iter().take(room);
    lines.extend(shown.map(|failure| failure_line(failure, named, look)));
    lines
}

fn failure_line(failure: &Failure, named: bool, look: Look) -> Line<'static> {
    let time = Clock(failure.ended_at).to_string();
    let time = time.trim_end_matches(" UTC").to_owned();
    let row = match failure.row {
        Some(row) => format!("row {}", Count(row)),
        None => "a withdrawn row".to_owned(),
    };
    let batch = if named {
        cut(&Safe(&failure.batch).to_string(), WIDEST_NAME) + " "
    } else {
        String::new()
    };
    Line::from(vec![
        Piece::styled(format!(" {time}  "), Look::dim()),
        Piece::raw(format!("{batch}{row}  ")),
        Piece::styled(format!("{}  ", Safe(&failure.rule)), look.warn()),
        Piece::styled(
            Excerpt(&failure.message, MESSAGE_LENGTH).to_string(),
            Look::dim(),
        ),
    ])
}

/// Cuts a text to so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}
