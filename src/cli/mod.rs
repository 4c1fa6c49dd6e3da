//! The command line: what was typed becomes settings, settings become a run, and its end an exit
//! code.
//!
//! This room knows all edges and puts them together; nobody knows this room but `main`.

mod args;
mod backup;
mod cancel;
mod completions;
mod config;
mod deliver;
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
mod key_print;
mod key_sources;
mod keys;
mod logging;
mod man;
mod mistyped;
mod next;
mod places;
mod process;
mod remainder;
mod report;
mod retry;
mod rows;
mod run;
mod sample;
mod schema;
mod screen;
mod setting;
mod settings;
mod show;
mod signals;
mod simulate;
mod status;
mod strays;
mod turn;
mod values;
mod verify;
mod voice;
mod watch;
mod work;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, ConfigAction, ConfigArgs, Global};
use error::CliError;
use exit::Exit;
use file::FileSettings;

/// Runs the program: parses the command line, does what it says, and prints an error once.
#[must_use]
pub fn main() -> ExitCode {
    process::leave_no_image();
    process::tell_panics();
    process::guarded(carry_through).unwrap_or_else(|| Exit::Unexpected.into())
}

fn carry_through() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return mistyped::print(error, &words).into(),
    };
    let (mut global, command) = (cli.global, cli.command);
    match start(&mut global, command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            screen::print_error(&error, global.color);
            error.exit.into()
        }
    }
}

fn start(global: &mut Global, command: Command) -> Result<Exit, CliError> {
    let file = if command.is_apart() {
        FileSettings::default()
    } else {
        file::read(global.config.as_deref())?
    };
    global.color = global.color.or(file.color);
    global.log_format = global.log_format.or(file.log_format);
    logging::init(global)?;
    strays::warn();
    #[cfg(feature = "failpoints")]
    if let Some(text) = environment::failpoints() {
        crate::failpoint::set(&text)
            .map_err(|what| CliError::new(Exit::Usage, &what, "mend it"))?;
    }
    // One thread: a second one costs half as much CPU again and sends no faster.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(async {
        signals::outlive_file_limit()?;
        let looks = matches!(command, Command::Doctor(_) | Command::Simulate(_));
        if !looks && !command.is_apart() {
            let allowed = global.allow_network_fs || file.allow_network_fs.unwrap_or(false);
            file_system::refuse_network(&settings::database(global, &file), allowed)?;
        }
        carry_out(global, command, file).await
    });
    // A reader of standard input that never ends must not hold up the end of the program.
    runtime.shutdown_background();
    exit
}

async fn carry_out(
    global: &Global,
    command: Command,
    file: FileSettings,
) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(global, *args, file).await,
        Command::Estimate(args) => estimate::command(global, args, file).await,
        Command::Import(args) => import::command(global, args, file).await,
        Command::Work(args) => work::command(global, args, file).await,
        Command::Export(args) => export::command(global, args, file).await,
        Command::ImportResults(args) => deliver::command(global, args, file).await,
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
