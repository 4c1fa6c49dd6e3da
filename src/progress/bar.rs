//! The bar on a terminal: how far the run is, how fast, and what it waits for.
//!
//! One line, and a second one below it only while there is something to say. The hot path (one
//! answered job) adds to a counter; text is made when a frame is drawn, ten times a second at most.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle};

use super::event::RunEvent;
use super::quantity::{Count, Rate, Span};
use super::wording;

/// Frames a second, at most.
pub(super) const FRAMES: u8 = 10;

/// How often a frame is drawn while nothing happens, so that rate and time left stay true.
const TICK: Duration = Duration::from_millis(250);

/// Jobs that this run must have settled before it says how long the rest takes.
const MEANINGFUL: u64 = 20;

/// A longer time left than this is no information.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Draws a run on a terminal.
pub(super) struct Bar {
    target: Box<dyn Fn() -> ProgressDrawTarget + Send>,
    color: bool,
    drawn: Option<Drawn>,
}

/// The bar of one batch.
struct Drawn {
    bar: ProgressBar,
    gauge: Arc<Gauge>,
    color: bool,
    draining: bool,
}

/// What a frame shows besides the position; shared with the closure that draws it.
#[derive(Default)]
struct Gauge {
    settled: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicBool,
}

impl Bar {
    /// Makes a bar; it is drawn from the start of a run on. `target` says where.
    pub(super) fn new(
        color: bool,
        target: impl Fn() -> ProgressDrawTarget + Send + 'static,
    ) -> Self {
        Self {
            target: Box::new(target),
            color,
            drawn: None,
        }
    }

    pub(super) fn on(&mut self, event: &RunEvent) {
        if let RunEvent::Started { total, settled, .. } = event {
            self.finish();
            self.drawn = Some(Drawn::start((self.target)(), *total, *settled, self.color));
        } else if let Some(drawn) = &mut self.drawn {
            drawn.on(event);
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(&mut self) {
        if let Some(drawn) = self.drawn.take() {
            drawn.bar.finish_and_clear();
        }
    }
}

impl Drawn {
    fn start(target: ProgressDrawTarget, total: u64, settled: u64, color: bool) -> Self {
        let gauge = Arc::new(Gauge::default());
        let bar = ProgressBar::with_draw_target(Some(total), target)
            .with_style(style(&gauge, color, false))
            .with_finish(ProgressFinish::AndClear);
        // What earlier runs did is no speed of this one.
        bar.set_position(settled);
        bar.reset_eta();
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            gauge,
            color,
            draining: false,
        }
    }

    fn on(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Answered { .. } => self.settled(),
            RunEvent::JobFailed { .. } => {
                self.gauge.failed.fetch_add(1, Ordering::Relaxed);
                self.settled();
            }
            RunEvent::Waiting { .. } if !self.draining => self.note(event),
            RunEvent::Draining { .. } => {
                self.draining = true;
                self.note(event);
            }
            _ => {}
        }
        if let Some(line) = wording::remark(event) {
            self.bar.println(line);
        }
    }

    fn settled(&self) {
        self.gauge.settled.fetch_add(1, Ordering::Relaxed);
        if self.gauge.waiting.load(Ordering::Relaxed) && !self.draining {
            self.gauge.waiting.store(false, Ordering::Relaxed);
            self.bar.set_style(style(&self.gauge, self.color, false));
        }
        self.bar.inc(1);
    }

    fn note(&self, event: &RunEvent) {
        if let Some(note) = wording::note(event) {
            if !self.gauge.waiting.swap(true, Ordering::Relaxed) {
                self.bar.set_style(style(&self.gauge, self.color, true));
            }
            self.bar.set_message(note);
        }
    }
}

/// The look of the bar. It takes the width that the figures leave, down to none on a narrow
/// terminal; the note below is cut to the terminal's width.
fn style(gauge: &Arc<Gauge>, color: bool, note: bool) -> ProgressStyle {
    let template = match (color, note) {
        (true, false) => "{wide_bar:.green/black.bright} {figures}",
        (true, true) => "{wide_bar:.yellow/black.bright} {figures}\n{wide_msg}",
        (false, false) => "{wide_bar} {figures}",
        (false, true) => "{wide_bar} {figures}\n{wide_msg}",
    };
    let gauge = Arc::clone(gauge);
    ProgressStyle::with_template(template)
        .expect("the template is constant and tested")
        .progress_chars("━╸─")
        .with_key(
            "figures",
            move |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A frame that cannot be written is a frame less.
                let _ = write!(out, "{}", Figures::read(&gauge, state));
            },
        )
}

