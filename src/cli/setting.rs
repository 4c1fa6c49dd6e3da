//! All settings with their values and origins. The list is derived from the definition of the command
//! line, so that it is complete.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use crate::domain::redact::redact;
use crate::store::Location;

use super::args;
use super::toml_spans::{TomlEntry, TomlSpans};

/// A setting with its current value.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name in the settings file; the flag is `--name`.
    pub(super) name: String,
    /// Its environment variable, if there is one.
    pub(super) environment: Option<String>,
    /// Its value; `None` if it is not set and has no default.
    pub(super) value: Option<String>,
    /// Where the value comes from.
    pub(super) origin: Origin,
    /// The default, as in the help.
    pub(super) default: Option<String>,
    /// The help text, in one line and without the default.
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
    /// The default.
    Default,
}

/// A command line of `promptmill run`.
pub(super) struct CommandLine {
    command: clap::Command,
    matches: ArgMatches,
}

impl CommandLine {
    /// Parses a command line of `promptmill run`, with optional input.
    pub(super) fn parse(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let optional = |run: clap::Command| run.mut_arg("input", |input| input.required(false));
        let mut command = args::command_for(&words).mut_subcommand("run", optional);
        command.build();
        let matches = command.try_get_matches_from_mut(words)?;
        Ok(Self { command, matches })
    }

    /// Returns the value of a flag or of its environment variable.
    pub(super) fn text(&self, id: &str) -> Option<String> {
        let (_, run) = self.matches.subcommand()?;
        raw_value(run, id)
    }

    /// Returns whether a flag is set.
    pub(super) fn has(&self, id: &str) -> bool {
        let run = self.matches.subcommand();
        run.is_some_and(|(_, run)| run.get_flag(id))
    }

    /// Returns all settings, in the order of the help.
    pub(super) fn settings(&self, spans: &TomlSpans) -> Vec<Setting> {
        let Some((name, run)) = self.matches.subcommand() else {
            return Vec::new();
        };
        let Some(command) = self.command.find_subcommand(name) else {
            return Vec::new();
        };
        let arguments = command.get_arguments().filter(|arg| is_setting(arg));
        let mut settings: Vec<_> = arguments.map(|arg| setting(arg, run, spans)).collect();
        settings.extend(flagless_settings(&settings, run, spans));
        settings
    }
}

/// Returns the settings without a flag of their own: request parameters, and tables of the file.
fn flagless_settings(known: &[Setting], run: &ArgMatches, spans: &TomlSpans) -> Vec<Setting> {
    let parameters = run.get_many::<String>("set").into_iter().flatten();
    let mut settings: Vec<_> = parameters
        .filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            let origin = Origin::Flag("--set".to_owned());
            Some(flagless_setting(&format!("set.{name}"), value, origin))
        })
        .collect();
    for (name, TomlEntry { text, line }) in &spans.entries {
        let mut listed = known.iter().chain(&settings);
        if !listed.any(|setting| setting.name == *name) {
            let origin = Origin::File(format!("{}:{line}", spans.path));
            settings.push(flagless_setting(name, text, origin));
        }
    }
    settings
}

fn flagless_setting(name: &str, value: &str, origin: Origin) -> Setting {
    Setting {
        name: name.to_owned(),
        environment: None,
        value: Some(without_secrets(value)),
        origin,
        default: None,
        help: String::new(),
    }
}

/// Returns whether an argument is a setting. Arguments without a variable apply to one command only.
fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_long().is_some()
}

fn setting(arg: &Arg, run: &ArgMatches, spans: &TomlSpans) -> Setting {
    let name = arg.get_long().unwrap_or_default().to_owned();
    let environment = arg
        .get_env()
        .map(|name| name.to_string_lossy().into_owned());
    let id = arg.get_id().as_str();
    let default = default(arg);
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let given = |origin| (raw_value(run, id), origin);
    let (value, origin) = match (run.value_source(id), &environment) {
        (Some(ValueSource::CommandLine), _) => given(Origin::Flag(format!("--{name}"))),
        (Some(ValueSource::EnvVariable), Some(variable)) => {
            given(Origin::Environment(variable.clone()))
        }
        _ => match spans.entries.get(&name) {
            Some(TomlEntry { text, line }) => {
                let origin = Origin::File(format!("{}:{line}", spans.path));
                (Some(text.clone()), origin)
            }
            None => (default.clone(), Origin::Default),
        },
    };
    Setting {
        environment,
        value: value.map(|value| match name.as_str() {
            "db" => without_secrets(&Location::new(value).to_string()),
            _ => without_secrets(&value),
        }),
        name,
        origin,
        default,
        help: one_line(&without_default(&help)),
    }
}

/// Returns the value of an argument as text.
fn raw_value(run: &ArgMatches, id: &str) -> Option<String> {
    let texts: Vec<_> = run
        .try_get_raw(id)
        .ok()??
        .map(|text| text.to_string_lossy().into_owned())
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Returns the default of an argument: that of clap, or the one in its help.
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

/// Joins the paragraphs of a help text.
fn one_line(help: &str) -> String {
    let paragraphs = help.split("\n\n").map(|part| part.trim_end_matches('.'));
    paragraphs.collect::<Vec<_>>().join(". ")
}

/// Redacts keys and passwords.
fn without_secrets(value: &str) -> String {
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
        assert_eq!(without_secrets(value), expected);
    }

    #[test]
    fn redacts_a_password_in_a_url() {
        check(
            "https://anna:hunter2@example.com/v1",
            "https://…@example.com/v1",
        );
        check("https://example.com/v1", "https://example.com/v1");
        check("write to me@example.com", "write to me@example.com");
    }

    #[test]
    fn separates_the_default_from_the_help() {
        assert_eq!(without_default("Maximum [default: 16]"), "Maximum");
        assert_eq!(without_default("Path\n[default: `x`]"), "Path");
        assert_eq!(without_default("No default"), "No default");
        assert_eq!(one_line("First.\n\nSecond. Third."), "First. Second. Third");
    }
}
