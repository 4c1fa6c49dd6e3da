//! Rendering of the run state: up to three lines for a terminal of any width, or one line for a
//! log.
//!
//! Less important parts are omitted if they do not fit; no line exceeds the width.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::moment::UtcTime;
use super::palette::Palette;
use super::quantity::{Count, HumanDuration, Plural, Rate, ShortCount};
use super::safe::Safe;
use super::state::{RunState, Wait};
use crate::domain::time::Timestamp;

/// Maximum width of the bar, in columns.
const MAX_BAR_WIDTH: usize = 60;

/// A bar narrower than this is omitted.
const MIN_BAR_WIDTH: usize = 4;

/// Minimum width for showing the batch's name.
const MIN_WIDTH_FOR_NAME: usize = 90;

/// Waits of at least this length are shown with their end time.
const LONG_WAIT_SECONDS: u64 = 600;

/// Renders the lines of a frame, each at most `width` columns wide, separated by newlines.
pub(super) fn frame(state: &RunState, width: usize, palette: Palette, now: Timestamp) -> String {
    let mut lines = vec![bar_line(state, width, palette, now)];
    let available = width.saturating_sub(1);
    let details = join_fitting(&details(state), available);
    if !details.is_empty() {
        lines.push(format!(" {}", palette.dim(details)));
    }
    if let Some(note) = note(state, available, now) {
        let note = truncate(&note, available);
        lines.push(format!(" {}", palette.warning(note)));
    }
    lines.join("\n")
}

/// Renders the same state as a single log line.
pub(super) fn line(state: &RunState, now: Timestamp) -> String {
    let mut parts = vec![figures(state, now)];
    parts.extend(details(state));
    let line = format!("{}: {}", Safe(&state.batch), parts.join(", "));
    match note(state, usize::MAX, now) {
        Some(note) => format!("{line}; {note}"),
        None => line,
    }
}

fn bar_line(state: &RunState, width: usize, palette: Palette, now: Timestamp) -> String {
    let figures = truncate(&figures(state, now), width);
    let mut available = width.saturating_sub(figures.width() + 1);
    let mut name = String::new();
    if width >= MIN_WIDTH_FOR_NAME {
        name = truncate(&Safe(&state.batch).to_string(), width / 5);
        available = available.saturating_sub(name.width() + 1);
        name = format!("{} ", palette.bold(name));
    }
    if available < MIN_BAR_WIDTH {
        return figures;
    }
    let bar = bar(state, available.min(MAX_BAR_WIDTH), palette);
    format!("{name}{bar} {figures}")
}

