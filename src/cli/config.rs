//! Shows all settings with their origins. For API keys, only the source is shown.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, Subcommand};
use serde_json::{Value, json};

use crate::progress::safe::{Safe, Truncated};

use super::exit::{CliError, Exit};
use super::settings::{self, FileSettings, Origin, Setting, map_args, without_example};
use super::{console, usage_error};

#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub(super) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Show each setting with its value and origin
    ///
    /// The origin is a flag, an environment variable, a line of the settings file, or the default.
    #[command(after_long_help = "\
Examples:
  promptmill config show
  promptmill config show --rpm 60 --model gpt-4o   # as for `run` with these
  promptmill config show --json")]
    Show {
        /// Options of `run`
        #[arg(
            value_name = "RUN_OPTIONS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        flags: Vec<OsString>,
    },
}

/// Maximum length of a value, in characters.
const VALUE_LENGTH: usize = 60;

/// Maximum width of a column, in characters.
const MAX_WIDTH: usize = 36;

/// Runs `promptmill config show`, which parses its command line as that of `run`. `settings` returns
/// a command that has all settings as arguments.
pub(super) fn show(
    words: &[OsString],
    program: Command,
    settings: fn() -> Command,
) -> Result<Exit, CliError> {
    let optional = |run: Command| run.mut_arg("input", |input| input.required(false));
    let mut program = program.mut_subcommand("run", optional);
    program.build();
    let mut parser = map_args(program.clone(), &without_example);
    let matches = match parser.try_get_matches_from_mut(as_run(words)) {
        Ok(matches) => matches,
        Err(error) => return Ok(usage_error::print(error, words, &program)),
    };
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(Exit::Usage);
    };
    let path = matches.get_one::<PathBuf>("config");
    let file = FileSettings::read(path.map(PathBuf::as_path), settings)?;
    let run = program.find_subcommand(name).unwrap_or(&program);
    let settings = settings::list(run, matches, &file);
    let (path, found) = (file.path.clone(), file.found);
    let keys = describe_keys(matches, file);
    let text = if matches.get_flag("json") {
        format!("{}\n", to_json(&settings, &keys))
    } else {
        let missing = if found { "" } else { " (not found)" };
        let (keys, path) = (Safe(&keys), Safe(&path));
        let end = format!("\nkeys: {keys}\nsettings file: {path}{missing}\n");
        to_text(&settings) + &end
    };
    console::print(&text)?;
    Ok(Exit::Done)
}

/// Describes the source of the API keys.
fn describe_keys(matches: &ArgMatches, file: FileSettings) -> String {
    let mut sources = settings::key_sources(file);
    if let Ok(Some(path)) = matches.try_get_one::<PathBuf>("api_key_file") {
        sources.file = Some(path.clone());
    }
    if let Ok(Some(command)) = matches.try_get_one::<String>("api_key_command") {
        sources.command = Some(command.clone());
    }
    sources.describe()
}

/// Replaces `config show` with `run`.
fn as_run(words: &[OsString]) -> Vec<OsString> {
    let mut words = words.to_owned();
    let index = words
        .windows(2)
        .position(|pair| pair[0] == "config" && pair[1] == "show");
    if let Some(index) = index {
        words.splice(index..index + 2, [OsString::from("run")]);
    }
    words
}

fn origin(origin: &Origin) -> &str {
    match origin {
        Origin::Flag(name) | Origin::Environment(name) | Origin::File(name) => name,
        Origin::Default => "default",
    }
}

fn to_text(settings: &[Setting]) -> String {
    let value = |setting: &Setting| {
        let value = setting.value.as_deref().unwrap_or("-");
        Truncated(value, VALUE_LENGTH).to_string()
    };
    let width =
        |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).clamp(7, MAX_WIDTH);
    let names = width(&mut settings.iter().map(|setting| setting.name.len()));
    let mut lengths = settings
        .iter()
        .map(|setting| value(setting).chars().count());
    let values = width(&mut lengths);
    let mut text = format!("{:names$}  {:values$}  origin\n", "setting", "value");
    for setting in settings {
        let (name, value) = (Safe(&setting.name).to_string(), value(setting));
        let origin = Safe(origin(&setting.origin));
        let _ = writeln!(text, "{name:names$}  {value:values$}  {origin}");
    }
    text
}

fn to_json(settings: &[Setting], keys: &str) -> Value {
    let settings: Vec<_> = settings
        .iter()
        .map(|setting| {
            let kind = match setting.origin {
                Origin::Flag(_) => "flag",
                Origin::Environment(_) => "environment",
                Origin::File(_) => "file",
                Origin::Default => "default",
            };
            json!({
                "name": setting.name, "value": setting.value, "from": kind,
                "where": origin(&setting.origin), "environment": setting.environment,
                "default": setting.default, "help": setting.help, "group": setting.group,
                "values": setting.values, "example": setting.example,
            })
        })
        .collect();
    json!({ "settings": settings, "keys": keys })
}
