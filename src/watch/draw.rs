//! The picture: a pure function of what was seen and the present, for a terminal of any size.
//!
//! What matters less goes first where there is no room: the lines over time, then the failures.

use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span as Piece};
use ratatui::widgets::{Paragraph, Sparkline};

use crate::domain::time::Timestamp;
use crate::progress::moment::Clock;
use crate::progress::quantity::{Rate, Span};
use crate::progress::safe::Safe;

use super::Watch;
use super::look::Look;
use super::rows::{batches, failures, keys};

/// From this height on there is room for lines over time.
const TALL: u16 = 20;

/// Draws what was seen.
pub fn draw(frame: &mut Frame<'_>, watch: &Watch, now: Timestamp, color: bool) {
    let look = Look { color };
    let area = frame.area();
    let batches = batches(watch, area, now, look);
    let keys = keys(watch, area, now, look);
    let lines = |lines: &[Line<'_>]| u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let spark_rows = if area.height >= TALL { 5 } else { 0 };
    let parts = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(watch.trouble.is_some())),
        Constraint::Length(lines(&batches)),
        Constraint::Length(spark_rows),
        Constraint::Length(lines(&keys)),
        Constraint::Fill(1),
    ]);
    let [head, trouble, batch_area, sparks, key_area, failure_area] = parts.areas(area);
    draw_head(frame, head, watch, now);
    if let Some(why) = &watch.trouble {
        let why = Line::styled(format!(" {}", Safe(why)), look.warn());
        frame.render_widget(why, trouble);
    }
    frame.render_widget(Paragraph::new(batches), batch_area);
    if spark_rows > 0 {
        draw_sparks(frame, sparks, watch, look);
    }
    frame.render_widget(Paragraph::new(keys), key_area);
    let failures = failures(watch, failure_area, look);
    frame.render_widget(Paragraph::new(failures), failure_area);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, watch: &Watch, now: Timestamp) {
    let seen = match &watch.seen {
        Some((at, _)) if now.since(*at) > 3 * watch.every + Duration::from_secs(2) => {
            format!("as of {} ago", Span(now.since(*at)))
        }
        _ => Clock(now).to_string(),
    };
    let name = Piece::styled(" promptmill", Look::strong());
    let database = Piece::styled(format!(" {}", Safe(&watch.database)), Look::dim());
    let right = Piece::styled(format!(" {seen} · q quits "), Look::dim());
    let room = usize::from(area.width);
    let corner = u16::try_from(right.width()).unwrap_or(u16::MAX);
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Length(corner)]);
    let [left, corner] = halves.areas(area);
    if name.width() + database.width() + right.width() <= room {
        frame.render_widget(Line::from(vec![name, database]), left);
        frame.render_widget(right, corner);
    } else if name.width() + right.width() <= room {
        frame.render_widget(name, left);
        frame.render_widget(right, corner);
    } else {
        frame.render_widget(name, area);
    }
}

fn draw_sparks(frame: &mut Frame<'_>, area: Rect, watch: &Watch, look: Look) {
    let halves = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(2),
        Constraint::Fill(1),
    ]);
    let inner = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    let [left, _, right] = halves.areas(inner);
    draw_spark(
        frame,
        left,
        "answers",
        &watch.rates,
        look.colored(Color::Cyan),
        |rate| {
            #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
            let rate = rate as f64 / 1000.0;
            Rate(rate).to_string()
        },
    );
    draw_spark(
        frame,
        right,
        "latency",
        &watch.latencies,
        look.colored(Color::Magenta),
        |millis| Span(Duration::from_millis(millis)).to_string(),
    );
}

