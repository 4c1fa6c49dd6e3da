//! The settings of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use crate::store::Location;

#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct GlobalArgs {
    /// Database file [default: promptmill.db]
    #[arg(long, global = true, value_name = "FILE", env)]
    pub(in crate::cli) db: Option<PathBuf>,
    /// Accept a database on a network file system, which can corrupt it
    #[arg(long, global = true, env)]
    pub(in crate::cli) allow_network_fs: bool,
    /// Settings file [default: promptmill.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env)]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Print only errors, and one line if a run stops early
    #[arg(short, long, global = true, hide_short_help = true)]
    pub(in crate::cli) quiet: bool,
    /// Log more to standard error; can be repeated
    ///
    /// -vv logs each failed attempt. `RUST_LOG` takes precedence.
    #[arg(short, long, global = true, hide_short_help = true, action = ArgAction::Count)]
    pub(in crate::cli) verbose: u8,
    /// Print a JSON object on standard output
    #[arg(long, global = true, display_order = 998)]
    pub(in crate::cli) json: bool,
    /// When to print a summary [default: auto]
    ///
    /// `auto` prints it on a terminal, with -v, for simulated runs, and if the exit code is not 0;
    /// `trouble` only if the exit code is not 0.
    #[arg(long, global = true, value_name = "WHEN", env)]
    pub(in crate::cli) summary: Option<SummaryChoice>,
    /// When to use color [default: auto]
    ///
    /// `auto` uses color on a terminal, unless `NO_COLOR` is set or `TERM` is dumb.
    #[arg(long, global = true, value_name = "WHEN", env)]
    pub(in crate::cli) color: Option<ColorChoice>,
    /// Format of log lines: text, or one JSON object per line [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env)]
    pub(in crate::cli) log_format: Option<LogFormat>,
}

/// When to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// When to print a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum SummaryChoice {
    #[default]
    Auto,
    Always,
    Trouble,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Returns the location of the database.
pub(in crate::cli) fn database(global: &GlobalArgs) -> Location {
    let path = global.db.as_ref();
    path.map_or_else(|| Location::new("promptmill.db"), Location::new)
}
