//! Arguments of `import`.

use clap::Args;

use super::input::InputArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill import jobs.csv --id-column id
  promptmill import jobs.csv --prompt 'Kind? {{ text }}' --batch kindness")]
pub(in crate::cli) struct ImportArgs {
    #[command(flatten)]
    pub(in crate::cli) input: InputArgs,
    /// Import the batch for runs with --simulate
    #[arg(long, help_heading = "Endpoint and API keys")]
    pub(in crate::cli) simulate: bool,
}
