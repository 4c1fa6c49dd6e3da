//! A run where there is no terminal: its warnings, and, where it is asked for, a line a minute that
//! says how far it is.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::event::RunEvent;
use super::frame::line;
use super::gauge::Gauge;
use super::wording;
use crate::clock::Clock;

/// Writes a run as lines.
pub(super) struct Lines {
    shared: Arc<Mutex<Shared>>,
    clock: Clock,
    every: Option<Duration>,
    teller: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    gauge: Gauge,
    out: Box<dyn Write + Send>,
}

impl Lines {
    /// Makes lines; `every` is how often one says how far the run is, `None` for never.
    pub(super) fn new(out: Box<dyn Write + Send>, every: Option<Duration>, clock: Clock) -> Self {
        let gauge = Gauge::default();
        Self {
            shared: Arc::new(Mutex::new(Shared { gauge, out })),
            clock,
            every,
            teller: None,
        }
    }

    pub(super) fn on(&mut self, event: &RunEvent) {
        let warning = wording::warning(event);
        if self.every.is_none() && warning.is_none() {
            return;
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.gauge.on(event, self.clock.now());
        if let Some(line) = warning {
            shared.say(&line);
        }
        drop(shared);
        if matches!(event, RunEvent::Started { .. }) {
            self.finish();
            self.teller = self.every.map(|every| self.tell(every));
        }
    }

    /// Starts the thread that tells how far the run is, also while nothing happens.
    fn tell(&self, every: Duration) -> (Sender<()>, JoinHandle<()>) {
        let (end, ended) = channel::<()>();
        let (shared, clock) = (Arc::clone(&self.shared), self.clock);
        let teller = std::thread::spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let now = clock.now();
                shared.gauge.tick(now);
                let told = line(&shared.gauge, now);
                shared.say(&told);
            }
        });
        (end, teller)
    }

    /// Ends the telling.
    pub(super) fn finish(&mut self) {
        if let Some((end, teller)) = self.teller.take() {
            drop(end);
            // It holds no lock when it panics that anybody waits for.
            let _ = teller.join();
        }
    }
}

impl Shared {
    fn say(&mut self, line: &str) {
        // Nobody reads it any more: the run goes on all the same.
        let _ = writeln!(self.out, "{line}");
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.finish();
    }
}
