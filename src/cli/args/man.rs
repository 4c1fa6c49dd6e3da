//! Arguments of `man`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill man | man -l -
  promptmill man run | man -l -
  promptmill man --dir ~/.local/share/man/man1")]
pub(in crate::cli) struct ManArgs {
    /// Command to describe [default: promptmill itself]
    pub(in crate::cli) command: Vec<String>,
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(in crate::cli) dir: Option<PathBuf>,
}
