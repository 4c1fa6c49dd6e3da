//! Results of the Batch API that are imported.

use crate::domain::job::{AttemptRecord, Completion};

/// An imported result of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedResult {
    /// The key of the row.
    pub key: String,
    /// The outcome for the row.
    pub outcome: ImportedOutcome,
}

/// The outcome of an imported result for its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedOutcome {
    /// The row is completed, unless it already was.
    Completed(Completion),
    /// The row fails permanently, unless it was already completed or failed.
    Failed(AttemptRecord),
    /// The row stays as it is.
    Unchanged,
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Rows completed by the import.
    pub completed: u64,
    /// Rows that the import marked as failed.
    pub failed: u64,
    /// Rows that were already completed or failed.
    pub already_settled: u64,
    /// Number of keys without a row. If there are any, nothing was imported.
    pub unknown: u64,
    /// The first few of these keys.
    pub unknown_keys: Vec<String>,
}
