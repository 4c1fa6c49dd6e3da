//! Shell completion scripts.

use clap::{Args, Command};
use clap_complete::Shell;

use super::console;
use super::exit::{CliError, Exit};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  source <(promptmill completions bash)               # in ~/.bashrc
  promptmill completions zsh > ~/.zfunc/_promptmill   # a directory in $fpath
  promptmill completions fish > ~/.config/fish/completions/promptmill.fish")]
pub(super) struct CompletionsArgs {
    /// Shell to generate completions for
    #[arg(value_enum)]
    pub(super) shell: Shell,
}

/// Runs `promptmill completions`.
pub(super) fn command(args: &CompletionsArgs, mut program: Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "promptmill", &mut script);
    console::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