/// Renders the bar (`━━━━━╸─────`) with a resolution of half a column.
fn bar(state: &RunState, width: usize, palette: Palette) -> String {
    let halves = 2 * width as u64;
    let done = match state.total {
        0 => halves,
        total => u64::try_from(
            u128::from(state.settled.min(total)) * u128::from(halves) / u128::from(total),
        )
        .unwrap_or(halves),
    };
    let full = usize::try_from(done / 2).unwrap_or(width);
    let half = done % 2 == 1;
    let filled = "━".repeat(full) + if half { "╸" } else { "" };
    let empty = "─".repeat(width - full - usize::from(half));
    let filled = match (state.is_stalled(), filled.is_empty()) {
        (_, true) => filled,
        (true, _) => palette.warning(filled).to_string(),
        (false, _) => palette.success(filled).to_string(),
    };
    if empty.is_empty() {
        filled
    } else {
        filled + &palette.dim(empty).to_string()
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
        let longer = if joined.is_empty() {
            part.clone()
        } else {
            format!("{joined} · {part}")
        };
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
        return Some(match state.in_flight {
            0 => "stopping".to_owned(),
            count => {
                let requests = Plural(count as u64, "request");
                let short = format!("stopping: {requests} in flight");
                let long = format!("{short}; press Ctrl-C again to abort");
                if long.width() <= available {
                    long
                } else {
                    short
                }
            }
        });
    }
    let waits = state.waits();
    let notes: Vec<_> = waits
        .iter()
        .map(|(subject, wait)| wait_note(subject, wait, now))
        .collect();
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
    use super::super::event::RunEvent;
    use super::*;
    use crate::domain::job::JobId;
    use crate::domain::price::Price;
    use crate::domain::verdict::Scope;

    const START: Timestamp = Timestamp::from_millis(1_795_466_460_000);
    const PLAIN: Palette = Palette { color: false };

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    /// A run after ten seconds, with 400 completed rows and one failed row.
    fn busy() -> RunState {
        let mut state = RunState::default();
        let started = RunEvent::Started {
            batch: "jobs.csv".to_owned(),
            total: 32_000,
            settled: 12_000,
        };
        state.on(&started, START);
        state.on(&RunEvent::InFlight { requests: 16 }, START);
        for job in 0..400 {
            let completed = RunEvent::Completed {
                job: JobId(job),
                latency: Duration::from_millis(5),
                prompt_tokens: 3_000,
                completion_tokens: 850,
                cost: Price::per_million(0.15, 0.6).map(|price| price.cost(3_000, 850)),
            };
            state.on(&completed, after(10));
        }
        let (job, scope, rule) = (JobId(7), Scope::Request, "too-long".to_owned());
        state.on(&RunEvent::JobFailed { job, scope, rule }, after(10));
        let rule = "server-error";
        state.on(&RunEvent::Requeued { job, scope, rule }, after(10));
        state
    }

    fn waiting(state: &mut RunState, subject: &str, reason: &str, seconds: u64) {
        let (subject, reason, until) = (subject.to_owned(), reason.to_owned(), after(10 + seconds));
        state.on(
            &RunEvent::Waiting {
                subject,
                until,
                reason,
            },
            after(10),
        );
    }

    #[track_caller]
    fn check(state: &RunState, width: usize, expected: &[&str]) {
        let shown = frame(state, width, PLAIN, after(10));
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        for line in shown.lines() {
            assert!(line.width() <= width, "{line}");
        }
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
                "━━━━━━━━━━━━━━━━━━───────────────────────────── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight · 1.2M tokens in, 340k out · $0.38 of ~$19",
                " key free-2: rate limit, 12s · key free-3: quota until 00:01:00 UTC, 3h 19m",
            ],
        );
        check(
            &state,
            120,
            &[
                "jobs.csv ━━━━━━━━━━━━━━━━━━━━━━━───────────────────────────────────── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight · 1.2M tokens in, 340k out · $0.38 of ~$19",
                " key free-2: rate limit, 12s · key free-3: quota until 00:01:00 UTC, 3h 19m",
            ],
        );
    }

    #[test]
    fn lines_fit_any_width() {
        let mut state = busy();
        waiting(
            &mut state,
            "key 免费\u{1b}[2J免费免费免费",
            "免费API限制使用",
            12,
        );
        for state in [&state, &RunState::default()] {
            for width in 0..200 {
                let shown = frame(state, width, PLAIN, after(10));
                assert!(!shown.contains('\u{1b}'), "{shown}");
                for line in shown.lines() {
                    assert!(line.width() <= width.max(1), "{width}: {line}");
                }
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
        assert_eq!(note_at(&state, 0).as_deref(), Some("key a: rate limit, 3s"));
        assert_eq!(
            note_at(&state, 1_200).as_deref(),
            Some("key a: rate limit, 2s")
        );
        assert_eq!(
            note_at(&state, 2_900).as_deref(),
            Some("key a: rate limit, 1s")
        );
        assert_eq!(note_at(&state, 3_000), None);
        state.on(&RunEvent::Draining { in_flight: 2 }, after(11));
        assert_eq!(
            note_at(&state, 0).as_deref(),
            Some("stopping: 2 requests in flight; press Ctrl-C again to abort")
        );
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
            assert_eq!(bar(&state, 4, PLAIN), expected);
        }
        check(0, 1_000, "────");
        check(125, 1_000, "╸───");
        check(999, 1_000, "━━━╸");
        check(1_000, 1_000, "━━━━");
        check(9, 5, "━━━━");
        check(0, 0, "━━━━");
        check(u64::MAX - 1, u64::MAX, "━━━╸");
    }

    #[test]
    fn color_is_used_only_if_enabled() {
        let shown = frame(&busy(), 80, Palette { color: true }, after(10));
        assert!(shown.contains("\u{1b}[1;32m━"), "{shown:?}");
        assert!(!frame(&busy(), 80, PLAIN, after(10)).contains('\u{1b}'));
    }
}
