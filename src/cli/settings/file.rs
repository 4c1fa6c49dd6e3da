//! The settings file, `promptmill.toml`. A setting has the name and the syntax of its flag, and its
//! value becomes the default of the flag. Errors have the line that they are in.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::exit::{CliError, Exit};
use crate::cli::values::POSITIVE_INTEGER;
use crate::domain::redact::redact;
use crate::domain::spelling::nearest;

use super::tables::{TABLES, Tables};

/// The settings file to read without `--config`.
const DEFAULT: &str = "promptmill.toml";

/// Names of settings under which users try to store an API key in the file.
const KEY_NAMES: [&str; 5] = ["api-key", "api-keys", "key", "openai-api-key", "token"];

/// The contents of a settings file.
#[derive(Debug, Default)]
pub(in crate::cli) struct FileSettings {
    /// The path of the file.
    pub(in crate::cli) path: String,
    /// Whether the file exists.
    pub(in crate::cli) found: bool,
    /// The entries as they are in the file; entries of tables are named `table.key`.
    pub(in crate::cli) entries: BTreeMap<String, FileEntry>,
    /// The settings without a flag.
    pub(in crate::cli) tables: Tables,
    /// The values of flags, by name.
    values: BTreeMap<String, String>,
}

/// An entry of a settings file.
#[derive(Debug)]
pub(in crate::cli) struct FileEntry {
    /// The value: strings without quotes, others as in the file.
    pub(in crate::cli) text: String,
    /// The line, from 1.
    pub(in crate::cli) line: usize,
}

impl FileSettings {
    /// Reads the settings file. The default file does not have to exist. `settings` returns a command
    /// that has all settings as arguments.
    pub(in crate::cli) fn read(
        path: Option<&Path>,
        settings: fn() -> Command,
    ) -> Result<Self, CliError> {
        let is_explicit = path.is_some();
        let path = path.unwrap_or(Path::new(DEFAULT));
        let mut file = Self {
            path: path.display().to_string(),
            ..Self::default()
        };
        if let Some(text) = read_text(path, is_explicit)? {
            file.found = true;
            let source = Source { path, text: &text };
            file.parse(&source, &settings())?;
        }
        Ok(file)
    }

    fn parse(&mut self, source: &Source<'_>, settings: &Command) -> Result<(), CliError> {
        // The path of the settings file is only a flag.
        let settings = settings.get_arguments();
        let settings = settings.filter(|arg| is_setting(arg) && arg.get_id() != "config");
        let settings: Vec<_> = settings.collect();
        let table = DeTable::parse(source.text).map_err(|error| source.toml_error(&error))?;
        self.add_entries("", table.get_ref(), source);
        let mut items: Vec<_> = table.get_ref().iter().collect();
        items.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in items {
            let name = key.get_ref().as_ref();
            if let Some(arg) = settings.iter().find(|arg| arg.get_long() == Some(name)) {
                let value = flag_value(arg, value).map_err(|reason| {
                    let what = format!("invalid value for {name}: {reason}");
                    source.invalid(value.span().start, &what)
                })?;
                self.values.insert(name.to_owned(), value);
            } else if !TABLES.contains(&name) {
                let known = settings.iter().filter_map(|arg| arg.get_long());
                let known: Vec<_> = known.chain(TABLES).map(str::to_owned).collect();
                return Err(source.unknown(key.span().start, name, &known));
            }
        }
        let tables = Tables::deserialize(toml::Deserializer::from(table));
        self.tables = tables.map_err(|error| source.toml_error(&error))?;
        Ok(())
    }

    fn add_entries(&mut self, prefix: &str, table: &DeTable<'_>, source: &Source<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => self.add_entries(&format!("{name}."), table, source),
                DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {}
                scalar => {
                    let line = source.line(key.span().start);
                    let text = source.text.get(value.span()).unwrap_or_default();
                    let text = scalar.as_str().unwrap_or(text).to_owned();
                    self.entries.insert(name, FileEntry { text, line });
                }
            }
        }
    }

    /// Returns the value of a flag in the file.
    pub(in crate::cli) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns the argument with its value in the file as its default.
    pub(in crate::cli) fn set_default(&self, arg: Arg) -> Arg {
        let value = arg.get_long().filter(|_| is_setting(&arg));
        match value.and_then(|name| self.value(name)) {
            Some(value) => arg.default_value(value.to_owned()),
            None => arg,
        }
    }
}

/// Returns whether an argument is a setting. Arguments without a variable apply to one command only.
pub(in crate::cli) fn is_setting(arg: &Arg) -> bool {
    arg.get_env().is_some() && arg.get_long().is_some()
}

