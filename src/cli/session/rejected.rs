//! Batches that cannot be processed, because their model has no key or no price, while others can.

use std::collections::BTreeSet;

use crate::cli::exit::{CliError, Exit};
use crate::progress::safe::Safe;

/// The batches that cannot be processed. The first error of a run ends it once the other batches
/// have ended; if the run waits for more work, it is only a warning, as are the errors of others.
#[derive(Debug)]
pub(super) struct Rejected {
    ids: BTreeSet<i64>,
    stays: bool,
    first: Option<CliError>,
}

impl Rejected {
    /// Creates an empty set. `stays` is whether the run waits for more work.
    pub(super) fn new(stays: bool) -> Self {
        Self {
            ids: BTreeSet::new(),
            stays,
            first: None,
        }
    }

    /// Adds a batch, which is reported once. Returns an error that concerns every batch.
    pub(super) fn add(&mut self, (id, name): (i64, &str), error: CliError) -> Result<(), CliError> {
        if !matches!(error.exit, Exit::NoKey | Exit::Config) {
            return Err(error);
        }
        if !self.ids.insert(id) {
            return Ok(());
        }
        if self.stays || self.first.is_some() {
            tracing::warn!("batch {}: {}", Safe(name), error.message);
        } else {
            self.first = Some(error);
        }
        Ok(())
    }

    /// Removes a batch that can be processed now.
    pub(super) fn remove(&mut self, id: i64) {
        self.ids.remove(&id);
    }

    /// Returns the error that ends the run, if any.
    pub(super) fn into_result(self) -> Result<(), CliError> {
        self.first.map_or(Ok(()), Err)
    }
}
