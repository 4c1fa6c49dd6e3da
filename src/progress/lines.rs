//! Progress output without a terminal: warnings, and optionally progress lines at an interval.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::event::RunEvent;
use super::frame::line;
use super::state::RunState;
use super::wording;
use crate::clock::Clock;

/// Writes progress as lines.
pub(super) struct LineView {
    output: Arc<Mutex<LineOutput>>,
    clock: Clock,
    interval: Option<Duration>,
    reporter: Option<(Sender<()>, JoinHandle<()>)>,
}

struct LineOutput {
    state: RunState,
    out: Box<dyn Write + Send>,
}

impl LineView {
    /// Creates the view. `interval` is the time between progress lines; `None` disables them.
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        interval: Option<Duration>,
        clock: Clock,
    ) -> Self {
        let state = RunState::default();
        Self {
            output: Arc::new(Mutex::new(LineOutput { state, out })),
            clock,
            interval,
            reporter: None,
        }
    }

    pub(super) fn on(&mut self, event: &RunEvent) {
        let warning = wording::warning(event);
        if self.interval.is_none() && warning.is_none() {
            return;
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.state.on(event, self.clock.now());
        if let Some(line) = warning {
            output.write_line(&line);
        }
        drop(output);
        if matches!(event, RunEvent::Started { .. }) && self.reporter.is_none() {
            self.reporter = self.interval.map(|interval| self.start_reporter(interval));
        }
    }

    /// Prints whole lines.
    pub(super) fn print(&self, lines: &str) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed standard error must not stop the run.
        let _ = output.out.write_all(lines.as_bytes());
    }

    /// Starts the thread that prints progress lines, whether or not there are events.
    fn start_reporter(&self, interval: Duration) -> (Sender<()>, JoinHandle<()>) {
        let (stop, stopped) = channel::<()>();
        let (output, clock) = (Arc::clone(&self.output), self.clock);
        let reporter = std::thread::spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                let now = clock.now();
                output.state.tick(now);
                let line = line(&output.state, now);
                output.write_line(&line);
            }
        });
        (stop, reporter)
    }

    /// Stops the progress lines.
    pub(super) fn finish(&mut self) {
        if let Some((stop, reporter)) = self.reporter.take() {
            drop(stop);
            // A panic in the reporter must not fail the run.
            let _ = reporter.join();
        }
    }
}

impl LineOutput {
    fn write_line(&mut self, line: &str) {
        // A closed standard error must not stop the run.
        let _ = writeln!(self.out, "{line}");
    }
}

impl Drop for LineView {
    fn drop(&mut self) {
        self.finish();
    }
}
