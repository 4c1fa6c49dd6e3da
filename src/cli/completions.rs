//! Shell completion scripts.

use super::args::{self, CompletionsArgs};
use super::console;
use super::error::CliError;
use super::exit::Exit;

/// Runs `promptmill completions`.
pub(super) fn command(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    let mut program = args::command();
    clap_complete::generate(args.shell, &mut program, "promptmill", &mut script);
    console::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
