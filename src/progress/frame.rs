//! How a run looks at one moment: up to three lines for a terminal of any width, or one line for a
//! log.
//!
//! What matters less is left out when there is no room; no line is ever wider than it may be.

use std::time::Duration;

use super::gauge::{Gauge, Rest};
use super::ink::Ink;
use super::moment::Clock;
use super::quantity::{Count, Rate, Short, Span, Things};
use super::safe::Safe;
use crate::domain::time::Timestamp;

/// The widest bar, in columns: a longer one tells no more.
const WIDEST_BAR: usize = 60;

/// A bar that is narrower than this is left out.
const NARROWEST_BAR: usize = 4;

/// From this width on there is room for the batch's name.
const ROOMY: usize = 90;

/// A wait from here on is told with the hour at which it ends.
const LONG_WAIT_SECONDS: u64 = 600;

/// Makes the lines of a frame, each at most `width` columns wide, separated by line ends.
pub(super) fn frame(gauge: &Gauge, width: usize, ink: Ink, now: Timestamp) -> String {
    let mut lines = vec![bar_line(gauge, width, ink, now)];
    let facts = fitting(&facts(gauge), width.saturating_sub(1));
    if !facts.is_empty() {
        lines.push(format!(" {}", ink.dim(facts)));
    }
    let room = width.saturating_sub(1);
    if let Some(note) = note(gauge, room, now) {
        let note = cut(&note, room);
        lines.push(format!(" {}", ink.warn(note)));
    }
    lines.join("\n")
}

/// Makes the one line that says the same in a log.
pub(super) fn line(gauge: &Gauge, now: Timestamp) -> String {
    let mut parts = vec![figures(gauge, now)];
    parts.extend(facts(gauge));
    let line = format!("{}: {}", Safe(&gauge.batch), parts.join(", "));
    match note(gauge, usize::MAX, now) {
        Some(note) => format!("{line}; {note}"),
        None => line,
    }
}

fn bar_line(gauge: &Gauge, width: usize, ink: Ink, now: Timestamp) -> String {
    let figures = cut(&figures(gauge, now), width);
    let mut room = width.saturating_sub(columns(&figures) + 1);
    let mut name = String::new();
    if width >= ROOMY {
        name = cut(&Safe(&gauge.batch).to_string(), width / 5);
        room = room.saturating_sub(columns(&name) + 1);
        name = format!("{} ", ink.strong(name));
    }
    if room < NARROWEST_BAR {
        return figures;
    }
    let bar = bar(gauge, room.min(WIDEST_BAR), ink);
    format!("{name}{bar} {figures}")
}

/// `━━━━━╸─────`: the part that is done, to half a column.
fn bar(gauge: &Gauge, width: usize, ink: Ink) -> String {
    let halves = 2 * width as u64;
    let done = match gauge.total {
        0 => halves,
        total => u64::try_from(
            u128::from(gauge.settled.min(total)) * u128::from(halves) / u128::from(total),
        )
        .unwrap_or(halves),
    };
    let full = usize::try_from(done / 2).unwrap_or(width);
    let half = done % 2 == 1;
    let filled = "━".repeat(full) + if half { "╸" } else { "" };
    let empty = "─".repeat(width - full - usize::from(half));
    let filled = match (gauge.stands_still(), filled.is_empty()) {
        (_, true) => filled,
        (true, _) => ink.warn(filled).to_string(),
        (false, _) => ink.good(filled).to_string(),
    };
    if empty.is_empty() {
        filled
    } else {
        filled + &ink.dim(empty).to_string()
    }
}

/// `12,345/32,000 38% 41/s eta 7m 58s`: below 40 columns for a usual batch.
fn figures(gauge: &Gauge, now: Timestamp) -> String {
    let (settled, total) = (gauge.settled, gauge.total);
    let mut figures = format!("{}/{}", Count(settled), Count(total));
    if total > 0 {
        let percent = u128::from(settled.min(total)) * 100 / u128::from(total);
        figures = format!("{figures} {percent}%");
    }
    if let Some(rate) = gauge.per_second(now) {
        figures = format!("{figures} {}", Rate(rate));
    }
    match gauge.time_left(now) {
        Some(left) => format!("{figures} eta {}", Span(left)),
        None => figures,
    }
}

