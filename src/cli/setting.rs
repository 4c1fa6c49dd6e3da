//! Every setting with its value and where that comes from. Which settings there are is read off the
//! command line's own description, so that none can be forgotten.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory as _};

use crate::domain::redact::redact;

use super::args::Cli;
use super::places::{Entry, Places};

/// A setting as it stands.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name in the settings file; with two dashes in front the flag.
    pub(super) name: String,
    /// The environment variable, where there is one.
    pub(super) environment: Option<String>,
    /// Its value; `None` when it is not set and has no default.
    pub(super) value: Option<String>,
    /// Where the value comes from.
    pub(super) origin: Origin,
    /// The value when nobody sets it, as the help has it.
    pub(super) default: Option<String>,
    /// What it is for.
    pub(super) help: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A line of the settings file.
    File(String),
    /// Nowhere: it is the default.
    Default,
}

/// A command line with all settings on it.
pub(super) struct Line {
    command: clap::Command,
    matches: ArgMatches,
}

impl Line {
    /// Parses a line as `promptmill run` would, but for its input.
    pub(super) fn parse(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let optional = |run: clap::Command| run.mut_arg("input", |input| input.required(false));
        let mut command = Cli::command().mut_subcommand("run", optional);
        command.build();
        let matches = command.try_get_matches_from_mut(words)?;
        Ok(Self { command, matches })
    }

    /// Returns the text of a flag or its variable.
    pub(super) fn text(&self, id: &str) -> Option<String> {
        let (_, run) = self.matches.subcommand()?;
        raw(run, id)
    }

    /// Tells whether a flag is on the line.
    pub(super) fn has(&self, id: &str) -> bool {
        let run = self.matches.subcommand();
        run.is_some_and(|(_, run)| run.get_flag(id))
    }

    /// Returns every setting, in the order of the help.
    pub(super) fn settings(&self, places: &Places) -> Vec<Setting> {
        let Some((name, run)) = self.matches.subcommand() else {
            return Vec::new();
        };
        let Some(command) = self.command.find_subcommand(name) else {
            return Vec::new();
        };
        let arguments = command.get_arguments().filter(|arg| is_setting(arg));
        let mut settings: Vec<_> = arguments.map(|arg| setting(arg, run, places)).collect();
        settings.extend(without_flag(&settings, run, places));
        settings
    }
}

/// What no flag names as a whole: parameters one by one, and the tables of the file.
fn without_flag(known: &[Setting], run: &ArgMatches, places: &Places) -> Vec<Setting> {
    let named = run.get_many::<String>("set").into_iter().flatten();
    let mut settings: Vec<_> = named
        .filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            let origin = Origin::Flag("--set".to_owned());
            Some(bare(&format!("set.{name}"), value, origin))
        })
        .collect();
    for (name, Entry { text, line }) in &places.entries {
        let mut taken = known.iter().chain(&settings);
        if !taken.any(|known| known.name == *name) {
            let origin = Origin::File(format!("{}:{line}", places.path));
            settings.push(bare(name, text, origin));
        }
    }
    settings
}

fn bare(name: &str, value: &str, origin: Origin) -> Setting {
    Setting {
        name: name.to_owned(),
        environment: None,
        value: Some(harmless(value)),
        origin,
        default: None,
        help: String::new(),
    }
}

/// What can be set by a variable is a setting; all else is said anew for every command.
fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_long().is_some()
}

fn setting(arg: &Arg, run: &ArgMatches, places: &Places) -> Setting {
    let name = arg.get_long().unwrap_or_default().to_owned();
    let environment = arg
        .get_env()
        .map(|name| name.to_string_lossy().into_owned());
    let id = arg.get_id().as_str();
    let default = default(arg);
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let given = |origin| (raw(run, id), origin);
    let (value, origin) = match (run.value_source(id), &environment) {
        (Some(ValueSource::CommandLine), _) => given(Origin::Flag(format!("--{name}"))),
        (Some(ValueSource::EnvVariable), Some(variable)) => {
            given(Origin::Environment(variable.clone()))
        }
        _ => match places.entries.get(&name) {
            Some(Entry { text, line }) => {
                let origin = Origin::File(format!("{}:{line}", places.path));
                (Some(text.clone()), origin)
            }
            None => (default.clone(), Origin::Default),
        },
    };
    Setting {
        name,
        environment,
        value: value.map(|value| harmless(&value)),
        origin,
        default,
        help: without_default(&help),
    }
}

/// Returns the text that was given for an argument.
fn raw(run: &ArgMatches, id: &str) -> Option<String> {
    let texts: Vec<_> = run
        .try_get_raw(id)
        .ok()??
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Returns an argument's default: clap's own, or what its help says.
fn default(arg: &Arg) -> Option<String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Some("false".to_owned());
    }
    if let Some(value) = arg.get_default_values().first() {
        return Some(value.to_string_lossy().into_owned());
    }
    let help = arg.get_help()?.to_string();
    let default = help.split_once("[default: ")?.1.split_once(']')?.0;
    Some(default.replace('`', ""))
}

fn without_default(help: &str) -> String {
    let start = help.find(" [default:").or_else(|| help.find("\n[default:"));
    let start = start.unwrap_or(help.len());
    let end = help[start..]
        .find(']')
        .map_or(help.len(), |end| start + end + 1);
    format!("{}{}", &help[..start], &help[end..])
}

/// Takes out what may be a key or a password.
fn harmless(value: &str) -> String {
    let value = redact(value, &[]);
    match (value.find("://"), value.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at && !value[..at].contains(' ') => {
            format!("{}://…{}", &value[..scheme], &value[at..])
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(harmless(value), expected);
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        check(
            "https://anna:hunter2@example.com/v1",
            "https://…@example.com/v1",
        );
        check("https://example.com/v1", "https://example.com/v1");
        check("write to me@example.com", "write to me@example.com");
    }

    #[test]
    fn the_default_is_told_apart_from_the_help() {
        assert_eq!(without_default("The most [default: 16]"), "The most");
        assert_eq!(
            without_default("Where it is\n[default: `x`]"),
            "Where it is"
        );
        assert_eq!(without_default("No default"), "No default");
    }
}
