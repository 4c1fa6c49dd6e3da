//! The flags of what helps to type and to read: `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  source <(promptmill completions bash)               # in ~/.bashrc
  promptmill completions zsh > ~/.zfunc/_promptmill   # a folder of $fpath
  promptmill completions fish > ~/.config/fish/completions/promptmill.fish")]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(in crate::cli) shell: Shell,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill man | man -l -
  promptmill man run | man -l -
  promptmill man --dir ~/.local/share/man/man1")]
pub(in crate::cli) struct ManArgs {
    /// The command [default: the program as a whole].
    pub(in crate::cli) command: Vec<String>,
    /// Write the pages of the program and of all commands into this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub(in crate::cli) dir: Option<PathBuf>,
}
