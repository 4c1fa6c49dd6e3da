//! Flags of every command.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;

/// Flags of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "General")]
pub(in crate::cli) struct Global {
    /// The queue's database [default: promptmill.db].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PROMPTMILL_DB",
        hide_env_values = true
    )]
    pub(in crate::cli) db: Option<PathBuf>,
    /// Accept a database on a network file system, where it can be damaged.
    #[arg(
        long, global = true, env = "PROMPTMILL_ALLOW_NETWORK_FS", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) allow_network_fs: bool,
    /// The settings file [default: promptmill.toml, if there is one].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PROMPTMILL_CONFIG",
        hide_env_values = true
    )]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Print nothing but errors, and one line when a run ends early.
    #[arg(short, long, global = true)]
    pub(in crate::cli) quiet: bool,
    /// Log more to standard error; twice for every failed attempt. `RUST_LOG` sets more exactly.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(in crate::cli) verbose: u8,
    /// Print one JSON object on standard output at the end.
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,
    /// When to say how it went: where somebody looks on, asks with -v or simulates, and else only
    /// when the exit code is not 0 (auto); always; or only when it is not 0 (trouble)
    /// [default: auto].
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        env = "PROMPTMILL_SUMMARY",
        hide_env_values = true
    )]
    pub(in crate::cli) summary: Option<SummaryChoice>,
    /// When to use color; auto is on a terminal, unless `NO_COLOR` is set or `TERM` is dumb
    /// [default: auto].
    #[arg(
        long,
        global = true,
        value_enum,
        env = "PROMPTMILL_COLOR",
        hide_env_values = true
    )]
    pub(in crate::cli) color: Option<ColorChoice>,
    /// The form of log lines: for people, or one JSON object a line [default: text].
    #[arg(
        long,
        global = true,
        value_enum,
        env = "PROMPTMILL_LOG_FORMAT",
        hide_env_values = true
    )]
    pub(in crate::cli) log_format: Option<LogFormat>,
}

/// When to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum ColorChoice {
    // On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    // Always.
    Always,
    // Never.
    Never,
}

/// When to say how a command went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum SummaryChoice {
    // Where somebody looks on, asks or simulates; else on trouble.
    #[default]
    Auto,
    // Always.
    Always,
    // Only when the exit code is not 0.
    Trouble,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum LogFormat {
    // For people.
    #[default]
    Text,
    // One JSON object a line.
    Json,
}
