//! All settings with their values and origins. The list is derived from the definition of the command
//! line, so that it is complete.

use clap::builder::{Resettable, StyledStr};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::domain::redact::redact;
use crate::store::Location;

use super::file::{FileEntry, FileSettings, is_setting};

/// A setting with its current value.
#[derive(Debug, Default)]
pub(in crate::cli) struct Setting {
    /// Its name in the settings file; the flag is `--name`.
    pub(in crate::cli) name: String,
    /// Its environment variable, if there is one.
    pub(in crate::cli) environment: Option<String>,
    /// Its value; `None` if it is not set and has no default.
    pub(in crate::cli) value: Option<String>,
    /// Where the value comes from.
    pub(in crate::cli) origin: Origin,
    /// The default, as in the help.
    pub(in crate::cli) default: Option<String>,
    /// The example for the example settings, if the default is not one.
    pub(in crate::cli) example: Option<String>,
    /// The heading in the help.
    pub(in crate::cli) group: String,
    /// The values to choose from, if they are limited.
    pub(in crate::cli) values: Vec<String>,
    /// The help text, in one line and without the default and the example.
    pub(in crate::cli) help: String,
}

/// Where a value comes from.
#[derive(Debug, Default)]
pub(in crate::cli) enum Origin {
    /// A flag of the command line.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A line of the settings file.
    File(String),
    /// The default.
    #[default]
    Default,
}

/// Returns all settings, in the order of the help. `run` is the definition of the command `run` with
/// the examples, and `matches` are the flags and environment variables.
pub(in crate::cli) fn list(
    run: &Command,
    matches: &ArgMatches,
    file: &FileSettings,
) -> Vec<Setting> {
    let arguments = run.get_arguments().filter(|arg| is_setting(arg));
    let mut settings: Vec<_> = arguments.map(|arg| setting(arg, matches, file)).collect();
    settings.extend(flagless_settings(&settings, matches, file));
    settings
}

/// Returns the settings without a flag of their own: request parameters, and tables of the file.
fn flagless_settings(known: &[Setting], run: &ArgMatches, file: &FileSettings) -> Vec<Setting> {
    let parameters = run.try_get_many::<String>("set").ok().flatten();
    let parameters = parameters.into_iter().flatten();
    let mut settings: Vec<_> = parameters
        .filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            let origin = Origin::Flag("--set".to_owned());
            Some(flagless_setting(&format!("set.{name}"), value, origin))
        })
        .collect();
    for (name, entry) in &file.entries {
        let mut listed = known.iter().chain(&settings);
        if !listed.any(|setting| setting.name == *name) {
            let origin = Origin::File(format!("{}:{}", file.path, entry.line));
            settings.push(flagless_setting(name, &entry.text, origin));
        }
    }
    settings
}

fn flagless_setting(name: &str, value: &str, origin: Origin) -> Setting {
    Setting {
        name: name.to_owned(),
        value: Some(without_secrets(value)),
        origin,
        ..Setting::default()
    }
}

fn setting(arg: &Arg, run: &ArgMatches, file: &FileSettings) -> Setting {
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
        _ => match file.entries.get(&name) {
            Some(FileEntry { text, line }) => {
                let origin = Origin::File(format!("{}:{line}", file.path));
                (Some(text.clone()), origin)
            }
            None => (default.clone(), Origin::Default),
        },
    };
    let values = arg.get_possible_values();
    Setting {
        environment,
        value: value.map(|value| match name.as_str() {
            "db" => without_secrets(&Location::new(value).to_string()),
            _ => without_secrets(&value),
        }),
        name,
        origin,
        example: note(&help, "example").map(str::to_owned),
        default,
        group: arg.get_help_heading().unwrap_or_default().to_owned(),
        values: values
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect(),
        help: one_line(&without_note(&without_note(&help, "example"), "default")),
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
    Some(note(&help, "default")?.replace('`', ""))
}

/// Returns the text of a note like `[default: 16]` in a help text.
fn note<'a>(help: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = help.split_once(&format!("[{name}: "))?;
    Some(rest.split_once(']')?.0)
}

fn without_note(help: &str, name: &str) -> String {
    let starts = [' ', '\n'].map(|space| help.find(&format!("{space}[{name}: ")));
    let Some(start) = starts.into_iter().flatten().min() else {
        return help.to_owned();
    };
    let end = help[start..]
        .find(']')
        .map_or(help.len(), |end| start + end + 1);
    format!("{}{}", &help[..start], &help[end..])
}

/// Applies a function to the arguments of a command and of its subcommands.
pub(in crate::cli) fn map_args(command: Command, map: &dyn Fn(Arg) -> Arg) -> Command {
    command
        .mut_args(map)
        .mut_subcommands(|subcommand| map_args(subcommand, map))
}

/// Removes the example, which only the example settings show, from the help of a setting.
pub(in crate::cli) fn without_example(arg: Arg) -> Arg {
    if !is_setting(&arg) {
        return arg;
    }
    let shorten = |help: Option<&StyledStr>| {
        let help = help.map(|help| without_note(&help.ansi().to_string(), "example"));
        Resettable::from(help.map(StyledStr::from))
    };
    let (help, long_help) = (shorten(arg.get_help()), shorten(arg.get_long_help()));
    arg.help(help).long_help(long_help)
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
        assert_eq!(without_note("Maximum [default: 16]", "default"), "Maximum");
        assert_eq!(without_note("Path\n[default: `x`]", "default"), "Path");
        assert_eq!(without_note("No default", "default"), "No default");
        assert_eq!(one_line("First.\n\nSecond. Third."), "First. Second. Third");
    }
}
