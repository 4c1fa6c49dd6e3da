//! The command-line interface: arguments, settings, commands, and exit codes.
//!
//! This module can use all others; only `main` uses this module.

mod args;
mod backup;
mod cancel;
mod completions;
mod config;
mod console;
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
mod import_results;
mod key_fingerprint;
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
mod setting;
mod settings;
mod show;
mod signals;
mod simulate;
mod status;
mod toml_spans;
mod unknown_env;
mod usage_error;
mod values;
mod verbosity;
mod verify;
mod watch;
mod work;

use std::process::ExitCode;

use args::{Cli, Command, ConfigAction, ConfigArgs, GlobalArgs};
use error::CliError;
use exit::Exit;
use file::FileSettings;

/// Runs the program, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    process::disable_core_dumps();
    process::install_panic_hook();
    process::catch_panic(try_main).unwrap_or_else(|| Exit::Unexpected.into())
}

fn try_main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::parse_words(&words) {
        Ok(cli) => cli,
        Err(error) => return usage_error::print(error, &words).into(),
    };
    let (mut global, command) = (cli.global, cli.command);
    match execute(&mut global, command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            console::print_error(&error, global.color);
            error.exit.into()
        }
    }
}

/// Applies the global settings, and executes the command.
fn execute(global: &mut GlobalArgs, command: Command) -> Result<Exit, CliError> {
    let file = if command.is_standalone() {
        FileSettings::default()
    } else {
        file::read(global.config.as_deref())?
    };
    global.color = global.color.or(file.color);
    global.log_format = global.log_format.or(file.log_format);
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
            let allowed = global.allow_network_fs || file.allow_network_fs.unwrap_or(false);
            let database = settings::database(global, &file);
            database.check_supported()?;
            file_system::reject_network(&database, allowed)?;
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
        Command::Export(args) => export::command(global, args, file).await,
        Command::ImportResults(args) => import_results::command(global, args, file).await,
        Command::Status(args) => status::command(global, &args, file).await,
        Command::Report(args) => report::command(global, args, file).await,
        Command::Failures(args) => failures::command(global, &args, file).await,
        Command::Show(args) => show::command(global, &args, file).await,
        Command::Cancel(args) => cancel::command(global, &args, file).await,
        Command::Retry(args) => retry::command(global, &args, file).await,
        Command::Keys(args) => keys::command(global, &args, file).await,
        Command::Doctor(args) => doctor::command(global, args, file).await,
        Command::Verify(args) => verify::command(global, args, file).await,
        Command::Backup(args) => backup::command(global, &args, file).await,
        Command::Simulate(args) => simulate::command(global, args).await,
        Command::Config(ConfigArgs {
            action: ConfigAction::Show { .. },
        }) => config::show(&std::env::args_os().collect::<Vec<_>>()),
        Command::Completions(args) => completions::command(&args),
        Command::Man(args) => man::command(&args),
    }
}
