//! Stops a run whose queue can no longer be written. Results of finished requests, and of those in
//! flight, are written to the spool file, which the next run imports.

use std::path::PathBuf;

use crate::progress::event::RunEvent;
use crate::scheduler::StopLevel;
use crate::store::{SpoolOutcome, StoreError};

use super::core::Engine;
use super::shutdown::Shutdown;

/// Bytes reserved in the spool per request in flight: a response of a few thousand tokens with its
/// metadata.
const SPOOL_BYTES_PER_REQUEST: u64 = 32 * 1024;
/// The minimum and maximum size to reserve, in bytes.
const SPOOL_BYTES_RANGE: (u64, u64) = (1 << 20, 32 << 20);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The queue cannot be read, or could not be written before the first request.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue can no longer be written.
    #[error("{}", message(cause, *kept, path))]
    Unwritten {
        /// The database error.
        cause: StoreError,
        /// How many results were spooled or lost.
        kept: SpoolOutcome,
        /// The path of the spool file.
        path: PathBuf,
    },
}

impl RunError {
    /// Returns the database error.
    #[must_use]
    pub fn cause(&self) -> &StoreError {
        match self {
            Self::Store(cause) | Self::Unwritten { cause, .. } => cause,
        }
    }
}

/// Returns the number of bytes to reserve for this many requests in flight.
pub(super) fn spool_bytes(concurrency: usize) -> u64 {
    SPOOL_BYTES_PER_REQUEST
        .saturating_mul(concurrency as u64)
        .clamp(SPOOL_BYTES_RANGE.0, SPOOL_BYTES_RANGE.1)
}

/// Stops an engine: spools finished results immediately, then waits for the requests in flight, up
/// to the grace period, and spools their results.
pub(super) async fn salvage(
    engine: &mut Engine<'_>,
    cause: StoreError,
    shutdown: &mut Shutdown,
) -> RunError {
    let Some(mut spool) = engine.spool.take() else {
        return RunError::Store(cause);
    };
    let in_flight = engine.actions.flights.in_flight();
    (engine.on_event)(&RunEvent::Draining { in_flight });
    let deadline = engine.clock.now() + engine.work.grace;
    let mut kept = SpoolOutcome::default();
    loop {
        let now = engine.clock.now();
        if shutdown.level().0 == StopLevel::Abort || now >= deadline {
            engine.abandon_in_flight();
        }
        let group = spool.append(&engine.actions.recorder.take_unwritten(), now);
        kept.spooled += group.spooled;
        kept.lost += group.lost;
        if engine.actions.flights.in_flight() == 0 {
            break;
        }
        engine.wait(Some(deadline), shutdown).await;
    }
    let path = spool.path().to_owned();
    if kept.spooled == 0 {
        // An empty spool that cannot be removed does no harm.
        let _ = spool.remove();
    }
    RunError::Unwritten { cause, kept, path }
}

/// Formats the error, the number of spooled and lost results, and the hint.
fn message(cause: &StoreError, kept: SpoolOutcome, path: &std::path::Path) -> String {
    let cause = cause.to_string();
    let (error, hint) = cause.split_once('\n').unwrap_or((&cause, ""));
    let results = |count: u64| match count {
        1 => "1 result".to_owned(),
        count => format!("{count} results"),
    };
    let mut lines = vec![error.to_owned()];
    if kept.spooled > 0 {
        let (results, path) = (results(kept.spooled), path.display());
        lines.push(format!(
            "{results} saved in {path} for import by the next run"
        ));
    }
    if kept.lost > 0 {
        let results = results(kept.lost);
        lines.push(format!(
            "{results} could not be saved and will be requested again"
        ));
    }
    lines.extend((!hint.is_empty()).then(|| hint.to_owned()));
    lines.join("\n")
}
