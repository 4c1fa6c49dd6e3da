//! The settings: one file per group, with the declaration of its settings and their resolution.
//!
//! A setting is a field with a flag and an environment variable. The settings file, `config show`,
//! the example file, and docs/SETTINGS.md are derived from the fields. clap applies the precedence:
//! a flag, the environment variable, the settings file (as the default of the flag), the default.

mod endpoint;
mod file;
mod global;
mod input;
mod limits;
mod listing;
mod output;
pub(super) mod tables;
mod unattended;

pub(super) use endpoint::{EndpointArgs, EndpointSettings, endpoint, key_sources};
pub(super) use file::{FileSettings, is_setting};
pub(super) use global::{ColorChoice, GlobalArgs, LogFormat, SummaryChoice, database};
pub(super) use input::{DEFAULT_MODEL, ImportSettings, InputArgs, batch_name, import};
pub(super) use limits::{Dedupe, LimitArgs, LimitSettings, LimitsAndPrices, limits};
pub(super) use listing::{Origin, Setting, list, map_args, without_example};
pub(super) use output::{OutputArgs, OutputFormat, OutputSettings, ResultsArgs, format_of, output};
pub(super) use unattended::{IfBusy, UnattendedArgs};
