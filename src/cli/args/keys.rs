//! Arguments of `keys`.

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill keys list
  promptmill keys reset         # all keys
  promptmill keys reset key-2")]
pub(in crate::cli) struct KeysArgs {
    #[command(subcommand)]
    pub(in crate::cli) action: Option<KeysAction>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeysAction {
    /// List the API keys that were used, with their state
    #[command(after_long_help = "\
Examples:
  promptmill keys list
  promptmill keys list --json")]
    List,
    /// Reset the stored state of an API key, so that it is used again
    #[command(after_long_help = "\
Examples:
  promptmill keys reset         # all keys
  promptmill keys reset key-2")]
    Reset {
        /// Label of the key [default: all keys]
        label: Option<String>,
    },
}
