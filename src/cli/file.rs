//! The settings file, `promptmill.toml`. Settings have the names of the flags, without the dashes.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::domain::concurrency::Concurrency;
use crate::domain::limits::KeyLimits;
use crate::domain::price::{Cost, Price, Prices};
use crate::domain::redact::redact;
use crate::domain::spelling::nearest;
use crate::domain::time_zone::TimeZone;

use super::args::{
    ColorChoice, Dedupe, EndpointChoice, IfBusy, InputFormat, LogFormat, OutputFormat,
    ResponseFormat, SummaryChoice,
};
use super::error::CliError;
use super::exit::Exit;
use super::values;

/// The settings file to read without `--config`.
pub(super) const DEFAULT: &str = "promptmill.toml";

/// Names of settings under which users try to store an API key in the file.
const KEY_NAMES: [&str; 5] = ["api-key", "api-keys", "key", "openai-api-key", "token"];

/// The contents of a settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FileSettings {
    pub(super) db: Option<PathBuf>,
    pub(super) allow_network_fs: Option<bool>,
    pub(super) base_url: Option<String>,
    pub(super) model: Option<String>,
    pub(super) endpoint: Option<EndpointChoice>,
    pub(super) prompt: Option<String>,
    pub(super) system: Option<String>,
    pub(super) set: BTreeMap<String, toml::Value>,
    pub(super) schema: Option<PathBuf>,
    pub(super) response_format: Option<ResponseFormat>,
    pub(super) id_column: Option<String>,
    #[serde(deserialize_with = "delimiter")]
    pub(super) delimiter: Option<u8>,
    pub(super) input_format: Option<InputFormat>,
    pub(super) output: Option<PathBuf>,
    pub(super) output_format: Option<OutputFormat>,
    pub(super) error_file: Option<PathBuf>,
    pub(super) csv_raw: Option<bool>,
    pub(super) columns_from_schema: Option<bool>,
    pub(super) api_key_file: Option<PathBuf>,
    pub(super) api_key_command: Option<String>,
    pub(super) insecure_key_file: Option<bool>,
    #[serde(deserialize_with = "duration")]
    pub(super) timeout: Option<Duration>,
    #[serde(deserialize_with = "concurrency")]
    pub(super) concurrency: Option<Concurrency>,
    pub(super) rpm: Option<NonZeroU32>,
    pub(super) tpm: Option<NonZeroU32>,
    pub(super) rpd: Option<NonZeroU32>,
    #[serde(deserialize_with = "time_zone")]
    pub(super) zone: Option<TimeZone>,
    pub(super) limit: Option<NonZeroU32>,
    pub(super) max_requests: Option<NonZeroU32>,
    #[serde(deserialize_with = "duration")]
    pub(super) max_runtime: Option<Duration>,
    #[serde(deserialize_with = "money")]
    pub(super) max_cost: Option<Cost>,
    pub(super) max_attempts: Option<NonZeroU32>,
    pub(super) dedupe: Option<Dedupe>,
    #[serde(deserialize_with = "duration")]
    pub(super) max_wait: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) max_outage: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) grace: Option<Duration>,
    pub(super) color: Option<ColorChoice>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) cron: Option<bool>,
    pub(super) if_busy: Option<IfBusy>,
    pub(super) summary: Option<SummaryChoice>,
    pub(super) keys: Vec<FileKey>,
    /// Limits that the keys of a group share, by name of the group.
    pub(super) groups: BTreeMap<String, FileLimits>,
    /// Prices by model.
    pub(super) prices: BTreeMap<String, FilePrice>,
}

/// The source of an API key. The key itself is never in the settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FileKey {
    /// The name of the key in output.
    pub(super) label: Option<String>,
    /// An environment variable that contains it.
    pub(super) env: Option<String>,
    /// A file that contains it.
    pub(super) file: Option<PathBuf>,
    /// A command that prints it.
    pub(super) command: Option<String>,
    /// The group of keys with which it shares limits or an account.
    pub(super) group: Option<String>,
    /// Its share of the requests, relative to keys of weight 1.
    pub(super) weight: Option<NonZeroU32>,
    /// The models to use it for; all if empty.
    pub(super) models: Vec<String>,
    pub(super) rpm: Option<NonZeroU32>,
    pub(super) tpm: Option<NonZeroU32>,
    pub(super) rpd: Option<NonZeroU32>,
    /// Maximum number of its requests in flight.
    pub(super) concurrency: Option<NonZeroU32>,
    /// The time zone in which the day of `rpd` begins.
    #[serde(deserialize_with = "time_zone")]
    pub(super) zone: Option<TimeZone>,
}

