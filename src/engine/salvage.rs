//! Stops a run whose queue can no longer be written. Results of finished requests, and of those in
//! flight, are written to the spool file, which the next run imports.

use std::path::PathBuf;

use crate::domain::time::Timestamp;
use crate::store::{Spool, SpoolOutcome, StoreError};

use super::recorder::Recorder;

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

/// The results that are kept although the queue can no longer be written.
#[derive(Debug)]
pub(super) struct Salvage {
    spool: Spool,
    kept: SpoolOutcome,
}

impl Salvage {
    pub(super) fn new(spool: Spool) -> Self {
        let kept = SpoolOutcome::default();
        Self { spool, kept }
    }

    /// Spools the results that have not been written.
    pub(super) fn keep(&mut self, recorder: &mut Recorder, now: Timestamp) {
        let group = self.spool.append(&recorder.take_unwritten(), now);
        self.kept.spooled += group.spooled;
        self.kept.lost += group.lost;
    }

    /// Returns the error that ends the run.
    pub(super) fn finish(self, cause: StoreError) -> RunError {
        let (kept, path) = (self.kept, self.spool.path().to_owned());
        if kept.spooled == 0 {
            // An empty spool that cannot be removed does no harm.
            let _ = self.spool.remove();
        }
        RunError::Unwritten { cause, kept, path }
    }
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
