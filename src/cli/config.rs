//! Shows all settings with their origins. For API keys, only the source is shown.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::progress::safe::{Safe, Truncated};

use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::setting::{CommandLine, Origin, Setting};
use super::toml_spans::{self, TomlSpans};
use super::{console, settings, usage_error};

/// Maximum length of a value, in characters.
const VALUE_LENGTH: usize = 60;

/// Maximum width of a column, in characters.
const MAX_WIDTH: usize = 36;

/// Runs `promptmill config show`, which parses its command line as that of `run`.
pub(super) fn show(words: &[OsString]) -> Result<Exit, CliError> {
    let line = match CommandLine::parse(as_run(words)) {
        Ok(line) => line,
        Err(error) => return Ok(usage_error::print(error, words)),
    };
    let path = line.text("config").map(PathBuf::from);
    let file = file::read(path.as_deref())?;
    let spans = toml_spans::read(path.as_deref())?;
    let settings = line.settings(&spans);
    let path = |id: &str| line.text(id).map(PathBuf::from);
    let mut sources = settings::key_sources(file);
    sources.file = path("api_key_file").or(sources.file);
    sources.command = line.text("api_key_command").or(sources.command);
    let keys = sources.describe();
    let text = if line.has("json") {
        format!("{}\n", to_json(&settings, &keys))
    } else {
        to_text(&settings, &keys, &spans)
    };
    console::print(&text)?;
    Ok(Exit::Done)
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

fn to_text(settings: &[Setting], keys: &str, spans: &TomlSpans) -> String {
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
    let _ = writeln!(text, "\nkeys: {}", Safe(keys));
    let missing = if spans.found { "" } else { " (not found)" };
    let _ = writeln!(text, "settings file: {}{missing}", Safe(&spans.path));
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
                "default": setting.default, "help": setting.help,
            })
        })
        .collect();
    json!({ "settings": settings, "keys": keys })
}
