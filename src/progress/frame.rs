//! Rendering of the run state: up to three lines for a terminal of any width, or one line for a
//! log.
//!
//! Less important parts are omitted if they do not fit; no line exceeds the width.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressState, ProgressStyle};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::moment::UtcTime;
use super::palette::Palette;
use super::quantity::{Count, HumanDuration, Plural, Rate, ShortCount};
use super::safe::Safe;
use super::state::{RunState, Wait};
use crate::domain::time::Timestamp;

/// Minimum width for showing the batch's name.
const MIN_WIDTH_FOR_NAME: usize = 90;

/// Waits of at least this length are shown with their end time.
const LONG_WAIT_SECONDS: u64 = 600;

/// Returns the style that renders a state, given the width and the time of a frame.
pub(super) fn style(
    state: &Arc<Mutex<RunState>>,
    palette: Palette,
    view: impl Fn() -> (usize, Timestamp) + Clone + Send + Sync + 'static,
) -> ProgressStyle {
    let key = |render: fn(&RunState, usize, Palette, Timestamp) -> String| {
        let (state, view) = (Arc::clone(state), view.clone());
        move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let (width, now) = view();
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.tick(now);
            // A failed write only loses this frame.
            let _ = out.write_str(&render(&state, width, palette, now));
        }
    };
    let bar = palette.success("{wide_bar:./dim}");
    ProgressStyle::with_template(&format!("{{name}}{bar} {{figures}}{{details}}{{note}}"))
        .expect("the template is constant and tested")
        .progress_chars("━╸─")
        .with_key("name", key(name_part))
        .with_key("figures", key(figures_part))
        .with_key("details", key(details_part))
        .with_key("note", key(note_part))
}

fn name_part(state: &RunState, width: usize, palette: Palette, _: Timestamp) -> String {
    if width < MIN_WIDTH_FOR_NAME {
        return String::new();
    }
    format!("{} ", palette.bold(truncate(&state.label(), width / 5)))
}

fn figures_part(state: &RunState, width: usize, _: Palette, now: Timestamp) -> String {
    truncate(&figures(state, now), width.saturating_sub(1))
}

fn details_part(state: &RunState, width: usize, palette: Palette, _: Timestamp) -> String {
    let details = join_fitting(&details(state), width.saturating_sub(1));
    if details.is_empty() {
        return details;
    }
    format!("\n {}", palette.dim(details))
}

fn note_part(state: &RunState, width: usize, palette: Palette, now: Timestamp) -> String {
    let available = width.saturating_sub(1);
    note(state, available, now).map_or_else(String::new, |note| {
        format!("\n {}", palette.warning(truncate(&note, available)))
    })
}

/// Renders the same state as a single log line.
pub(super) fn line(state: &RunState, now: Timestamp) -> String {
    let mut parts = vec![figures(state, now)];
    parts.extend(details(state));
    let line = format!("{}: {}", state.label(), parts.join(", "));
    match note(state, usize::MAX, now) {
        Some(note) => format!("{line}; {note}"),
        None => line,
    }
}

/// Formats `12,345/32,000 38% 41/s eta 7m 58s`: fewer than 40 columns for a typical batch.
fn figures(state: &RunState, now: Timestamp) -> String {
    let (settled, total) = (state.settled, state.total);
    let mut figures = format!("{}/{}", Count(settled), Count(total));
    if total > 0 {
        let percent = u128::from(settled.min(total)) * 100 / u128::from(total);
        figures = format!("{figures} {percent}%");
    }
    if let Some(rate) = state.per_second(now) {
        figures = format!("{figures} {}", Rate(rate));
    }
    match state.time_remaining(now) {
        Some(time) => format!("{figures} eta {}", HumanDuration(time)),
        None => figures,
    }
}

/// Returns the details of the run, most important first.
fn details(state: &RunState) -> Vec<String> {
    let mut details = Vec::new();
    let mut count = |count: u64, label: &str| {
        if count > 0 {
            details.push(format!("{} {label}", Count(count)));
        }
    };
    count(state.failed, "failed");
    count(state.retrying(), "retrying");
    count(state.in_flight as u64, "in flight");
    let (prompt, completion) = (state.prompt_tokens, state.completion_tokens);
    if prompt + completion > 0 {
        let (prompt, completion) = (ShortCount(prompt), ShortCount(completion));
        details.push(format!("{prompt} tokens in, {completion} out"));
    }
    details.extend(state.cost());
    details
}

