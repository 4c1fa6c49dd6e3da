//! Arguments of `completions`.

use clap::Args;
use clap_complete::Shell;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  source <(promptmill completions bash)               # in ~/.bashrc
  promptmill completions zsh > ~/.zfunc/_promptmill   # a directory in $fpath
  promptmill completions fish > ~/.config/fish/completions/promptmill.fish")]
pub(in crate::cli) struct CompletionsArgs {
    /// Shell to generate completions for
    #[arg(value_enum)]
    pub(in crate::cli) shell: Shell,
}
