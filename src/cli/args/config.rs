//! Arguments of `config`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(in crate::cli) struct ConfigArgs {
    #[command(subcommand)]
    pub(in crate::cli) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigAction {
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
