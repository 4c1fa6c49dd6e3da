//! Environment variables that look like ours and are none: a setting that was meant and has no effect.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory as _};

use crate::domain::spelling::nearest;
use crate::progress::safe::Safe;

use super::args::Cli;
use super::environment::{self, KEY_VARIABLES};

/// The variable for tests that let the program fail at named points.
const FAILPOINTS: &str = "PROMPTMILL_FAILPOINTS";

/// Warns of every variable with our prefix that nothing reads.
pub(super) fn warn() {
    let given = environment::ours();
    if given.is_empty() {
        return;
    }
    let known = known();
    for name in given.iter().filter(|name| !known.contains(name)) {
        tracing::warn!("{}", told(name, &known));
    }
}

fn told(name: &str, known: &[String]) -> String {
    let what = format!("the environment variable {} is no setting", Safe(name));
    match nearest(name, known) {
        Some(near) => format!("{what}; did you mean {}?", near.name),
        None => format!("{what} and has no effect"),
    }
}

/// Returns the variables that some command reads.
fn known() -> Vec<String> {
    let mut known = BTreeSet::from([FAILPOINTS.to_owned()]);
    known.extend(KEY_VARIABLES.map(|(name, _)| name.to_owned()));
    gather(&Cli::command(), &mut known);
    known.into_iter().collect()
}

fn gather(command: &Command, known: &mut BTreeSet<String>) {
    let names = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(names.map(|name| name.to_string_lossy().into_owned()));
    for below in command.get_subcommands() {
        gather(below, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(told(name, &known()), expected);
    }

    #[test]
    fn what_was_meant_is_named() {
        check(
            "PROMPTMILL_MODLE",
            "the environment variable PROMPTMILL_MODLE is no setting; did you mean PROMPTMILL_MODEL?",
        );
        check(
            "PROMPTMILL_API_KEY",
            "the environment variable PROMPTMILL_API_KEY is no setting; did you mean PROMPTMILL_API_KEYS?",
        );
        check(
            "PROMPTMILL_OF_THE_GODS",
            "the environment variable PROMPTMILL_OF_THE_GODS is no setting and has no effect",
        );
    }

    #[test]
    fn every_variable_of_every_command_is_known() {
        let known = known();
        for name in ["PROMPTMILL_RPM", "PROMPTMILL_DB", "PROMPTMILL_API_KEYS"] {
            assert!(known.iter().any(|known| known == name), "{name}");
        }
    }
}
