//! Prints what a shell needs to complete our command line.

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};
use super::error::CliError;
use super::exit::Exit;
use super::screen;

/// `promptmill completions`.
pub(super) fn command(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "promptmill", &mut script);
    screen::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
