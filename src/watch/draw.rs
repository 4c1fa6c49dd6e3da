//! Rendering: a pure function of the state and the time, for a terminal of any size.
//!
//! If there is too little space, the sparklines are omitted first, then the failures.

use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use crate::domain::time::Timestamp;
use crate::progress::moment::UtcTime;
use crate::progress::quantity::{HumanDuration, Rate};
use crate::progress::safe::Safe;

use super::rows::{batches, failures, keys};
use super::state::WatchState;
use super::theme::Theme;

/// Minimum height for sparklines.
const MIN_HEIGHT_FOR_SPARKLINES: u16 = 20;

/// Draws the state.
pub fn draw(frame: &mut Frame<'_>, watch: &WatchState, now: Timestamp, color: bool) {
    let theme = Theme { color };
    let area = frame.area();
    let batches = batches(watch, area, now, theme);
    let keys = keys(watch, area, now, theme);
    let line_count = |lines: &[Line<'_>]| u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let show_sparklines = area.height >= MIN_HEIGHT_FOR_SPARKLINES;
    let parts = Layout::vertical([
        Length(1),
        Length(u16::from(watch.error.is_some())),
        Length(line_count(&batches)),
        Length(5 * u16::from(show_sparklines)),
        Length(line_count(&keys)),
        Fill(1),
    ]);
    let [header, error_area, batch_area, lines, key_area, rest] = parts.areas(area);
    draw_header(frame, header, watch, now);
    if let Some(error) = &watch.error {
        let message = Line::styled(format!(" {}", Safe(error)), theme.warn());
        frame.render_widget(message, error_area);
    }
    frame.render_widget(Paragraph::new(batches), batch_area);
    if show_sparklines {
        draw_sparklines(frame, lines, watch, theme);
    }
    frame.render_widget(Paragraph::new(keys), key_area);
    let failures = failures(watch, rest, theme);
    frame.render_widget(Paragraph::new(failures), rest);
}

fn draw_header(frame: &mut Frame<'_>, area: Rect, watch: &WatchState, now: Timestamp) {
    let time = match &watch.latest {
        Some((at, _)) if now.since(*at) > 3 * watch.interval + Duration::from_secs(2) => {
            format!("updated {} ago", HumanDuration(now.since(*at)))
        }
        _ => UtcTime(now).to_string(),
    };
    let name = Span::styled(" promptmill", Theme::strong());
    let database = Span::styled(format!(" {}", Safe(&watch.database)), Theme::dim());
    let right = Span::styled(format!(" {time} · q: quit "), Theme::dim());
    let available = usize::from(area.width);
    let corner = u16::try_from(right.width()).unwrap_or(u16::MAX);
    let halves = Layout::horizontal([Fill(1), Length(corner)]);
    let [left, corner] = halves.areas(area);
    if name.width() + database.width() + right.width() <= available {
        frame.render_widget(Line::from(vec![name, database]), left);
        frame.render_widget(right, corner);
    } else if name.width() + right.width() <= available {
        frame.render_widget(name, left);
        frame.render_widget(right, corner);
    } else {
        frame.render_widget(name, area);
    }
}

fn draw_sparklines(frame: &mut Frame<'_>, area: Rect, watch: &WatchState, theme: Theme) {
    let columns = Layout::horizontal([Fill(1), Length(2), Fill(1)]);
    let inner = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    let [left, _, right] = columns.areas(inner);
    let throughput = |rate| {
        #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
        let rate = rate as f64 / 1000.0;
        Rate(rate).to_string()
    };
    let latency = |millis| HumanDuration(Duration::from_millis(millis)).to_string();
    let [cyan, magenta] = [Color::Cyan, Color::Magenta].map(|color| theme.colored(color));
    draw_sparkline(frame, left, "throughput", &watch.rates, cyan, throughput);
    draw_sparkline(frame, right, "latency", &watch.latencies, magenta, latency);
}

/// Draws a sparkline, with the latest value on the right.
fn draw_sparkline(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    history: &VecDeque<u64>,
    style: Style,
    format: fn(u64) -> String,
) {
    let rows = Layout::vertical([Length(1), Length(1), Fill(1)]);
    let [_, head, line] = rows.areas(area);
    let width = usize::from(line.width);
    let visible: Vec<u64> = history.iter().rev().take(width).rev().copied().collect();
    let peak = visible.iter().max().copied().filter(|peak| *peak > 0);
    let values = match (visible.last(), peak) {
        (Some(0), Some(peak)) => format!("idle, peak {}", format(peak)),
        (Some(latest), Some(peak)) => format!("{}, peak {}", format(*latest), format(peak)),
        _ => "no data".to_owned(),
    };
    let title = Span::styled(format!("{title} "), Theme::strong());
    let values = Span::styled(values, Theme::dim());
    frame.render_widget(Line::from(vec![title, values]), head);
    let mut padded = vec![None; width.saturating_sub(visible.len())];
    padded.extend(visible.into_iter().map(Some));
    frame.render_widget(Sparkline::default().data(padded).style(style), line);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::state::{Snapshot, WatchedBatch, WatchedFailure};
    use super::*;
    use crate::domain::key::KeyStatus;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_466_460_000) + Duration::from_secs(seconds)
    }

    fn batch(name: &str, done: u64, failed: u64, running: u64) -> WatchedBatch {
        WatchedBatch {
            name: name.to_owned(),
            total: 1_000,
            done,
            failed,
            running,
        }
    }

    /// A run with ten snapshots: a completed batch, a batch in progress, a waiting key.
    fn busy() -> WatchState {
        let mut watch = WatchState::new("promptmill.db".to_owned(), Duration::from_secs(1));
        let key = |label: &str, state: &str, until, reason: &str| KeyStatus {
            label: label.to_owned(),
            state: state.to_owned(),
            until,
            reason: reason.to_owned(),
        };
        for second in 0..=10 {
            let failure = WatchedFailure {
                batch: "tickets.csv".to_owned(),
                row: Some(17),
                rule: "rate-limit".to_owned(),
                message: "slow\u{1b}[2J down".to_owned(),
                ended_at: at(second),
            };
            let snapshot = Snapshot {
                batches: vec![
                    batch("old.csv", 1_000, 0, 0),
                    batch("tickets.csv", 40 * second, 4, 16),
                ],
                keys: vec![
                    key("free-1", "healthy", None, ""),
                    key("free-2", "cooling", Some(at(22)), "rate limit"),
                ],
                failures: vec![failure],
                responses: vec![(at(second), 500)],
            };
            watch.update(snapshot, at(second));
        }
        watch
    }

    fn shown(watch: &WatchState, width: u16, height: u16, now: Timestamp) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let drawn = terminal
            .draw(|frame| draw(frame, watch, now, false))
            .unwrap();
        let rows = drawn.buffer.content.chunks(usize::from(width));
        let rows = rows.map(|row| {
            let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
            text.trim_end().to_owned()
        });
        let mut rows: Vec<_> = rows.collect();
        while rows.pop_if(|row| row.is_empty()).is_some() {}
        rows
    }

    #[track_caller]
    fn check(watch: &WatchState, width: u16, height: u16, expected: &[&str]) {
        assert_eq!(shown(watch, width, height, at(10)), expected);
    }

    #[test]
    fn a_standard_terminal_shows_everything() {
        check(
            &busy(),
            80,
            24,
            &[
                " promptmill promptmill.db                                20:41:10 UTC · q: quit",
                "",
                " tickets.csv  ━━─────  404/1,000 40% · 4 failed · eta 15s · 40/s · 16 in flight",
                " old.csv      ━━━━━━━  1,000/1,000 100%",
                "",
                " throughput 40/s, peak 40/s              latency 0.5s, peak 0.5s",
                "                             ██████████                              ██████████",
                "                             ██████████                              ██████████",
                "                             ██████████                              ██████████",
                "",
                " API keys",
                " free-2  rate limited, 12s  rate limit",
                " free-1  healthy",
                "",
                " recent failures",
                " 20:41:10  tickets.csv row 17  rate-limit  slow\\u{1b}[2J down",
            ],
        );
    }

    #[test]
    fn a_small_terminal_omits_less_important_parts() {
        check(
            &busy(),
            40,
            12,
            &[
                " promptmill      20:41:10 UTC · q: quit",
                "",
                " tickets.csv  404/1,000 40% · 4 failed",
                " old.csv      1,000/1,000 100%",
                "",
                " API keys",
                " free-2  rate limited, 12s  rate limit",
                " free-1  healthy",
                "",
                " recent failures",
                " 20:41:10  row 17  rate-limit  slow\\u{1b",
            ],
        );
    }

    #[test]
    fn any_size_can_be_drawn() {
        for width in [1, 2, 7, 15, 30, 200] {
            for height in [1, 2, 3, 5, 8, 19, 60] {
                shown(&busy(), width, height, at(10));
            }
        }
    }

    #[test]
    fn the_previous_snapshot_stays_visible_when_an_update_fails() {
        let mut watch = WatchState::new("q.db".to_owned(), Duration::from_secs(1));
        watch.update_failed("database not found".to_owned());
        let text = shown(&watch, 60, 10, at(0)).join("\n");
        assert!(text.contains(" database not found"), "{text}");
        assert!(text.contains(" no data yet"), "{text}");
        let mut watch = busy();
        watch.update_failed("database \u{7}busy".to_owned());
        let text = shown(&watch, 60, 16, at(40)).join("\n");
        assert!(text.contains(" database \\u{7}busy\n"), "{text}");
        assert!(text.contains("updated 30s ago · q: quit"), "{text}");
        assert!(text.contains("404/1,000"), "{text}");
        // The key's wait is over.
        assert!(text.contains("free-2  rate limited  rate limit"), "{text}");
    }

    #[test]
    fn many_batches_leave_space_for_other_parts() {
        let mut watch = WatchState::new("q.db".to_owned(), Duration::from_secs(1));
        let batches = (0..50).map(|number| batch(&format!("{number}.csv"), 1_000 - number, 0, 0));
        let snapshot = Snapshot {
            batches: batches.collect(),
            ..Snapshot::default()
        };
        watch.update(snapshot, at(0));
        let lines = shown(&watch, 80, 24, at(0));
        assert!(lines[2].starts_with(" 49.csv  ━"), "{lines:#?}");
        assert_eq!(lines[10], " and 42 more");
    }

    #[test]
    fn color_is_used_only_if_enabled() {
        let watch = busy();
        let colors = |color| {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            let drawn = terminal.draw(|frame| draw(frame, &watch, at(10), color));
            let cells = drawn.unwrap().buffer.content.clone();
            cells.iter().filter(|cell| cell.fg != Color::Reset).count()
        };
        assert_eq!(colors(false), 0);
        assert!(colors(true) > 20);
    }
}
