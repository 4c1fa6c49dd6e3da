//! The flags of `config`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(in crate::cli) struct ConfigArgs {
    #[command(subcommand)]
    pub(in crate::cli) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigAction {
    /// Show each setting with its value and where it comes from: flag, environment, file, default.
    #[command(before_help = "\
Examples:
  promptmill config show
  promptmill config show --rpm 60 --model gpt-4o   # as `run` with these has it
  promptmill config show --json")]
    Show {
        /// Flags as for `run`.
        #[arg(
            value_name = "FLAGS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        flags: Vec<OsString>,
    },
}
