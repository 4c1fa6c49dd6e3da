//! The command line: what was typed becomes settings, settings become a run, and its end an exit
//! code.
//!
//! This room knows all edges and puts them together; nobody knows this room but `main`.

mod args;
mod backup;
mod cancel;
mod doctor;
mod environment;
mod error;
mod estimate;
mod exit;
mod export;
mod failures;
mod file;
mod file_system;
mod import;
mod key_sources;
mod keys;
mod logging;
mod retry;
mod rows;
mod run;
mod sample;
mod screen;
mod settings;
mod show;
mod signals;
mod simulate;
mod status;
mod values;
mod verify;
mod work;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use error::CliError;
use exit::Exit;

/// Runs the program: parses the command line, does what it says, and prints an error once.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: clap knows which stream and which code.
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            // A closed stream takes no text; there is nobody to tell.
            let _ = error.print();
            return code.into();
        }
    };
    let color = cli.global.color;
    match start(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            screen::print_error(&error, color);
            error.exit.into()
        }
    }
}

fn start(cli: Cli) -> Result<Exit, CliError> {
    logging::init(&cli.global)?;
    #[cfg(feature = "failpoints")]
    if let Some(text) = environment::failpoints() {
        crate::failpoint::set(&text)
            .map_err(|what| CliError::new(Exit::Usage, &what, "mend it"))?;
    }
    let file = file::read(cli.global.config.as_deref())?;
    // One thread: a second one costs half as much CPU again and sends no faster.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(async {
        signals::outlive_file_limit()?;
        if !matches!(cli.command, Command::Doctor(_) | Command::Simulate(_)) {
            let allowed = cli.global.allow_network_fs || file.allow_network_fs.unwrap_or(false);
            file_system::refuse_network(&settings::database(&cli.global, &file), allowed)?;
        }
        match cli.command {
            Command::Run(args) => run::run(&cli.global, *args, file).await,
            Command::Estimate(args) => estimate::command(&cli.global, args, file).await,
            Command::Import(args) => import::command(&cli.global, args, file).await,
            Command::Work(args) => work::command(&cli.global, args, file).await,
            Command::Export(args) => export::command(&cli.global, args, file).await,
            Command::Status(args) => status::command(&cli.global, &args, file).await,
            Command::Failures(args) => failures::command(&cli.global, &args, file).await,
            Command::Show(args) => show::command(&cli.global, &args, file).await,
            Command::Cancel(args) => cancel::command(&cli.global, &args, file).await,
            Command::Retry(args) => retry::command(&cli.global, &args, file).await,
            Command::Keys(args) => keys::command(&cli.global, &args, file).await,
            Command::Doctor(args) => doctor::command(&cli.global, args, file).await,
            Command::Verify(args) => verify::command(&cli.global, args, file).await,
            Command::Backup(args) => backup::command(&cli.global, &args, file).await,
            Command::Simulate(args) => simulate::command(&cli.global, args).await,
        }
    });
    // A reader of standard input that never ends must not hold up the end of the program.
    runtime.shutdown_background();
    exit
}
