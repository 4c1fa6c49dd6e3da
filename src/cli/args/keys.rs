//! The flags of `keys`.

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill keys list
  promptmill keys reset         # every key may be tried again
  promptmill keys reset key-2")]
pub(in crate::cli) struct KeysArgs {
    #[command(subcommand)]
    pub(in crate::cli) action: Option<KeysAction>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeysAction {
    /// List the keys that were used and how they stand.
    #[command(before_help = "\
Examples:
  promptmill keys list
  promptmill keys list --json")]
    List,
    /// Forget how a key stands, so that it may be tried again.
    #[command(before_help = "\
Examples:
  promptmill keys reset         # every key may be tried again
  promptmill keys reset key-2")]
    Reset {
        /// The key's label [default: all keys].
        label: Option<String>,
    },
}
