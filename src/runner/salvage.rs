//! The end of a run whose queue can no longer be written: nothing more is claimed, what is in flight
//! may come back, and what has come back goes to the spool, from where the next run takes it in.

use std::path::PathBuf;

use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;
use crate::store::{Spool, SpoolOutcome, StoreError};

use super::dispatcher::Dispatcher;
use super::shutdown::{Shutdown, StopLevel};

/// Bytes that are reserved in the spool for each request that may be in flight: an answer of some
/// thousand tokens with what stands around it.
const ROOM_OF_ONE: u64 = 32 * 1024;
/// The least and the most that is reserved, in bytes.
const ROOM: (u64, u64) = (1 << 20, 32 << 20);

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The queue cannot be read, or not be written before anything was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue can no longer be written.
    #[error("{}", message(cause, *kept, path))]
    Unwritten {
        /// What the database said.
        cause: StoreError,
        /// What became of the requests that had come back, or did so after.
        kept: SpoolOutcome,
        /// The spool.
        path: PathBuf,
    },
}

impl RunError {
    /// Returns what the queue's database said.
    #[must_use]
    pub fn cause(&self) -> &StoreError {
        match self {
            Self::Store(cause) | Self::Unwritten { cause, .. } => cause,
        }
    }
}

/// Returns how many bytes to reserve for a run of so many requests in flight.
pub(super) fn room(concurrency: usize) -> u64 {
    ROOM_OF_ONE
        .saturating_mul(concurrency as u64)
        .clamp(ROOM.0, ROOM.1)
}

impl Dispatcher<'_> {
    /// Ends the run: waits for what is in flight as long as a first signal would, and keeps in the
    /// spool what comes back. What has come back already is kept at once.
    pub(super) async fn salvage(
        &mut self,
        cause: StoreError,
        mut spool: Spool,
        shutdown: &mut Shutdown,
    ) -> RunError {
        let in_flight = self.in_flight();
        (self.on_event)(&RunEvent::Draining { in_flight });
        let deadline = self.clock.now() + self.settings.grace;
        let mut kept = SpoolOutcome::default();
        loop {
            let now = self.clock.now();
            if shutdown.level().0 == StopLevel::Abort || now >= deadline {
                self.give_up();
            }
            self.spill(&mut spool, &mut kept, now);
            if self.in_flight() == 0 {
                break;
            }
            self.wait(None, Some(deadline), shutdown).await;
        }
        let path = spool.path().to_owned();
        if kept.kept == 0 {
            // An empty spool says nothing to the next run; that it stays where it is does no harm.
            let _ = spool.remove();
        }
        RunError::Unwritten { cause, kept, path }
    }

    fn spill(&mut self, spool: &mut Spool, kept: &mut SpoolOutcome, now: Timestamp) {
        let group = spool.keep(&self.recorder.spill(), now);
        kept.kept += group.kept;
        kept.lost += group.lost;
    }
}

/// Says what happened, what became of the answers, and then what to do.
fn message(cause: &StoreError, kept: SpoolOutcome, path: &std::path::Path) -> String {
    let cause = cause.to_string();
    let (what, hint) = cause.split_once('\n').unwrap_or((&cause, ""));
    let results = |count: u64| match count {
        1 => "1 result".to_owned(),
        count => format!("{count} results"),
    };
    let mut lines = vec![what.to_owned()];
    if kept.kept > 0 {
        let (results, path) = (results(kept.kept), path.display());
        lines.push(format!(
            "{results} that had come back: kept in {path}, for the next run to take in"
        ));
    }
    if kept.lost > 0 {
        let results = results(kept.lost);
        lines.push(format!(
            "{results} that had come back: no room even there, to be asked again"
        ));
    }
    lines.extend((!hint.is_empty()).then(|| hint.to_owned()));
    lines.join("\n")
}
