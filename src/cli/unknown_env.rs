//! Warnings about unknown `PROMPTMILL_*` environment variables, which are likely misspelled settings.

use std::collections::BTreeSet;

use clap::Command;

use crate::domain::spelling::nearest;
use crate::progress::safe::Safe;

use super::command_line;
use super::environment::{self, VARIABLES};

/// Variable for tests that inject failures.
const FAILPOINTS: &str = "PROMPTMILL_FAILPOINTS";

/// Logs a warning for each `PROMPTMILL_*` variable that no command reads.
pub(super) fn warn() {
    let set = environment::own_variables();
    if set.is_empty() {
        return;
    }
    let known = known_variables();
    for name in set.iter().filter(|name| !known.contains(name)) {
        tracing::warn!("{}", warning(name, &known));
    }
}

fn warning(name: &str, known: &[String]) -> String {
    let what = format!("unknown environment variable {}", Safe(name));
    match nearest(name, known) {
        Some(near) => format!("{what}; did you mean {}?", near.name),
        None => format!("{what} is ignored"),
    }
}

/// Returns the variables that at least one command reads.
fn known_variables() -> Vec<String> {
    let mut known = BTreeSet::from([FAILPOINTS.to_owned()]);
    let names = VARIABLES.lines().filter_map(|line| line.split_once(" | "));
    known.extend(names.map(|(name, _)| name.to_owned()));
    add_variables(&command_line::command(), &mut known);
    known.into_iter().collect()
}

fn add_variables(command: &Command, known: &mut BTreeSet<String>) {
    let names = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(names.map(|name| name.to_string_lossy().into_owned()));
    for subcommand in command.get_subcommands() {
        add_variables(subcommand, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(warning(name, &known_variables()), expected);
    }

    #[test]
    fn suggests_the_nearest_variable() {
        check(
            "PROMPTMILL_MODLE",
            "unknown environment variable PROMPTMILL_MODLE; did you mean PROMPTMILL_MODEL?",
        );
        check(
            "PROMPTMILL_API_KEY",
            "unknown environment variable PROMPTMILL_API_KEY; did you mean PROMPTMILL_API_KEYS?",
        );
        check(
            "PROMPTMILL_UNRELATED_NAME",
            "unknown environment variable PROMPTMILL_UNRELATED_NAME is ignored",
        );
    }

    #[test]
    fn knows_the_variables_of_every_command() {
        let known = known_variables();
        for name in ["PROMPTMILL_RPM", "PROMPTMILL_DB", "PROMPTMILL_API_KEYS"] {
            assert!(known.iter().any(|known| known == name), "{name}");
        }
    }
}
