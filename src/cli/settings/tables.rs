//! The tables of the settings file: request parameters, API keys, groups of keys, and prices.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::limits::KeyLimits;
use crate::domain::price::{Price, Prices};
use crate::domain::time_zone::TimeZone;

/// The names of the tables.
pub(super) const TABLES: [&str; 4] = ["set", "keys", "groups", "prices"];

/// The settings without a flag.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Tables {
    /// Request parameters.
    pub(in crate::cli) set: BTreeMap<String, toml::Value>,
    /// API keys.
    pub(in crate::cli) keys: Vec<FileKey>,
    /// Limits that the keys of a group share, by name of the group.
    pub(in crate::cli) groups: BTreeMap<String, KeyLimits>,
    /// Prices by model.
    pub(in crate::cli) prices: BTreeMap<String, FilePrice>,
}

/// The source of an API key. The key itself is never in the settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(in crate::cli) struct FileKey {
    /// The name of the key in output.
    pub(in crate::cli) label: Option<String>,
    /// An environment variable that contains it.
    pub(in crate::cli) env: Option<String>,
    /// A file that contains it.
    pub(in crate::cli) file: Option<PathBuf>,
    /// A command that prints it.
    pub(in crate::cli) command: Option<String>,
    /// The group of keys with which it shares limits or an account.
    pub(in crate::cli) group: Option<String>,
    /// Its share of the requests, relative to keys of weight 1.
    pub(in crate::cli) weight: Option<NonZeroU32>,
    /// The models to use it for; all if empty.
    pub(in crate::cli) models: Vec<String>,
    pub(in crate::cli) rpm: Option<NonZeroU32>,
    pub(in crate::cli) tpm: Option<NonZeroU32>,
    pub(in crate::cli) rpd: Option<NonZeroU32>,
    /// Maximum number of its requests in flight.
    pub(in crate::cli) concurrency: Option<NonZeroU32>,
    /// The time zone in which the day of `rpd` begins.
    pub(in crate::cli) zone: Option<TimeZone>,
}

/// The price of a model, in US dollars per million tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::cli) struct FilePrice {
    pub(in crate::cli) input: f64,
    pub(in crate::cli) output: f64,
}

impl Tables {
    /// Returns the list prices, with those of the file taking precedence.
    pub(in crate::cli) fn prices(&self) -> Prices {
        let own = self.prices.iter().filter_map(|(model, price)| {
            Some((
                model.clone(),
                Price::per_million(price.input, price.output)?,
            ))
        });
        Prices::new(own.collect())
    }
}
