//! User-visible output of a run: progress while it runs, and the summary at the end.
//!
//! All wording for run events lives in this module. Output never affects a run: write errors, such
//! as a closed standard error, are ignored.

mod bar;
mod causes;
mod frame;
mod lines;
mod palette;
mod spending;
mod state;
mod terminal;
mod wording;
mod wrap;

pub mod event;
pub mod json;
pub mod moment;
pub mod quantity;
pub mod safe;
pub mod summary;
pub mod throughput;

use std::io::{self, Write as _};
use std::time::Duration;

pub use terminal::{Stderr, terminal_width};
pub use wording::describe_scope;

use console::Term;

use self::bar::BarView;
use self::event::RunEvent;
use self::lines::LineView;
use crate::clock::Clock;

/// How progress is shown during a run. The caller chooses it from the flags, `NO_COLOR`, `TERM` and
/// whether standard error is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A progress bar, redrawn in place; requires a terminal with cursor movement.
    Bar {
        /// Whether to use color.
        color: bool,
    },
    /// One line per warning, for cron, log files and dumb terminals.
    Lines {
        /// Time between progress lines; `None` disables them.
        interval: Option<Duration>,
    },
    /// No progress output.
    Quiet,
}

/// Progress display on standard error: a bar, lines, or nothing.
pub struct Progress {
    view: View,
}

enum View {
    Bar(Box<BarView<Term>>),
    Lines(LineView),
    Quiet,
}

impl Progress {
    /// Creates a progress display. Nothing is shown before the first event.
    #[must_use]
    pub fn new(mode: Mode, clock: Clock) -> Self {
        let view = match mode {
            Mode::Bar { color } => View::Bar(Box::new(BarView::new(
                Term::buffered_stderr(),
                color,
                clock,
            ))),
            Mode::Lines { interval } => {
                View::Lines(LineView::new(Box::new(io::stderr()), interval, clock))
            }
            Mode::Quiet => View::Quiet,
        };
        Self { view }
    }

    /// Shows an event. Cheap enough to call for every job of a fast run.
    pub fn on(&mut self, event: &RunEvent) {
        match &mut self.view {
            View::Bar(bar) => bar.on(event),
            View::Lines(lines) => lines.on(event),
            View::Quiet => {}
        }
    }

    /// Prints whole lines on standard error, above the bar. They must be safe to print.
    pub fn print(&mut self, text: &str) {
        match &self.view {
            View::Bar(bar) => bar.print(text),
            View::Lines(lines) => lines.print(text),
            // A closed standard error must not stop the run.
            View::Quiet => drop(io::stderr().write_all(text.as_bytes())),
        }
    }

    /// Removes the bar from the screen and stops the progress lines.
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

    /// A writer that sends each write to a channel.
    struct ChannelWriter(Sender<String>);

    impl Write for ChannelWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            // The receiver may have been dropped.
            let _ = self.0.send(text);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct BrokenPipeWriter;

    impl Write for BrokenPipeWriter {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn lines(out: impl Write + Send + 'static, interval: Option<Duration>) -> Progress {
        Progress {
            view: View::Lines(LineView::new(Box::new(out), interval, Clock::start())),
        }
    }

    fn writer() -> (ChannelWriter, Receiver<String>) {
        let (sender, receiver) = channel();
        (ChannelWriter(sender), receiver)
    }

    #[test]
    fn line_mode_prints_only_warnings() {
        let (writer, shown) = writer();
        let mut progress = lines(writer, None);
        progress.on(&RunEvent::started("jobs", 9, 3));
        progress.on(&RunEvent::InFlight { requests: 1 });
        progress.on(&RunEvent::Draining { in_flight: 1 });
        progress.finish();
        let shown: String = shown.into_iter().collect();
        let line = "stopping: waiting for 1 request in flight; press Ctrl-C again to abort\n";
        assert_eq!(shown, line);
    }

    #[test]
    fn progress_lines_are_printed_even_without_events() {
        let (writer, shown) = writer();
        let mut progress = lines(writer, Some(Duration::from_millis(1)));
        progress.on(&RunEvent::started("jobs", 9, 3));
        let printed: String = shown.iter().take(4).collect();
        progress.finish();
        let twice = "jobs: 3/9 33%\njobs: 3/9 33%\n";
        assert!(printed.starts_with(twice), "{printed}");
    }

    #[test]
    fn a_closed_standard_error_is_ignored() {
        let mut progress = lines(BrokenPipeWriter, None);
        progress.on(&RunEvent::Draining { in_flight: 1 });
        progress.finish();
    }

    #[test]
    fn whole_lines_are_printed_unchanged() {
        let (writer, shown) = writer();
        let mut progress = lines(writer, None);
        progress.on(&RunEvent::started("jobs", 9, 3));
        progress.print("done: all 9 rows\n  0 failed\n");
        progress.finish();
        let shown: String = shown.into_iter().collect();
        assert_eq!(shown, "done: all 9 rows\n  0 failed\n");
    }

    #[test]
    fn every_mode_accepts_every_event() {
        let interval = Some(Duration::from_mins(1));
        for mode in [Mode::Quiet, Mode::Lines { interval }] {
            let mut progress = Progress::new(mode, Clock::start());
            progress.on(&RunEvent::started("jobs", 9, 3));
            progress.on(&RunEvent::KeyEnabled {
                key: "k".to_owned(),
            });
            progress.finish();
        }
    }
}
