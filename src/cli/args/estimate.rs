//! Arguments of `estimate`.

use clap::Args;

use super::input::InputArgs;
use super::limits::LimitArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill estimate jobs.csv
  promptmill estimate jobs.csv --model gpt-4o --set max_tokens=200 --rpm 60
  promptmill estimate jobs.csv --prompt 'Kind? {{ text }}' --json | jq .cost")]
pub(in crate::cli) struct EstimateArgs {
    #[command(flatten)]
    pub(in crate::cli) input: InputArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: LimitArgs,
    /// Estimate a run with --simulate
    #[arg(long, help_heading = "Endpoint and API keys")]
    pub(in crate::cli) simulate: bool,
}
