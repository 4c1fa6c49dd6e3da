//! What every form of results says about a row besides its own fields, and under which names.

use std::collections::HashSet;

use crate::domain::job::JobState;

/// Our own columns, behind those of the input. A name that the input has already gets the prefix
/// `promptmill_`.
pub(super) const COLUMNS: [&str; 9] = [
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

/// Returns our column names as they can stand beside those of the input, and behind them those of the
/// fields of an answer.
pub(super) fn own_columns(columns: &[String], fields: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = columns.iter().cloned().collect();
    let ours = COLUMNS.into_iter().chain(fields.iter().map(String::as_str));
    ours.map(|name| {
        let mut name = name.to_owned();
        while !taken.insert(name.clone()) {
            name.insert_str(0, "promptmill_");
        }
        name
    })
    .collect()
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
    fn a_name_that_the_input_has_already_gets_a_prefix_until_it_is_free() {
        let columns = names(&["model", "status", "promptmill_status", "Error"]);
        let own = own_columns(&columns, &names(&["city", "response", "model"]));
        assert_eq!(
            own[9..],
            ["city", "promptmill_response", "promptmill_promptmill_model"]
        );
        assert_eq!(own[1], "promptmill_promptmill_status");
        assert_eq!(own[2], "error");
        assert_eq!(own[3], "promptmill_model");
        assert_eq!(own[0], "response");
    }
}