/// Checks a value, and returns it in the syntax of the flag.
fn flag_value(arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let is_count = arg.get_value_parser().type_id() == TypeId::of::<NonZeroU32>();
    let text = match value.get_ref() {
        DeValue::Boolean(is_on) if is_switch => return Ok(is_on.to_string()),
        _ if is_switch => return Err("expected true or false".to_owned()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| number.to_string(), |number| number.to_string())
        }
        _ if is_count => return Err(POSITIVE_INTEGER.to_owned()),
        DeValue::String(text) => text.to_string(),
        DeValue::Float(number) => number.to_string(),
        _ => return Err("expected a string or a number".to_owned()),
    };
    let parser = arg.get_value_parser().clone();
    let command = Command::new("value")
        .no_binary_name(true)
        .arg(Arg::new("value").value_parser(parser));
    let parsed = command.try_get_matches_from(["--", text.as_str()]);
    parsed.map_err(|error| reason(&error)).map(|_| text)
}

/// Returns why clap rejected a value, without the value itself.
fn reason(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            format!("expected one of {}", valid.join(", "))
        }
        (None, _) => "expected a value".to_owned(),
    }
}

/// Returns the text of the file; `None` if the default file does not exist.
fn read_text(path: &Path, is_explicit: bool) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_explicit => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("settings file not found: {}", path.display());
            let hint = "check the path of --config";
            Err(CliError::new(Exit::Config, &what, hint))
        }
        Err(error) => {
            let what = format!("cannot read the settings file {}: {error}", path.display());
            let hint = "check its permissions, or pass another file with --config";
            Err(CliError::new(Exit::Config, &what, hint))
        }
    }
}

/// The text of a settings file. Its errors must not contain an API key that was written into the file.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// Returns the line of a byte offset, from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    fn invalid(&self, offset: usize, message: &str) -> CliError {
        let (path, line) = (self.path.display(), self.line(offset));
        let what = format!("{path}:{line}: {}", redact(message, &[]));
        let hint = "see promptmill.example.toml for the format of each setting";
        CliError::new(Exit::Config, &what, hint)
    }

    fn unknown(&self, offset: usize, name: &str, known: &[String]) -> CliError {
        let (path, line) = (self.path.display(), self.line(offset));
        let what = format!("{path}:{line}: unknown setting '{}'", redact(name, &[]));
        let name = name.replace('_', "-");
        let hint = match nearest(&name, known) {
            _ if KEY_NAMES.contains(&name.as_str()) => {
                "configure API keys as [[keys]] with `env`, `file`, or `command`".to_owned()
            }
            Some(near) => format!("did you mean {}?", near.name),
            None => format!("use one of {}", known.join(", ")),
        };
        CliError::new(Exit::Config, &what, &hint)
    }

    fn toml_error(&self, error: &toml::de::Error) -> CliError {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error
            .message()
            .replace("a nonzero u32", "a positive integer");
        match unknown_field(&message) {
            Some((name, known)) => self.unknown(offset, name, &known),
            None => self.invalid(offset, &message),
        }
    }
}

/// Extracts the unknown name and the known names from a message of serde.
fn unknown_field(message: &str) -> Option<(&str, Vec<String>)> {
    let (name, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    Some((name, known.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::values::{choice, count};

    fn program() -> Command {
        let arg = |name| Arg::new(name).long(name).env("UNUSED");
        Command::new("promptmill").args([
            arg("model"),
            arg("rpm").value_parser(count::<NonZeroU32>),
            arg("csv-raw").action(ArgAction::SetTrue),
            arg("color").value_parser(choice(&[("auto", 0), ("never", 1)])),
            Arg::new("sample").long("sample"),
        ])
    }

    /// Parses a settings file, and returns the value of its first setting or the error.
    fn parse(text: &str) -> Result<Option<String>, String> {
        let path = Path::new("p.toml");
        let mut file = FileSettings::default();
        let parsed = file.parse(&Source { path, text }, &program());
        parsed.map_err(|error| error.message)?;
        Ok(file.values.into_values().next())
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        match (parse(text), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value.as_deref(), Some(expected)),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }

    #[test]
    fn values_have_the_syntax_of_flags_and_the_types_of_toml() {
        check("rpm = 1_000", Ok("1000"));
        check("rpm = 0x10", Ok("16"));
        check("model = 'a b'", Ok("a b"));
        check("csv-raw = true", Ok("true"));
        check("color = \"never\"", Ok("never"));
        for text in ["rpm = 0", "rpm = -1", "rpm = \"6\"", "rpm = 1.5"] {
            check(
                text,
                Err("p.toml:1: invalid value for rpm: expected a positive"),
            );
        }
        check("csv-raw = \"true\"", Err("expected true or false"));
        check("color = \"x\"", Err("color: expected one of auto, never"));
        check("model = true", Err("model: expected a string or a number"));
        check("model = \"\"\n", Ok(""));
    }

    #[test]
    fn errors_have_the_line_of_the_first_mistake() {
        check(
            "\n\nzzz = 1\naaa = 1",
            Err("p.toml:3: unknown setting 'zzz'"),
        );
        check("rmp = 1", Err("did you mean rpm?"));
        check(
            "sample = 1",
            Err("use one of model, rpm, csv-raw, color, set, keys"),
        );
        check("\n[[keys]]\nrpm = 0", Err("p.toml:3: "));
        check("[groups.a]\nrmp = 1", Err("did you mean rpm?"));
        check("rpm = 1\nrpm = 2", Err("p.toml:2: duplicate key"));
    }
}
