//! The rows of an input, in any format.

use super::error::{IntakeError, InvalidRow, Result};
use crate::domain::job::NewRow;

/// The next item of an input.
pub(super) enum NextRow {
    Row(NewRow),
    /// A row that cannot be imported.
    Invalid(InvalidRow),
    End,
}

/// Reads the rows of an input in one format.
pub(super) trait Rows: Send {
    /// Returns the name of the input in messages.
    fn file(&self) -> &str;

    /// Returns the names of the columns found so far, in order of first occurrence.
    fn columns(&self) -> &[String];

    /// Reads the next row.
    fn next(&mut self) -> Result<NextRow>;

    /// Checks what is only known at the end of the input.
    fn check_end(&self, has_rows: bool) -> Result<()> {
        let missing = || IntakeError::NoLines(self.file().to_owned());
        has_rows.then_some(()).ok_or_else(missing)
    }
}
