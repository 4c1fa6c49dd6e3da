//! The command line: one file per command and per group of options. Defaults are resolved in
//! `settings`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod backup;
mod cancel;
mod completions;
mod config;
mod doctor;
mod endpoint;
mod estimate;
mod export;
mod failures;
mod global;
mod import;
mod import_results;
mod input;
mod keys;
mod limits;
mod man;
mod output;
mod report;
mod retry;
mod rows;
mod run;
mod show;
mod simulate;
mod status;
mod unattended;
mod verify;
mod work;

pub(super) use backup::BackupArgs;
pub(super) use cancel::CancelArgs;
pub(super) use completions::CompletionsArgs;
pub(super) use config::{ConfigAction, ConfigArgs};
pub(super) use doctor::DoctorArgs;
pub(super) use endpoint::EndpointArgs;
pub(super) use estimate::EstimateArgs;
pub(super) use export::ExportArgs;
pub(super) use failures::FailuresArgs;
pub(super) use global::{ColorChoice, GlobalArgs, LogFormat, SummaryChoice};
pub(super) use import::ImportArgs;
pub(super) use import_results::ImportResultsArgs;
pub(super) use input::{EndpointChoice, InputArgs, InputFormat, ResponseFormat};
pub(super) use keys::{KeysAction, KeysArgs};
pub(super) use limits::{Dedupe, LimitArgs};
pub(super) use man::ManArgs;
pub(super) use output::{OutputArgs, OutputFormat};
pub(super) use report::ReportArgs;
pub(super) use retry::RetryArgs;
pub(super) use rows::{CauseArgs, RowArgs, scope_name};
pub(super) use run::RunArgs;
pub(super) use show::ShowArgs;
pub(super) use simulate::{PersonalityChoice, SimulateArgs};
pub(super) use status::StatusArgs;
pub(super) use unattended::{IfBusy, UnattendedArgs};
pub(super) use verify::VerifyArgs;
pub(super) use work::WorkArgs;

/// Settings that `-h` lists. `--help` lists all.
const COMMON_SETTINGS: [&str; 9] = [
    "output",
    "model",
    "prompt",
    "system",
    "base_url",
    "api_key_file",
    "rpm",
    "concurrency",
    "max_cost",
];

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
    /// Parses a command line.
    pub(super) fn parse_words(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = command_for(words);
        let mut matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// Returns the definition of the command line. Help never shows the values of environment
/// variables, since some of them are secrets.
pub(super) fn command() -> clap::Command {
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
        let is_setting = arg.get_env().is_some();
        let is_common = COMMON_SETTINGS.contains(&arg.get_id().as_str());
        let is_hidden = arg.is_hide_short_help_set() || (is_setting && !is_common);
        arg.hide_env_values(true).hide_short_help(is_hidden)
    })
}

/// Returns the definition of the command line for these words. Unless they request the long help,
/// help is a single list of options that fits on a screen.
pub(super) fn command_for(words: &[OsString]) -> clap::Command {
    if words.iter().any(|word| word == "--help" || word == "help") {
        return command();
    }
    map_args(command(), &|arg| {
        arg.hide_env(true).help_heading(None::<&str>)
    })
}

/// Applies a function to the arguments of a command and of its subcommands.
pub(super) fn map_args(command: clap::Command, map: &dyn Fn(Arg) -> Arg) -> clap::Command {
    command
        .mut_args(map)
        .mut_subcommands(|subcommand| map_args(subcommand, map))
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Import a file, send every prompt, and write the results
    ///
    /// Run the same command again to resume.
    Run(Box<RunArgs>),
    /// Estimate rows, tokens, cost, and time without sending anything
    Estimate(EstimateArgs),
    /// Import a file without sending requests
    Import(ImportArgs),
    /// Process batches that are already in the queue
    Work(WorkArgs),
    /// Write the results of a batch
    Export(ExportArgs),
    /// Import results of the OpenAI Batch API into a batch
    ImportResults(ImportResultsArgs),
    /// Show the progress of batches and the state of API keys
    Status(StatusArgs),
    /// Write an HTML report of a batch
    ///
    /// The report covers progress, latency, tokens, cost, and causes of failures.
    Report(ReportArgs),
    /// List the failed rows of a batch, with reasons and hints
    Failures(FailuresArgs),
    /// Show the request, the attempts, and the response of a row
    Show(ShowArgs),
    /// Set failed rows of a batch back to pending
    Retry(RetryArgs),
    /// Cancel pending rows of a batch
    Cancel(CancelArgs),
    /// List the API keys that were used, or reset their state
    Keys(KeysArgs),
    /// Diagnose endpoint, API keys, model, and database
    Doctor(DoctorArgs),
    /// Check the database, and compare a results file with it
    Verify(VerifyArgs),
    /// Back up the database
    Backup(BackupArgs),
    /// Show the settings and their origins
    Config(ConfigArgs),
    /// Start a simulated provider
    Simulate(SimulateArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print a manual page
    Man(ManArgs),
}

impl Command {
    /// Returns whether the command works without settings and database, even if they are invalid.
    pub(super) fn is_standalone(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Completions(_) | Self::Man(_))
    }
}
