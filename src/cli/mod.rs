//! The command-line interface: arguments, settings, commands, and exit codes.
//!
//! This module can use all others; only `main` uses this module.

mod backup;
mod cancel;
mod command_line;
mod completions;
mod config;
mod console;
mod database;
mod doctor;
mod environment;
mod estimate;
mod export;
mod failures;
mod import;
mod import_results;
mod key_sources;
mod keys;
mod logging;
mod man;
mod next_command;
mod process;
mod remaining_requests;
mod report;
mod retry;
mod rows;
mod run;
mod run_lock;
mod sample;
mod schema;
mod session;
mod settings;
mod show;
mod signals;
mod simulate;
mod status;
mod unknown_env;
mod usage_error;
mod values;
mod verbosity;
mod verify;
mod watch;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::domain::redact::redact;
use crate::exit::{self, CliError, Exit};

use command_line::{Cli, Command};
use config::{ConfigAction, ConfigArgs};
use settings::{FileSettings, GlobalArgs};

/// Runs the program, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    process::disable_core_dumps();
    process::install_panic_hook();
    process::catch_panic(try_main).unwrap_or_else(|| Exit::Unexpected.into())
}

fn try_main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let mut cli = match Cli::parse(&words, &FileSettings::default()) {
        Ok(cli) => cli,
        Err(error) => {
            return usage_error::print(error, &words, &command_line::short()).into();
        }
    };
    let done =
        apply_file(&mut cli, &words).and_then(|file| execute(&cli.global, cli.command, file));
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            console::print_error(&error, cli.global.color);
            error.exit.into()
        }
    }
}

/// Reads the settings file, and applies its settings to the command line.
fn apply_file(cli: &mut Cli, words: &[OsString]) -> Result<FileSettings, CliError> {
    if cli.command.is_standalone() {
        return Ok(FileSettings::default());
    }
    let file = FileSettings::read(cli.global.config.as_deref(), command_line::settings)?;
    if file.found {
        *cli = Cli::parse(words, &file).map_err(|error| CliError {
            exit: Exit::Config,
            message: redact(&error.to_string(), &[]).into_owned(),
        })?;
    }
    Ok(file)
}

/// Applies the global settings, and executes the command.
fn execute(global: &GlobalArgs, command: Command, file: FileSettings) -> Result<Exit, CliError> {
    logging::init(global)?;
    unknown_env::warn();
    #[cfg(feature = "failpoints")]
    if let Some(text) = environment::failpoints() {
        crate::failpoint::set(&text)
            .map_err(|what| CliError::new(Exit::Usage, &what, "correct PROMPTMILL_FAILPOINTS"))?;
    }
    // A second thread would use 50% more CPU time without a higher throughput.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(async {
        signals::ignore_file_size_signal()?;
        let skips_check = matches!(command, Command::Doctor(_) | Command::Simulate(_));
        if !skips_check && !command.is_standalone() {
            let database = settings::database(global);
            database.check_supported()?;
            database::reject_network(&database, global.allow_network_fs)?;
        }
        dispatch(global, command, file).await
    });
    // A blocked read of standard input must not delay the exit.
    runtime.shutdown_background();
    exit
}

async fn dispatch(
    global: &GlobalArgs,
    command: Command,
    file: FileSettings,
) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(global, *args, file).await,
        Command::Estimate(args) => estimate::command(global, args, file).await,
        Command::Import(args) => import::command(global, args, file).await,
        Command::Work(args) => work::command(global, args, file).await,
        Command::Export(args) => export::command(global, args).await,
        Command::ImportResults(args) => import_results::command(global, args).await,
        Command::Status(args) => status::command(global, &args).await,
        Command::Report(args) => report::command(global, args, file).await,
        Command::Failures(args) => failures::command(global, &args).await,
        Command::Show(args) => show::command(global, &args).await,
        Command::Cancel(args) => cancel::command(global, &args).await,
        Command::Retry(args) => retry::command(global, &args).await,
        Command::Keys(args) => keys::command(global, &args).await,
        Command::Doctor(args) => doctor::command(global, args, file).await,
        Command::Verify(args) => verify::command(global, args).await,
        Command::Backup(args) => backup::command(global, &args).await,
        Command::Simulate(args) => simulate::command(global, args).await,
        Command::Config(ConfigArgs {
            action: ConfigAction::Show { .. },
        }) => config::show(
            &std::env::args_os().collect::<Vec<_>>(),
            command_line::command_with_examples(),
            command_line::settings,
        ),
        Command::Completions(args) => completions::command(&args, command_line::command()),
        Command::Man(args) => man::command(&args, command_line::command()),
    }
}