/// The limits of a group of keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FileLimits {
    pub(super) rpm: Option<NonZeroU32>,
    pub(super) tpm: Option<NonZeroU32>,
    pub(super) rpd: Option<NonZeroU32>,
    pub(super) concurrency: Option<NonZeroU32>,
    #[serde(deserialize_with = "time_zone")]
    pub(super) zone: Option<TimeZone>,
}

impl FileLimits {
    pub(super) fn limits(self) -> KeyLimits {
        KeyLimits {
            rpm: self.rpm,
            tpm: self.tpm,
            rpd: self.rpd,
            in_flight: self.concurrency,
            zone: self.zone.unwrap_or_default(),
        }
    }
}

/// The price of a model, in US dollars per million tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FilePrice {
    pub(super) input: f64,
    pub(super) output: f64,
}

impl FileSettings {
    /// Returns the list prices, with those of the file taking precedence.
    pub(super) fn prices(&self) -> Prices {
        let own = self.prices.iter().filter_map(|(model, price)| {
            Some((
                model.clone(),
                Price::per_million(price.input, price.output)?,
            ))
        });
        Prices::new(own.collect())
    }
}

/// Reads the settings file. The default file does not have to exist.
pub(super) fn read(path: Option<&Path>) -> Result<FileSettings, CliError> {
    let Some((path, text)) = text(path)? else {
        return Ok(FileSettings::default());
    };
    toml::from_str(&text).map_err(|error| parse_error(path, &text, &error))
}

/// Returns the path and the text of the file; `None` if the default file does not exist.
pub(super) fn text(path: Option<&Path>) -> Result<Option<(&Path, String)>, CliError> {
    let is_explicit = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path, text))),
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

/// Returns the line of a byte offset in a text, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}

/// Converts a TOML error. Its message must not contain an API key that was written into the file.
pub(super) fn parse_error(path: &Path, text: &str, error: &toml::de::Error) -> CliError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let message = error.message();
    let location = format!("{}:{line}", path.display());
    let Some((name, known)) = unknown_field(message) else {
        let message = message.replace("a nonzero u32", "a positive integer");
        let what = format!("{location}: {}", redact(&message, &[]));
        let hint = "see promptmill.example.toml for the format of each setting";
        return CliError::new(Exit::Config, &what, hint);
    };
    let what = format!("{location}: unknown setting '{}'", redact(name, &[]));
    let hint = match nearest(&name.replace('_', "-"), &known) {
        _ if KEY_NAMES.contains(&name.replace('_', "-").as_str()) => {
            "configure API keys as [[keys]] with `env`, `file`, or `command`".to_owned()
        }
        Some(near) => format!("did you mean {}?", near.name),
        None => format!("use one of {}", known.join(", ")),
    };
    CliError::new(Exit::Config, &what, &hint)
}

/// Extracts the unknown name and the known names from a message of serde.
fn unknown_field(message: &str) -> Option<(&str, Vec<String>)> {
    let (name, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    Some((name, known.map(str::to_owned).collect()))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    parsed(deserializer, values::duration)
}

fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cost>, D::Error> {
    parsed(deserializer, values::money)
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeZone>, D::Error> {
    parsed(deserializer, values::time_zone)
}

fn concurrency<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Concurrency>, D::Error> {
    parsed(deserializer, values::concurrency)
}

fn delimiter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    parsed(deserializer, values::delimiter)
}

/// Parses a value as on the command line; numbers need no quotes.
fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        other => other.type_str().to_owned(),
    };
    parse(&text).map(Some).map_err(serde::de::Error::custom)
}