/// A line over time, the present at its right end.
fn draw_spark(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    history: &VecDeque<u64>,
    style: Style,
    shown: fn(u64) -> String,
) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
    ]);
    let [_, head, line] = rows.areas(area);
    let width = usize::from(line.width);
    let visible: Vec<u64> = history.iter().rev().take(width).rev().copied().collect();
    let most = visible.iter().max().copied().filter(|most| *most > 0);
    let told = match (visible.last(), most) {
        (Some(0), Some(most)) => format!("none now, most {}", shown(most)),
        (Some(last), Some(most)) => format!("{} now, most {}", shown(*last), shown(most)),
        _ => "none".to_owned(),
    };
    let title = Piece::styled(format!("{title} "), Look::strong());
    let told = Piece::styled(told, Look::dim());
    frame.render_widget(Line::from(vec![title, told]), head);
    let mut padded = vec![None; width.saturating_sub(visible.len())];
    padded.extend(visible.into_iter().map(Some));
    frame.render_widget(Sparkline::default().data(padded).style(style), line);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::{Batch, Failure, Key, Snapshot};
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_466_460_000) + Duration::from_secs(seconds)
    }

    fn batch(name: &str, done: u64, failed: u64, running: u64) -> Batch {
        Batch {
            name: name.to_owned(),
            total: 1_000,
            done,
            failed,
            running,
        }
    }

    /// A run after ten looks: a batch that is done, one under way, a key that waits.
    fn busy() -> Watch {
        let mut watch = Watch::new("promptmill.db".to_owned(), Duration::from_secs(1));
        let key = |label: &str, state: &str, until, reason: &str| Key {
            label: label.to_owned(),
            state: state.to_owned(),
            until,
            reason: reason.to_owned(),
        };
        for second in 0..=10 {
            let failure = Failure {
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
                answers: vec![(at(second), 500)],
            };
            watch.saw(snapshot, at(second));
        }
        watch
    }

    fn shown(watch: &Watch, width: u16, height: u16, now: Timestamp) -> Vec<String> {
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
    fn check(watch: &Watch, width: u16, height: u16, expected: &[&str]) {
        assert_eq!(shown(watch, width, height, at(10)), expected);
    }

    #[test]
    fn a_usual_terminal_shows_it_all() {
        check(
            &busy(),
            80,
            24,
            &[
                " promptmill promptmill.db                                20:41:10 UTC · q quits",
                "",
                " tickets.csv  ━━─────  404/1,000 40% · 4 failed · eta 15s · 40/s · 16 in flight",
                " old.csv      ━━━━━━━  1,000/1,000 100%",
                "",
                " answers 40/s now, most 40/s             latency 0.5s now, most 0.5s",
                "                             ██████████                              ██████████",
                "                             ██████████                              ██████████",
                "                             ██████████                              ██████████",
                "",
                " keys",
                " free-2  cooling, 12s  rate limit",
                " free-1  healthy",
                "",
                " last failures",
                " 20:41:10  tickets.csv row 17  rate-limit  slow\\u{1b}[2J down",
            ],
        );
    }

    #[test]
    fn a_small_terminal_shows_what_matters_most() {
        check(
            &busy(),
            40,
            12,
            &[
                " promptmill      20:41:10 UTC · q quits",
                "",
                " tickets.csv  404/1,000 40% · 4 failed",
                " old.csv      1,000/1,000 100%",
                "",
                " keys",
                " free-2  cooling, 12s  rate limit",
                " free-1  healthy",
                "",
                " last failures",
                " 20:41:10  row 17  rate-limit  slow\\u{1b",
            ],
        );
    }

    #[test]
    fn every_size_is_drawn() {
        for width in [1, 2, 7, 15, 30, 200] {
            for height in [1, 2, 3, 5, 8, 19, 60] {
                shown(&busy(), width, height, at(10));
            }
        }
    }

    #[test]
    fn what_was_seen_stays_while_nothing_can_be_seen() {
        let mut watch = Watch::new("q.db".to_owned(), Duration::from_secs(1));
        watch.missed("there is no database yet".to_owned());
        let text = shown(&watch, 60, 10, at(0)).join("\n");
        assert!(text.contains(" there is no database yet"), "{text}");
        assert!(text.contains(" nothing was seen yet"), "{text}");
        let mut watch = busy();
        watch.missed("it is \u{7}busy".to_owned());
        let text = shown(&watch, 60, 16, at(40)).join("\n");
        assert!(text.contains(" it is \\u{7}busy\n"), "{text}");
        assert!(text.contains("as of 30s ago · q quits"), "{text}");
        assert!(text.contains("404/1,000"), "{text}");
        // The key's wait is over by now.
        assert!(text.contains("free-2  cooling  rate limit"), "{text}");
    }

    #[test]
    fn many_batches_and_keys_leave_room_for_the_rest() {
        let mut watch = Watch::new("q.db".to_owned(), Duration::from_secs(1));
        let batches = (0..50).map(|number| batch(&format!("{number}.csv"), 1_000 - number, 0, 0));
        let snapshot = Snapshot {
            batches: batches.collect(),
            ..Snapshot::default()
        };
        watch.saw(snapshot, at(0));
        let lines = shown(&watch, 80, 24, at(0));
        assert!(lines[2].starts_with(" 49.csv  ━"), "{lines:#?}");
        assert_eq!(lines[10], " and 42 more");
    }

    #[test]
    fn color_is_used_only_where_it_may() {
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