/// Joins the leading parts that fit into the width.
fn join_fitting(parts: &[String], width: usize) -> String {
    let mut joined = String::new();
    for part in parts {
        let separator = if joined.is_empty() { "" } else { " · " };
        let longer = format!("{joined}{separator}{part}");
        if longer.width() > width {
            break;
        }
        joined = longer;
    }
    joined
}

/// Describes the shutdown or the waits of the run, if any. Uses a shorter text if the full one does
/// not fit.
fn note(state: &RunState, available: usize, now: Timestamp) -> Option<String> {
    if state.draining {
        if state.in_flight == 0 {
            return Some("stopping".to_owned());
        }
        let requests = Plural(state.in_flight as u64, "request");
        let short = format!("stopping: {requests} in flight");
        let long = format!("{short}; press Ctrl-C again to abort");
        return Some(if long.width() <= available {
            long
        } else {
            short
        });
    }
    let waits = state.waits().into_iter();
    let notes = waits.map(|(subject, wait)| wait_note(subject, wait, now));
    let notes: Vec<_> = notes.collect();
    (!notes.is_empty()).then(|| notes.join(" · "))
}

/// Formats `key free-2: rate limit, 12s` or `key free-2: quota until 16:00:00 UTC, 3h 20m`.
fn wait_note(subject: &str, wait: &Wait, now: Timestamp) -> String {
    let remaining = wait.until.since(now);
    // Rounded up, so that the countdown ends at 1.
    let seconds = remaining.as_millis().div_ceil(1000);
    let remaining = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    let (subject, reason) = (Safe(subject), Safe(&wait.reason));
    let shown = match remaining.as_secs() {
        seconds @ ..10 => format!("{seconds}s"),
        _ => HumanDuration(remaining).to_string(),
    };
    if remaining.as_secs() < LONG_WAIT_SECONDS {
        format!("{subject}: {reason}, {shown}")
    } else {
        format!("{subject}: {reason} until {}, {shown}", UtcTime(wait.until))
    }
}

