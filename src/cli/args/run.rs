//! The flags of `run`: those of the input, the endpoint, the pace and the output.

use clap::Args;

use super::endpoint::EndpointArgs;
use super::input::InputArgs;
use super::output::OutputArgs;
use super::pace::PaceArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate
  promptmill run jobs.csv -o results.csv --model gpt-4o-mini --rpm 60
  promptmill run cities.csv --prompt 'Name the capital of {{ country }}.' --set max_tokens=24
  promptmill run jobs.csv --dry-run                             # rows, tokens, cost, requests
  promptmill run jobs.csv --base-url http://127.0.0.1:8080/v1   # llama.cpp, Ollama, vLLM
  generate-prompts | promptmill run - -o -                      # from and to a pipe")]
pub(in crate::cli) struct RunArgs {
    /// Tell what would be asked, as `estimate` does, and ask nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    pub(in crate::cli) input: InputArgs,
    #[command(flatten)]
    pub(in crate::cli) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(in crate::cli) pace: PaceArgs,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}
