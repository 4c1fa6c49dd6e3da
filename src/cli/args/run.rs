//! The flags of `run`: those of the input, the endpoint, the pace and the output.

use std::num::NonZeroU64;

use clap::Args;

use crate::cli::values::count;

use super::endpoint::EndpointArgs;
use super::input::InputArgs;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::unattended::UnattendedArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate
  promptmill run jobs.csv -o results.csv --model gpt-4o-mini --rpm 60
  promptmill run jobs.csv --prompt 'Kind? {{ text }}' --set max_tokens=24
  promptmill run jobs.csv --dry-run          # rows, tokens, cost, requests
  promptmill run jobs.csv --sample 5         # five rows, to look at
  promptmill run jobs.csv --base-url http://127.0.0.1:8080/v1   # llama.cpp
  generate-prompts | promptmill run - -o -   # from and to a pipe")]
pub(in crate::cli) struct RunArgs {
    /// Tell what would be asked, as `estimate` does, and ask nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Ask only so many rows, drawn at random, and print what came back. They stay answered.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>, conflicts_with = "dry_run")]
    pub(in crate::cli) sample: Option<NonZeroU64>,
    /// What the rows of --sample are drawn from: the same number draws the same ones of those that are
    /// pending [default: another one each time].
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    pub(in crate::cli) seed: Option<u64>,
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
}
