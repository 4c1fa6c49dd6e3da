//! What may be typed, one file for each command and each group of flags. Flags only: their defaults and
//! their meaning are in `settings`.

use clap::{Parser, Subcommand};

mod cancel;
mod config;
mod deliver;
mod doctor;
mod endpoint;
mod estimate;
mod export;
mod failures;
mod general;
mod import;
mod input;
mod keys;
mod limits;
mod output;
mod pages;
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

pub(super) use cancel::CancelArgs;
pub(super) use config::{ConfigAction, ConfigArgs};
pub(super) use deliver::ImportResultsArgs;
pub(super) use doctor::DoctorArgs;
pub(super) use endpoint::EndpointArgs;
pub(super) use estimate::EstimateArgs;
pub(super) use export::ExportArgs;
pub(super) use failures::FailuresArgs;
pub(super) use general::{ColorChoice, Global, LogFormat, SummaryChoice};
pub(super) use import::ImportArgs;
pub(super) use input::{EndpointChoice, InputArgs, InputFormat, ResponseFormat};
pub(super) use keys::{KeysAction, KeysArgs};
pub(super) use limits::{Dedupe, LimitArgs};
pub(super) use output::{OutputArgs, OutputFormat};
pub(super) use pages::{CompletionsArgs, ManArgs};
pub(super) use report::ReportArgs;
pub(super) use retry::RetryArgs;
pub(super) use rows::{CauseArgs, RowArgs, scope_name};
pub(super) use run::RunArgs;
pub(super) use show::ShowArgs;
pub(super) use simulate::{PersonalityChoice, SimulateArgs};
pub(super) use status::StatusArgs;
pub(super) use unattended::{IfBusy, UnattendedArgs};
pub(super) use verify::{BackupArgs, VerifyArgs};
pub(super) use work::WorkArgs;

/// Sends every prompt of a CSV file to an OpenAI-compatible chat endpoint and gets every answer
/// back. If anything stops it, the same command goes on.
#[derive(Debug, Parser)]
#[command(
    name = "promptmill",
    version,
    max_term_width = 80,
    before_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate   # no key, network or cost
  OPENAI_API_KEY=… promptmill run jobs.csv -o results.csv
  promptmill run jobs.csv --prompt 'Into French: {{ text }}' --set temperature=0
  promptmill status                                   # how far the batches are"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Import a file, ask every prompt, write the results. Repeat it to resume.
    Run(Box<RunArgs>),
    /// Tell rows, tokens, cost and time of a file beforehand, and show requests. Sends nothing.
    Estimate(EstimateArgs),
    /// Take a file into the queue without asking anything.
    Import(ImportArgs),
    /// Ask what is in the queue.
    Work(WorkArgs),
    /// Write the results of a batch.
    Export(ExportArgs),
    /// Take what the OpenAI Batch API has answered back into a batch.
    ImportResults(ImportResultsArgs),
    /// Show how far the batches are, and how the keys stand.
    Status(StatusArgs),
    /// Write a page to look back at a batch: progress, latency, tokens, refusals, cost, failures.
    Report(ReportArgs),
    /// List the rows of a batch that have failed, why, and what to do.
    Failures(FailuresArgs),
    /// Show one row: the request as sent, each attempt with its verdict, the answer.
    Show(ShowArgs),
    /// Make failed rows of a batch pending again, all or chosen ones.
    Retry(RetryArgs),
    /// Take pending rows of a batch out of the queue, all or chosen ones.
    Cancel(CancelArgs),
    /// List the keys that were used, or forget how they stand.
    Keys(KeysArgs),
    /// Find out what is wrong with endpoint, keys, model or queue, and how to mend it.
    Doctor(DoctorArgs),
    /// Look whether the queue is sound, and whether results are what it holds.
    Verify(VerifyArgs),
    /// Copy the queue to a file, to go back to.
    Backup(BackupArgs),
    /// Show the settings, each with where it comes from.
    Config(ConfigArgs),
    /// Serve a simulated provider, for trials.
    Simulate(SimulateArgs),
    /// Print what a shell needs to complete the command line.
    Completions(CompletionsArgs),
    /// Print a manual page, with exit codes, variables and files.
    Man(ManArgs),
}

impl Command {
    /// Tells whether it needs neither settings nor a queue, and works when both are wrong.
    pub(super) fn is_apart(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Completions(_) | Self::Man(_))
    }
}
