//! What a person sees of a run: progress while it lasts, the summary at its end.
//!
//! All wording of run events is in this room. It returns text or writes to what it was given; it
//! decides nothing and never stops a run: a closed standard error is ignored.

mod bar;
mod causes;
mod frame;
mod gauge;
mod ink;
mod lines;
mod spending;
mod terminal;
mod wording;
mod wrap;

pub mod event;
pub mod json;
pub mod moment;
pub mod quantity;
pub mod safe;
pub mod speed;
pub mod summary;

use std::io;
use std::time::Duration;

pub use terminal::{Stderr, terminal_width};
pub use wording::whose;

use self::bar::Bar;
use self::event::RunEvent;
use self::lines::Lines;
use self::terminal::Terminal;
use crate::clock::Clock;

/// How much is shown while a run lasts. Whether standard error is a terminal, and what `NO_COLOR`,
/// `TERM` and the flags say, is for the caller to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A bar, redrawn in place: for a terminal that can move its cursor.
    Bar {
        /// Whether it may be colored.
        color: bool,
    },
    /// Warnings, one line each: for cron, logs and dumb terminals.
    Lines {
        /// How often a line says how far the run is; `None` for never.
        every: Option<Duration>,
    },
    /// Nothing.
    Quiet,
}

/// Shows a run on standard error, and hides how: as a bar, as lines, or not at all.
pub struct Progress {
    view: View,
}

enum View {
    Bar(Box<Bar>),
    Lines(Lines),
    Quiet,
}

impl Progress {
    /// Makes a progress display. Nothing is shown before the first event.
    #[must_use]
    pub fn new(mode: Mode, clock: Clock) -> Self {
        let view = match mode {
            Mode::Bar { color } => View::Bar(Box::new(Bar::new(Terminal::stderr(), color, clock))),
            Mode::Lines { every } => View::Lines(Lines::new(Box::new(io::stderr()), every, clock)),
            Mode::Quiet => View::Quiet,
        };
        Self { view }
    }

    /// Shows an event. Cheap enough to be called for every job of a fast run.
    pub fn on(&mut self, event: &RunEvent) {
        match &mut self.view {
            View::Bar(bar) => bar.on(event),
            View::Lines(lines) => lines.on(event),
            View::Quiet => {}
        }
    }

    /// Takes the bar off the screen, so that the summary stands alone.
    pub fn finish(self) {
        match self.view {
            View::Bar(mut bar) => bar.finish(),
            View::Lines(mut lines) => lines.finish(),
            View::Quiet => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Whoever reads the lines, one by one as they come.
    struct Paper(Sender<String>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            // The reader may have gone.
            let _ = self.0.send(text);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn lines(out: impl Write + Send + 'static, every: Option<Duration>) -> Progress {
        Progress {
            view: View::Lines(Lines::new(Box::new(out), every, Clock::start())),
        }
    }

    fn started() -> RunEvent {
        RunEvent::Started {
            batch: "jobs".to_owned(),
            total: 9,
            settled: 3,
        }
    }

    fn paper() -> (Paper, Receiver<String>) {
        let (sender, receiver) = channel();
        (Paper(sender), receiver)
    }

    #[test]
    fn lines_are_warnings_only_and_end_with_a_line_end() {
        let (paper, shown) = paper();
        let mut progress = lines(paper, None);
        progress.on(&started());
        progress.on(&RunEvent::InFlight { requests: 1 });
        progress.on(&RunEvent::Draining { in_flight: 1 });
        progress.finish();
        let shown: String = shown.into_iter().collect();
        assert_eq!(
            shown,
            "stopping: waiting for 1 request in flight; once more stops at once\n"
        );
    }

    #[test]
    fn a_line_now_and_then_says_how_far_it_is_also_when_nothing_happens() {
        let (paper, shown) = paper();
        let mut progress = lines(paper, Some(Duration::from_millis(1)));
        progress.on(&started());
        let told: String = shown.iter().take(4).collect();
        progress.finish();
        assert!(told.starts_with("jobs: 3/9 33%\njobs: 3/9 33%\n"), "{told}");
    }

    #[test]
    fn a_closed_standard_error_is_ignored() {
        let mut progress = lines(Closed, None);
        progress.on(&RunEvent::Draining { in_flight: 1 });
        progress.finish();
    }

    #[test]
    fn every_way_takes_every_event() {
        let every = Some(Duration::from_mins(1));
        for mode in [Mode::Quiet, Mode::Lines { every }] {
            let mut progress = Progress::new(mode, Clock::start());
            progress.on(&started());
            progress.on(&RunEvent::KeyBack {
                key: "k".to_owned(),
            });
            progress.finish();
        }
    }
}