/// Truncates text to at most `width` columns, with `…` at the end.
fn truncate(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut truncated = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        truncated.push(c);
    }
    if width > 0 {
        truncated.push('…');
    }
    truncated
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressBar, ProgressDrawTarget};

    use super::super::event::RunEvent;
    use super::*;
    use crate::domain::price::Price;

    const START: Timestamp = Timestamp::from_millis(1_795_466_460_000);
    const PLAIN: Palette = Palette { color: false };

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    /// A run after ten seconds, with 400 completed rows and one failed row.
    fn busy() -> RunState {
        let mut state = RunState::default();
        state.on(&RunEvent::started("jobs.csv", 32_000, 12_000), START);
        state.on(&RunEvent::InFlight { requests: 16 }, START);
        let cost = Price::per_million(0.15, 0.6).map(|price| price.cost(3_000, 850));
        for job in 0..400 {
            let completed = RunEvent::completed(job, (3_000, 850), cost);
            state.on(&completed, after(10));
        }
        state.on(&RunEvent::failed(7), after(10));
        state.on(&RunEvent::requeued(7), after(10));
        state
    }

    fn waiting(state: &mut RunState, subject: &str, reason: &str, seconds: u64) {
        let event = RunEvent::waiting(subject, reason, after(10 + seconds));
        state.on(&event, after(10));
    }

    /// Draws a frame after ten seconds.
    fn draw(state: &RunState, width: usize, palette: Palette) -> InMemoryTerm {
        let terminal = InMemoryTerm::new(9, u16::try_from(width).unwrap());
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = ProgressBar::with_draw_target(Some(state.total), target);
        bar.set_style(style(
            &Arc::new(Mutex::new(state.clone())),
            palette,
            move || (width, after(10)),
        ));
        bar.set_position(state.settled);
        bar.abandon();
        terminal
    }

    /// Returns the lines of a frame.
    fn frame(state: &RunState, width: usize, palette: Palette) -> Vec<String> {
        let shown = draw(state, width, palette).contents();
        shown.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(state: &RunState, width: usize, expected: &[&str]) {
        assert_eq!(frame(state, width, PLAIN), expected);
    }

    #[test]
    fn wider_frames_show_more() {
        let mut state = busy();
        check(
            &state,
            40,
            &[
                "━━╸──── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight",
            ],
        );
        waiting(&mut state, "key free-2", "rate limit", 12);
        waiting(&mut state, "key free-3", "quota", 11_990);
        check(
            &state,
            80,
            &[
                "━━━━━━━━━━━━━━━━━━╸──────────────────────────── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight · 1.2M tokens in, 340k out · $0.38 of ~$19",
                " key free-2: rate limit, 12s · key free-3: quota until 00:01:00 UTC, 3h 19m",
            ],
        );
        check(
            &state,
            120,
            &[
                "jobs.csv ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸─────────────────────────────────────────────── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight · 1.2M tokens in, 340k out · $0.38 of ~$19",
                " key free-2: rate limit, 12s · key free-3: quota until 00:01:00 UTC, 3h 19m",
            ],
        );
    }

    #[test]
    fn lines_fit_any_width() {
        let mut state = busy();
        let subject = "key 免费\u{1b}[2J免费免费免费";
        waiting(&mut state, subject, "免费API限制使用", 12);
        for state in [&state, &RunState::default()] {
            for width in 1..200 {
                let shown = frame(state, width, PLAIN);
                assert!(shown.len() <= 3, "{width}: {shown:#?}");
                assert!(!shown.concat().contains('\u{1b}'), "{shown:#?}");
            }
        }
    }

    #[test]
    fn a_wait_is_counted_down_and_removed_at_its_end() {
        let mut state = busy();
        waiting(&mut state, "key a", "rate limit", 3);
        let note_at = |state: &RunState, millis: u64| {
            let now = after(10) + Duration::from_millis(millis);
            let mut state = state.clone();
            state.tick(now);
            note(&state, 60, now)
        };
        for (millis, seconds) in [(0, 3), (1_200, 2), (2_900, 1)] {
            let expected = format!("key a: rate limit, {seconds}s");
            assert_eq!(note_at(&state, millis), Some(expected));
        }
        assert_eq!(note_at(&state, 3_000), None);
        state.on(&RunEvent::Draining { in_flight: 2 }, after(11));
        let stopping = "stopping: 2 requests in flight; press Ctrl-C again to abort";
        assert_eq!(note_at(&state, 0).as_deref(), Some(stopping));
        let narrow = note(&state, 39, after(11));
        assert_eq!(narrow.as_deref(), Some("stopping: 2 requests in flight"));
    }

    #[test]
    fn a_log_line_shows_everything() {
        let mut state = busy();
        waiting(&mut state, "key free-2", "rate limit", 12);
        assert_eq!(
            line(&state, after(10)),
            "jobs.csv: 12,401/32,000 38% 40/s eta 8m 9s, 1 failed, 1 retrying, 16 in flight, \
             1.2M tokens in, 340k out, $0.38 of ~$19; key free-2: rate limit, 12s"
        );
    }

    #[test]
    fn a_bar_is_full_only_at_100_percent() {
        #[track_caller]
        fn check(settled: u64, total: u64, expected: &str) {
            let mut state = RunState::default();
            (state.settled, state.total) = (settled, total);
            let figures = figures(&state, after(10));
            let width = 4 + 1 + figures.len();
            let shown = frame(&state, width, PLAIN);
            assert_eq!(shown, [format!("{expected} {figures}")]);
        }
        check(0, 1_000, "────");
        check(125, 1_000, "╸───");
        check(999, 1_000, "━━━╸");
        check(1_000, 1_000, "━━━━");
        check(9, 5, "━━━━");
        check(0, 0, "━━━━");
    }

    #[test]
    fn color_is_used_only_if_enabled() {
        let drawn = |color| {
            let drawn = draw(&busy(), 80, Palette { color }).contents_formatted();
            String::from_utf8(drawn).unwrap()
        };
        assert!(drawn(true).contains("\u{1b}[32;1m━"), "{:?}", drawn(true));
        assert!(!drawn(false).contains("\u{1b}[32"), "{:?}", drawn(false));
    }
}
