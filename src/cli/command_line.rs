//! The command line: all commands, with the arguments that their files define, and its help.

use std::ffi::OsString;

use clap::builder::FalseyValueParser;
use clap::{
    Arg, ArgAction, Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
};

use super::settings::{FileSettings, GlobalArgs, is_setting, map_args, without_example};
use super::{
    backup, cancel, completions, config, doctor, estimate, export, failures, import,
    import_results, keys, man, report, retry, run, show, simulate, status, verify, work,
};

/// Settings that `-h` lists. `--help` lists all.
const COMMON_SETTINGS: &str = "\
    output model prompt system base_url api_key_file rpm concurrency max_cost";

/// Send every prompt in a CSV or JSONL file to an OpenAI-compatible API
///
/// promptmill writes the responses next to the prompts. If a run stops early, run the same command
/// again: it continues where it left off.
#[derive(Debug, Parser)]
#[command(
    name = "promptmill",
    version,
    max_term_width = 80,
    after_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate   # no key, network, or cost
  OPENAI_API_KEY=sk-… promptmill run jobs.csv -o results.csv
  promptmill run jobs.csv --prompt 'Into French: {{ text }}' --set temperature=0
  promptmill status                                   # progress of all batches"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    /// Parses a command line. The values of the settings file are defaults.
    pub(super) fn parse(words: &[OsString], file: &FileSettings) -> Result<Self, clap::Error> {
        let is_long = words.iter().any(|word| word == "--help" || word == "help");
        let mut command = if is_long { command() } else { short() };
        command = map_args(command, &|arg| file.set_default(arg));
        let mut matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// Returns the definition of the command line.
pub(super) fn command() -> clap::Command {
    define(&without_example)
}

/// Returns the definition of the command line with the short help: a single list of options that
/// fits on a screen.
pub(super) fn short() -> clap::Command {
    define(&|arg| {
        let arg = without_example(arg);
        arg.hide_env(true).help_heading(None::<&str>)
    })
}

/// Returns the definition of the command line, with the examples of settings in their help.
pub(super) fn command_with_examples() -> clap::Command {
    define(&|arg| arg)
}

/// Returns a command that has all settings as arguments.
pub(super) fn settings() -> clap::Command {
    let command = GlobalArgs::augment_args(clap::Command::new("settings"));
    run::RunArgs::augment_args(command).mut_args(complete_setting)
}

/// Defines the command line, and applies a function to each argument. Help never shows the values of
/// environment variables, since some of them are secrets.
fn define(map: &dyn Fn(Arg) -> Arg) -> clap::Command {
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::Help)
        .global(true)
        .display_order(999)
        .help_heading("Global options")
        .help("Print help (see all options with '--help')")
        .long_help("Print help (see a summary with '-h')");
    let command = Cli::command().disable_help_flag(true).arg(help);
    map_args(command, &|arg| {
        let arg = complete_setting(arg);
        let is_common = COMMON_SETTINGS.split(' ').any(|name| arg.get_id() == name);
        let is_hidden = arg.is_hide_short_help_set() || (is_setting(&arg) && !is_common);
        map(arg.hide_env_values(true).hide_short_help(is_hidden))
    })
}

/// Names the environment variable of a setting, and accepts `0` or `no` as its value for a switch.
fn complete_setting(arg: Arg) -> Arg {
    let Some(name) = arg
        .get_env()
        .map(|name| name.to_string_lossy().into_owned())
    else {
        return arg;
    };
    let arg = arg.env(format!("PROMPTMILL_{name}"));
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
        _ => arg,
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Import a file, send every prompt, and write the results
    ///
    /// Run the same command again to resume.
    Run(Box<run::RunArgs>),
    /// Estimate rows, tokens, cost, and time without sending anything
    Estimate(estimate::EstimateArgs),
    /// Import a file without sending requests
    Import(import::ImportArgs),
    /// Process batches that are already in the queue
    ///
    /// All batches are processed at the same time, under shared limits. The batch with the earliest
    /// deadline, or else the oldest, gets half of the requests.
    Work(work::WorkArgs),
    /// Write the results of a batch
    Export(export::ExportArgs),
    /// Import results of the OpenAI Batch API into a batch
    ImportResults(import_results::ImportResultsArgs),
    /// Show the progress of batches and the state of API keys
    Status(status::StatusArgs),
    /// Write an HTML report of a batch
    ///
    /// The report covers progress, latency, tokens, cost, and causes of failures.
    Report(report::ReportArgs),
    /// List the failed rows of a batch, with reasons and hints
    Failures(failures::FailuresArgs),
    /// Show the request, the attempts, and the response of a row
    Show(show::ShowArgs),
    /// Set failed rows of a batch back to pending
    Retry(retry::RetryArgs),
    /// Cancel pending rows of a batch
    Cancel(cancel::CancelArgs),
    /// List the API keys that were used, or reset their state
    Keys(keys::KeysArgs),
    /// Diagnose endpoint, API keys, model, and database
    Doctor(doctor::DoctorArgs),
    /// Check the database, and compare a results file with it
    Verify(verify::VerifyArgs),
    /// Back up the database
    Backup(backup::BackupArgs),
    /// Show the settings and their origins
    Config(config::ConfigArgs),
    /// Start a simulated provider
    Simulate(simulate::SimulateArgs),
    /// Print a shell completion script
    Completions(completions::CompletionsArgs),
    /// Print a manual page
    Man(man::ManArgs),
}

impl Command {
    /// Returns whether the command works without settings and database, even if they are invalid.
    pub(super) fn is_standalone(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Completions(_) | Self::Man(_))
    }
}