/// What else there is to know, the most important first.
fn facts(gauge: &Gauge) -> Vec<String> {
    let mut facts = Vec::new();
    let mut count = |count: u64, what: &str| {
        if count > 0 {
            facts.push(format!("{} {what}", Count(count)));
        }
    };
    count(gauge.failed, "failed");
    count(gauge.retrying(), "retrying");
    count(gauge.in_flight as u64, "in flight");
    let (sent, got) = (gauge.prompt_tokens, gauge.completion_tokens);
    if sent + got > 0 {
        facts.push(format!("{} in, {} out tokens", Short(sent), Short(got)));
    }
    facts.extend(gauge.spent());
    facts
}

/// Joins the first of the parts that fit.
fn fitting(parts: &[String], width: usize) -> String {
    let mut joined = String::new();
    for part in parts {
        let longer = if joined.is_empty() {
            part.clone()
        } else {
            format!("{joined} · {part}")
        };
        if columns(&longer) > width {
            break;
        }
        joined = longer;
    }
    joined
}

/// Says what the run waits for, if it waits for anything; in few words where there is little room.
fn note(gauge: &Gauge, room: usize, now: Timestamp) -> Option<String> {
    if gauge.draining {
        return Some(match gauge.in_flight {
            0 => "stopping".to_owned(),
            count => {
                let requests = Things(count as u64, "request");
                let short = format!("stopping: {requests} in flight");
                let long = format!("{short}; once more stops at once");
                if columns(&long) <= room { long } else { short }
            }
        });
    }
    let rests = gauge.rests();
    let notes: Vec<_> = rests
        .iter()
        .map(|(who, rest)| wait(who, rest, now))
        .collect();
    (!notes.is_empty()).then(|| notes.join(" · "))
}

/// `key free-2: rate limit, 12s`, or `key free-2: quota until 16:00:00 UTC, 3h 20m`.
fn wait(who: &str, rest: &Rest, now: Timestamp) -> String {
    let left = rest.until.since(now);
    // Whole seconds, up: the last one counts down to 1.
    let seconds = left.as_millis().div_ceil(1000);
    let left = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    let (who, why) = (Safe(who), Safe(&rest.why));
    let shown = match left.as_secs() {
        seconds @ ..10 => format!("{seconds}s"),
        _ => Span(left).to_string(),
    };
    if left.as_secs() < LONG_WAIT_SECONDS {
        format!("{who}: {why}, {shown}")
    } else {
        format!("{who}: {why} until {}, {shown}", Clock(rest.until))
    }
}

/// Counts the columns of a text, never too few: what may be a wide character counts two.
pub(super) fn columns(text: &str) -> usize {
    text.chars()
        .map(|c| if c < '\u{1100}' || is_drawn(c) { 1 } else { 2 })
        .sum()
}

/// Punctuation, arrows and lines beyond the Latin letters, which take one column.
fn is_drawn(c: char) -> bool {
    matches!(c, '\u{2000}'..='\u{22ff}' | '\u{2500}'..='\u{259f}')
}

