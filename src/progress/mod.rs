//! What a person sees of a run: progress while it lasts, the summary at its end.
//!
//! All wording of run events is in this room. It returns text or writes to what it was given; it
//! decides nothing and never stops a run: a closed standard error is ignored.

mod bar;
mod causes;
mod ink;
mod wording;

pub mod event;
pub mod json;
pub mod moment;
pub mod quantity;
pub mod safe;
pub mod summary;

use std::io::{self, Write};

use indicatif::ProgressDrawTarget;

use self::bar::Bar;
use self::event::RunEvent;

/// How much is shown while a run lasts. Whether standard error is a terminal, and what `NO_COLOR`,
/// `TERM` and the flags say, is for the caller to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A bar, redrawn in place: for a terminal that can move its cursor.
    Bar {
        /// Whether it may be colored.
        color: bool,
    },
    /// Warnings only, one line each: for cron, logs and dumb terminals.
    Lines,
    /// Nothing.
    Quiet,
}

/// Shows a run on standard error, and hides how: as a bar, as lines, or not at all.
pub struct Progress {
    view: View,
}

enum View {
    Bar(Box<Bar>),
    Lines(Box<dyn Write + Send>),
    Quiet,
}

impl Progress {
    /// Makes a progress display. Nothing is shown before the first event.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        let view = match mode {
            Mode::Bar { color } => {
                let target = || ProgressDrawTarget::stderr_with_hz(bar::FRAMES);
                View::Bar(Box::new(Bar::new(color, target)))
            }
            Mode::Lines => View::Lines(Box::new(io::stderr())),
            Mode::Quiet => View::Quiet,
        };
        Self { view }
    }

    /// Shows an event. Cheap enough to be called for every job of a fast run.
    pub fn on(&mut self, event: &RunEvent) {
        match &mut self.view {
            View::Bar(bar) => bar.on(event),
            View::Lines(out) => {
                if let Some(line) = wording::warning(event) {
                    // Nobody reads it any more: the run goes on all the same.
                    let _ = writeln!(out, "{line}");
                }
            }
            View::Quiet => {}
        }
    }

    /// Takes the bar off the screen, so that the summary stands alone.
    pub fn finish(self) {
        if let View::Bar(mut bar) = self.view {
            bar.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
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

    #[test]
    fn lines_are_warnings_only_and_end_with_a_line_end() {
        let paper = Paper::default();
        let mut progress = Progress {
            view: View::Lines(Box::new(paper.clone())),
        };
        progress.on(&RunEvent::Started {
            batch: "jobs".to_owned(),
            total: 9,
            settled: 0,
        });
        progress.on(&RunEvent::Draining { in_flight: 1 });
        progress.finish();
        let shown = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            shown,
            "stopping: waiting for 1 request in flight; once more stops at once\n"
        );
    }

    #[test]
    fn a_closed_standard_error_is_ignored() {
        let mut progress = Progress {
            view: View::Lines(Box::new(Closed)),
        };
        progress.on(&RunEvent::Draining { in_flight: 1 });
        progress.finish();
    }

    #[test]
    fn quiet_and_bar_take_every_event() {
        for mode in [Mode::Quiet, Mode::Bar { color: true }] {
            let mut progress = Progress::new(mode);
            progress.on(&RunEvent::Started {
                batch: "jobs".to_owned(),
                total: 9,
                settled: 0,
            });
            progress.on(&RunEvent::KeyBack {
                key: "k".to_owned(),
            });
            progress.finish();
        }
    }
}
