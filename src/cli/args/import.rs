//! The flags of `import`: those of the input.

use clap::Args;

use super::input::InputArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill import jobs.csv --id-column id
  promptmill import jobs.csv --prompt 'Kind? {{ text }}' --batch kindness")]
pub(in crate::cli) struct ImportArgs {
    #[command(flatten)]
    pub(in crate::cli) input: InputArgs,
    /// The simulated provider is to answer this batch.
    #[arg(long)]
    pub(in crate::cli) simulate: bool,
}
