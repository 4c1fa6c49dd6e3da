//! The columns that every output format adds to those of the input.

use std::collections::HashSet;

use super::{ExportError, Result};
use crate::domain::job::JobState;

/// The output columns, which follow those of the input. If the input has a column of the same name,
/// the name is prefixed with `promptmill_`.
pub(super) const OUTPUT_COLUMNS: [&str; 9] = [
    "response",
    "status",
    "error",
    "model",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "attempts",
    "latency_ms",
];

/// Returns the unique names of the output columns, followed by those of the response fields.
pub(super) fn output_columns(columns: &[String], fields: &[String]) -> Vec<String> {
    let mut used: HashSet<String> = columns.iter().cloned().collect();
    let names = OUTPUT_COLUMNS
        .into_iter()
        .chain(fields.iter().map(String::as_str));
    names
        .map(|name| {
            let mut name = name.to_owned();
            while !used.insert(name.clone()) {
                name.insert_str(0, "promptmill_");
            }
            name
        })
        .collect()
}

/// Checks that a row has as many cells as the input has columns.
pub(super) fn check_cells(row: u64, cells: &[String], expected: usize) -> Result<()> {
    let found = cells.len();
    if found == expected {
        return Ok(());
    }
    Err(ExportError::Cells {
        row,
        found,
        expected,
    })
}

pub(super) fn status(state: JobState) -> &'static str {
    match state {
        JobState::Pending | JobState::Running => "pending",
        JobState::Done => "done",
        JobState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(columns: &[&str]) -> Vec<String> {
        columns.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_prefixed_until_they_are_unique() {
        let columns = names(&["model", "status", "promptmill_status", "Error"]);
        let names = output_columns(&columns, &names(&["city", "response", "model"]));
        let expected = ["city", "promptmill_response", "promptmill_promptmill_model"];
        assert_eq!(names[9..], expected);
        assert_eq!(names[1], "promptmill_promptmill_status");
        assert_eq!(names[2], "error");
        assert_eq!(names[3], "promptmill_model");
        assert_eq!(names[0], "response");
    }
}