/// What one frame says in numbers.
struct Figures {
    position: u64,
    total: u64,
    per_second: f64,
    settled: u64,
    failed: u64,
    waiting: bool,
}

impl Figures {
    fn read(gauge: &Gauge, state: &ProgressState) -> Self {
        Self {
            position: state.pos(),
            total: state.len().unwrap_or_default(),
            per_second: state.per_sec(),
            settled: gauge.settled.load(Ordering::Relaxed),
            failed: gauge.failed.load(Ordering::Relaxed),
            waiting: gauge.waiting.load(Ordering::Relaxed),
        }
    }

    /// The time for the rest at the present rate, once it means something.
    fn eta(&self) -> Option<Duration> {
        if self.waiting || self.settled < MEANINGFUL || self.position >= self.total {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "an estimate is shown in two units"
        )]
        let seconds = (self.total - self.position) as f64 / self.per_second;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|eta| *eta < LONGEST)
    }
}

/// `12,345/32,000 41/s eta 7m 58s 3 failed`: below 40 characters for a usual batch.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Count(self.position), Count(self.total))?;
        if self.settled > 0 && !self.waiting {
            write!(f, " {}", Rate(self.per_second))?;
        }
        if let Some(eta) = self.eta() {
            write!(f, " eta {}", Span(eta))?;
        }
        match self.failed {
            0 => Ok(()),
            failed => write!(f, " {} failed", Count(failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use indicatif::TermLike;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::domain::verdict::Scope;

    /// A terminal of a given width that keeps all that was ever written to it.
    #[derive(Clone, Debug)]
    struct Paper(u16, Arc<Mutex<String>>);

    impl Paper {
        fn new(width: u16) -> Self {
            Self(width, Arc::default())
        }

        fn take(&self) -> String {
            std::mem::take(&mut self.1.lock().unwrap())
        }

        fn bar(&self) -> Bar {
            let paper = self.clone();
            Bar::new(false, move || {
                ProgressDrawTarget::term_like(Box::new(paper.clone()))
            })
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.0
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.write_str("\n")
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.1.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("\u{c}")
        }
        fn flush(&self) -> io::Result<()> {
            self.write_str("\n")
        }
    }

    fn started(total: u64, settled: u64) -> RunEvent {
        RunEvent::Started {
            batch: "jobs".to_owned(),
            total,
            settled,
        }
    }

    fn answered() -> RunEvent {
        RunEvent::Answered {
            latency: Duration::from_millis(5),
            tokens: 10,
        }
    }

    fn waiting() -> RunEvent {
        let until = Timestamp::from_millis(1_795_466_460_000);
        RunEvent::Waiting {
            until,
            why: "rate limit of key-1".to_owned(),
        }
    }

    /// The last frame: the text that is on the screen now.
    fn frame(bar: &Bar, paper: &Paper) -> String {
        paper.take();
        bar.drawn.as_ref().unwrap().bar.force_draw();
        paper.take().replace('\u{c}', "").trim().to_owned()
    }

    #[test]
    fn a_frame_shows_how_far_the_run_is_and_what_failed() {
        let paper = Paper::new(80);
        let mut bar = paper.bar();
        bar.on(&started(32_000, 12_000));
        assert!(frame(&bar, &paper).ends_with("12,000/32,000"));
        bar.on(&answered());
        bar.on(&RunEvent::JobFailed {
            scope: Scope::Request,
            rule: "too-long".to_owned(),
        });
        let shown = frame(&bar, &paper);
        assert!(shown.contains("12,002/32,000 "), "{shown}");
        assert!(shown.ends_with(" 1 failed"), "{shown}");
        assert!(shown.starts_with('━'), "{shown}");
        assert!(!shown.contains("eta"), "{shown}");
    }

    #[test]
    fn what_earlier_runs_did_is_no_speed_of_this_one() {
        let paper = Paper::new(80);
        let mut bar = paper.bar();
        bar.on(&started(2_000_000_000, 1_000_000_000));
        let drawn = bar.drawn.as_ref().unwrap();
        assert!(drawn.bar.per_sec() < 1.0, "{}", drawn.bar.per_sec());
    }

    #[test]
    fn figures_are_told_once_they_mean_something() {
        #[track_caller]
        fn check(settled: u64, per_second: f64, waiting: bool, expected: &str) {
            let (position, total, failed) = (12_345, 32_000, 0);
            let figures = Figures {
                position,
                total,
                per_second,
                settled,
                failed,
                waiting,
            };
            assert_eq!(figures.to_string(), expected);
        }
        check(0, 0.0, false, "12,345/32,000");
        check(19, 41.0, false, "12,345/32,000 41/s");
        check(20, 41.0, false, "12,345/32,000 41/s eta 7m 59s");
        check(20, 41.0, true, "12,345/32,000");
        check(20, 0.05, false, "12,345/32,000 3/min eta 4d 13h");
        check(20, 0.001, false, "12,345/32,000 4/h");
        check(20, 0.0, false, "12,345/32,000 0/h");
        let done = Figures {
            position: 9,
            total: 9,
            per_second: 2.0,
            settled: 40,
            failed: 1_000,
            waiting: false,
        };
        assert_eq!(done.to_string(), "9/9 2.0/s 1,000 failed");
    }

    #[test]
    fn what_it_waits_for_is_below_the_bar_until_it_goes_on() {
        let paper = Paper::new(80);
        let mut bar = paper.bar();
        bar.on(&started(100, 0));
        bar.on(&waiting());
        let shown = frame(&bar, &paper);
        assert!(
            shown.contains("waiting until 20:41:00 UTC: rate limit of key-1"),
            "{shown}"
        );
        bar.on(&answered());
        assert!(!frame(&bar, &paper).contains("waiting"));
        bar.on(&RunEvent::Draining { in_flight: 2 });
        bar.on(&answered());
        bar.on(&waiting());
        let shown = frame(&bar, &paper);
        assert!(
            shown.contains("waiting for 2 requests in flight"),
            "{shown}"
        );
    }

    #[test]
    fn a_key_set_aside_is_told_above_the_bar() {
        let paper = Paper::new(80);
        let mut bar = paper.bar();
        bar.on(&started(100, 0));
        bar.on(&RunEvent::KeySetAside {
            key: "free-2".to_owned(),
            reason: "no \u{7}money".to_owned(),
            until: None,
        });
        let shown = paper.take();
        assert!(shown.contains("key free-2 is set aside until it is changed: no \\u{7}money"));
    }

    #[test]
    fn a_narrow_terminal_gets_all_that_matters_on_one_line() {
        let paper = Paper::new(40);
        let mut bar = paper.bar();
        bar.on(&started(32_000, 12_000));
        bar.on(&RunEvent::JobFailed {
            scope: Scope::Request,
            rule: "too-long".to_owned(),
        });
        let shown = frame(&bar, &paper);
        assert!(shown.chars().count() <= 40, "{shown}");
        bar.on(&waiting());
        let shown = frame(&bar, &paper);
        assert!(
            shown.contains("waiting until 20:41:00 UTC: rate"),
            "{shown}"
        );
    }

    #[test]
    fn no_width_is_too_small_and_no_event_too_early() {
        for width in 0..12 {
            let paper = Paper::new(width);
            let mut bar = paper.bar();
            bar.on(&answered());
            bar.on(&started(0, 0));
            bar.on(&answered());
            bar.on(&waiting());
            bar.on(&RunEvent::Draining { in_flight: 1 });
            frame(&bar, &paper);
            bar.on(&started(5, 9));
            bar.finish();
            bar.finish();
            bar.on(&answered());
        }
    }

    #[test]
    fn every_look_is_a_valid_template() {
        for (color, note) in [(false, false), (false, true), (true, false), (true, true)] {
            style(&Arc::default(), color, note);
        }
    }
}
