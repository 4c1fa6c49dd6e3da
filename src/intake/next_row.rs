//! What the readers of all formats return.

use super::error::InvalidRow;
use crate::domain::job::NewRow;

/// The next item of an input.
pub(super) enum NextRow {
    Row(NewRow),
    /// A row that cannot be imported.
    Invalid(InvalidRow),
    End,
}
