//! Arguments of `run`.

use std::num::NonZeroU64;

use clap::Args;

use crate::cli::values::count;

use super::endpoint::EndpointArgs;
use super::input::InputArgs;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::unattended::UnattendedArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate
  promptmill run jobs.csv -o results.csv --model gpt-4o-mini --rpm 60
  promptmill run jobs.csv --prompt 'Kind? {{ text }}' --set max_tokens=24
  promptmill run jobs.csv --dry-run          # tokens, cost, time, requests
  promptmill run jobs.csv --sample 5         # only five rows, as a test
  promptmill run jobs.csv --base-url http://127.0.0.1:8080/v1   # llama.cpp
  generate-prompts | promptmill run - -o -   # read and write pipes")]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    pub(in crate::cli) input: InputArgs,
    #[command(flatten)]
    pub(in crate::cli) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: LimitArgs,
    #[command(flatten)]
    pub(in crate::cli) unattended: UnattendedArgs,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    /// Send only N random rows, and print their responses
    ///
    /// The responses are stored; later runs do not send these rows again.
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU64>,
        conflicts_with = "dry_run",
        help_heading = "Request"
    )]
    pub(in crate::cli) sample: Option<NonZeroU64>,
    /// Random seed for --sample [default: a new one each time]
    ///
    /// The same seed selects the same rows if the same rows are pending.
    #[arg(
        long,
        value_name = "SEED",
        requires = "sample",
        hide_short_help = true,
        help_heading = "Request"
    )]
    pub(in crate::cli) seed: Option<u64>,
    /// Estimate tokens, cost, and time; send nothing
    #[arg(long, help_heading = "Request")]
    pub(in crate::cli) dry_run: bool,
}
