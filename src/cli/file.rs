//! The settings file, `promptmill.toml`: the same names as the flags, without the dashes in front.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::domain::limits::{KeyLimits, Zone};
use crate::domain::price::{Cost, Price, Prices};
use crate::domain::redact::redact;
use crate::domain::spelling::nearest;
use crate::domain::window::Concurrency;

use super::args::{
    ColorChoice, Dedupe, EndpointChoice, IfBusy, InputFormat, LogFormat, OutputFormat,
    ResponseFormat, SummaryChoice,
};
use super::error::CliError;
use super::exit::Exit;
use super::values;

/// The file that is read when none is named.
pub(super) const DEFAULT: &str = "promptmill.toml";

/// Names under which people write a key itself into the file.
const KEY_NAMES: [&str; 5] = ["api-key", "api-keys", "key", "openai-api-key", "token"];

/// What a settings file may say.
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
    #[serde(deserialize_with = "zone")]
    pub(super) zone: Option<Zone>,
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
    /// Limits that the keys of a group share, by the group's name.
    pub(super) groups: BTreeMap<String, FileLimits>,
    /// Prices in US dollars for a million tokens, by model.
    pub(super) prices: BTreeMap<String, FilePrice>,
}

/// One key of the file: never the key itself, only where it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FileKey {
    /// The key's name for people.
    pub(super) label: Option<String>,
    /// An environment variable that holds it.
    pub(super) env: Option<String>,
    /// A file that holds it.
    pub(super) file: Option<PathBuf>,
    /// A command that prints it.
    pub(super) command: Option<String>,
    /// A name for the limit or account that it shares with other keys.
    pub(super) group: Option<String>,
    /// How many requests it gets for each of a key of weight 1.
    pub(super) weight: Option<NonZeroU32>,
    /// The models it may be used for; empty is all.
    pub(super) models: Vec<String>,
    pub(super) rpm: Option<NonZeroU32>,
    pub(super) tpm: Option<NonZeroU32>,
    pub(super) rpd: Option<NonZeroU32>,
    /// The most requests in flight with it.
    pub(super) concurrency: Option<NonZeroU32>,
    /// Where the day of `rpd` begins at midnight.
    #[serde(deserialize_with = "zone")]
    pub(super) zone: Option<Zone>,
}

/// The limits of a group of keys.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FileLimits {
    pub(super) rpm: Option<NonZeroU32>,
    pub(super) tpm: Option<NonZeroU32>,
    pub(super) rpd: Option<NonZeroU32>,
    pub(super) concurrency: Option<NonZeroU32>,
    #[serde(deserialize_with = "zone")]
    pub(super) zone: Option<Zone>,
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

/// What a model's tokens cost, in US dollars for a million.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FilePrice {
    pub(super) input: f64,
    pub(super) output: f64,
}

impl FileSettings {
    /// Returns the prices that count.
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

/// Reads the settings file; the default one need not be there.
pub(super) fn read(path: Option<&Path>) -> Result<FileSettings, CliError> {
    let Some((path, text)) = text(path)? else {
        return Ok(FileSettings::default());
    };
    toml::from_str(&text).map_err(|error| wrong(path, &text, &error))
}

/// Returns the path and the text of the file; `None` for a default one that is not there.
pub(super) fn text(path: Option<&Path>) -> Result<Option<(&Path, String)>, CliError> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("there is no settings file {}", path.display());
            Err(CliError::new(
                Exit::Config,
                &what,
                "check the path after --config",
            ))
        }
        Err(error) => {
            let what = format!("cannot read the settings file {}: {error}", path.display());
            let hint = "name another one with --config";
            Err(CliError::new(Exit::Config, &what, hint))
        }
    }
}

/// Returns the line of a place in a text, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// Says what is wrong with a file, and what was meant where that can be told. A key that was written
/// into the file must not reach the screen.
pub(super) fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> CliError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let said = error.message();
    let place = format!("{}:{line}", path.display());
    let Some((name, known)) = unknown(said) else {
        let said = said.replace("a nonzero u32", "a whole number from 1 on");
        let what = format!("{place}: {}", redact(&said, &[]));
        let hint = "promptmill.example.toml shows how each setting is written";
        return CliError::new(Exit::Config, &what, hint);
    };
    let what = format!("{place}: no setting is called \"{}\"", redact(name, &[]));
    let hint = match nearest(&name.replace('_', "-"), &known) {
        _ if KEY_NAMES.contains(&name.replace('_', "-").as_str()) => {
            "a key goes in as [[keys]] with `env`, `file` or `command`".to_owned()
        }
        Some(near) => format!("did you mean {}?", near.name),
        None => format!("the names are those of the flags: {}", known.join(", ")),
    };
    CliError::new(Exit::Config, &what, &hint)
}

/// Reads the name and the known ones out of serde's words on a field that it does not know.
fn unknown(said: &str) -> Option<(&str, Vec<String>)> {
    let (name, known) = said.strip_prefix("unknown field `")?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    Some((name, known.map(str::to_owned).collect()))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    written(deserializer, values::duration)
}

fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cost>, D::Error> {
    written(deserializer, values::money)
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zone>, D::Error> {
    written(deserializer, values::zone)
}

fn concurrency<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Concurrency>, D::Error> {
    written(deserializer, values::concurrency)
}

fn delimiter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    written(deserializer, values::delimiter)
}

/// Reads a value as it would be read on the command line; a number needs no quotes.
fn written<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        other => other.type_str().to_owned(),
    };
    read(&text).map(Some).map_err(serde::de::Error::custom)
}