/// Cuts a text to at most `width` columns; what was cut off is marked by `…`.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut taken = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += columns(c.encode_utf8(&mut [0; 4]));
        if used >= width {
            break;
        }
        taken.push(c);
    }
    if width > 0 {
        taken.push('…');
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::super::event::RunEvent;
    use super::*;
    use crate::domain::job::JobId;
    use crate::domain::price::Price;
    use crate::domain::verdict::Scope;

    const START: Timestamp = Timestamp::from_millis(1_795_466_460_000);
    const PLAIN: Ink = Ink { color: false };

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    /// A run after ten seconds, 400 rows and one that failed.
    fn busy() -> Gauge {
        let mut gauge = Gauge::default();
        let started = RunEvent::Started {
            batch: "jobs.csv".to_owned(),
            total: 32_000,
            settled: 12_000,
        };
        gauge.on(&started, START);
        gauge.on(&RunEvent::InFlight { requests: 16 }, START);
        for job in 0..400 {
            let answered = RunEvent::Answered {
                job: JobId(job),
                latency: Duration::from_millis(5),
                prompt_tokens: 3_000,
                completion_tokens: 850,
                cost: Price::per_million(0.15, 0.6).map(|price| price.of(3_000, 850)),
            };
            gauge.on(&answered, after(10));
        }
        let (job, scope, rule) = (JobId(7), Scope::Request, "too-long".to_owned());
        gauge.on(&RunEvent::JobFailed { job, scope, rule }, after(10));
        let rule = "server-error";
        gauge.on(&RunEvent::Requeued { job, scope, rule }, after(10));
        gauge
    }

    fn waiting(gauge: &mut Gauge, who: &str, why: &str, seconds: u64) {
        let (who, why, until) = (who.to_owned(), why.to_owned(), after(10 + seconds));
        gauge.on(&RunEvent::Waiting { who, until, why }, after(10));
    }

    #[track_caller]
    fn check(gauge: &Gauge, width: usize, expected: &[&str]) {
        let shown = frame(gauge, width, PLAIN, after(10));
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        for line in shown.lines() {
            assert!(columns(line) <= width, "{line}");
        }
    }

    #[test]
    fn a_frame_says_more_the_wider_it_is() {
        let mut gauge = busy();
        check(
            &gauge,
            40,
            &[
                "━━╸──── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight",
            ],
        );
        waiting(&mut gauge, "key free-2", "rate limit", 12);
        waiting(&mut gauge, "key free-3", "quota", 11_990);
        check(
            &gauge,
            80,
            &[
                "━━━━━━━━━━━━━━━━━━───────────────────────────── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight · 1.2M in, 340k out tokens · $0.38 of ~$19",
                " key free-2: rate limit, 12s · key free-3: quota until 00:01:00 UTC, 3h 19m",
            ],
        );
        check(
            &gauge,
            120,
            &[
                "jobs.csv ━━━━━━━━━━━━━━━━━━━━━━━───────────────────────────────────── 12,401/32,000 38% 40/s eta 8m 9s",
                " 1 failed · 1 retrying · 16 in flight · 1.2M in, 340k out tokens · $0.38 of ~$19",
                " key free-2: rate limit, 12s · key free-3: quota until 00:01:00 UTC, 3h 19m",
            ],
        );
    }

    #[test]
    fn no_width_is_too_small_and_no_line_too_wide() {
        let mut gauge = busy();
        waiting(
            &mut gauge,
            "key 免费\u{1b}[2J免费免费免费",
            "免费API限制使用",
            12,
        );
        for gauge in [&gauge, &Gauge::default()] {
            for width in 0..200 {
                let shown = frame(gauge, width, PLAIN, after(10));
                assert!(!shown.contains('\u{1b}'), "{shown}");
                for line in shown.lines() {
                    assert!(columns(line) <= width.max(1), "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn the_wait_is_counted_down_and_then_gone() {
        let mut gauge = busy();
        waiting(&mut gauge, "key a", "rate limit", 3);
        let note_at = |gauge: &Gauge, millis: u64| {
            let now = after(10) + Duration::from_millis(millis);
            let mut gauge = gauge.clone();
            gauge.tick(now);
            note(&gauge, 60, now)
        };
        assert_eq!(note_at(&gauge, 0).as_deref(), Some("key a: rate limit, 3s"));
        assert_eq!(
            note_at(&gauge, 1_200).as_deref(),
            Some("key a: rate limit, 2s")
        );
        assert_eq!(
            note_at(&gauge, 2_900).as_deref(),
            Some("key a: rate limit, 1s")
        );
        assert_eq!(note_at(&gauge, 3_000), None);
        gauge.on(&RunEvent::Draining { in_flight: 2 }, after(11));
        assert_eq!(
            note_at(&gauge, 0).as_deref(),
            Some("stopping: 2 requests in flight; once more stops at once")
        );
        let narrow = note(&gauge, 39, after(11));
        assert_eq!(narrow.as_deref(), Some("stopping: 2 requests in flight"));
    }

    #[test]
    fn a_log_gets_it_all_on_one_line() {
        let mut gauge = busy();
        waiting(&mut gauge, "key free-2", "rate limit", 12);
        assert_eq!(
            line(&gauge, after(10)),
            "jobs.csv: 12,401/32,000 38% 40/s eta 8m 9s, 1 failed, 1 retrying, 16 in flight, \
             1.2M in, 340k out tokens, $0.38 of ~$19; key free-2: rate limit, 12s"
        );
    }

    #[test]
    fn a_bar_is_full_only_at_the_end() {
        #[track_caller]
        fn check(settled: u64, total: u64, expected: &str) {
            let mut gauge = Gauge::default();
            (gauge.settled, gauge.total) = (settled, total);
            assert_eq!(bar(&gauge, 4, PLAIN), expected);
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
    fn colors_are_used_only_where_they_may() {
        let shown = frame(&busy(), 80, Ink { color: true }, after(10));
        assert!(shown.contains("\u{1b}[1;32m━"), "{shown:?}");
        assert!(!frame(&busy(), 80, PLAIN, after(10)).contains('\u{1b}'));
    }
}
