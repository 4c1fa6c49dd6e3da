//! Shows the settings, each with where it comes from. A key is shown by its source only.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::progress::safe::{Excerpt, Safe};

use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::places::{self, Places};
use super::setting::{Line, Origin, Setting};
use super::{mistyped, screen, settings};

/// Characters of a value that are shown.
const VALUE_LENGTH: usize = 60;

/// The widest that a column of values becomes, in characters.
const WIDEST: usize = 36;

/// `promptmill config show`: the words of the command line are parsed anew, as those of `run`.
pub(super) fn show(words: &[OsString]) -> Result<Exit, CliError> {
    let line = match Line::parse(as_run(words)) {
        Ok(line) => line,
        Err(error) => return Ok(mistyped::print(error, words)),
    };
    let named = line.text("config").map(PathBuf::from);
    let file = file::read(named.as_deref())?;
    let places = places::find(named.as_deref())?;
    let settings = line.settings(&places);
    let path = |id: &str| line.text(id).map(PathBuf::from);
    let mut sources = settings::key_sources(file);
    sources.file = path("api_key_file").or(sources.file);
    sources.command = line.text("api_key_command").or(sources.command);
    let keys = sources.describe();
    let text = if line.has("json") {
        format!("{}\n", to_json(&settings, &keys))
    } else {
        to_text(&settings, &keys, &places)
    };
    screen::print(&text)?;
    Ok(Exit::Done)
}

/// Puts `run` where the line says `config show`.
fn as_run(words: &[OsString]) -> Vec<OsString> {
    let mut words = words.to_owned();
    let at = words
        .windows(2)
        .position(|pair| pair[0] == "config" && pair[1] == "show");
    if let Some(at) = at {
        words.splice(at..at + 2, [OsString::from("run")]);
    }
    words
}

fn origin(origin: &Origin) -> &str {
    match origin {
        Origin::Flag(name) | Origin::Environment(name) | Origin::File(name) => name,
        Origin::Default => "default",
    }
}

fn to_text(settings: &[Setting], keys: &str, places: &Places) -> String {
    let value = |setting: &Setting| {
        let value = setting.value.as_deref().unwrap_or("-");
        Excerpt(value, VALUE_LENGTH).to_string()
    };
    let width = |texts: &mut dyn Iterator<Item = usize>, most: usize| {
        texts.max().unwrap_or(0).clamp(7, most)
    };
    let names = width(
        &mut settings.iter().map(|setting| setting.name.len()),
        WIDEST,
    );
    let values = width(
        &mut settings
            .iter()
            .map(|setting| value(setting).chars().count()),
        WIDEST,
    );
    let mut text = format!("{:names$}  {:values$}  from\n", "setting", "value");
    for setting in settings {
        let (name, value) = (Safe(&setting.name).to_string(), value(setting));
        let from = Safe(origin(&setting.origin));
        let _ = writeln!(text, "{name:names$}  {value:values$}  {from}");
    }
    let _ = writeln!(text, "\nkeys: {}", Safe(keys));
    let missing = if places.found { "" } else { " (is not there)" };
    let _ = writeln!(text, "settings file: {}{missing}", Safe(&places.path));
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
