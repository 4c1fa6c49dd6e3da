//! Arguments of `work`.

use clap::Args;

use super::endpoint::EndpointArgs;
use super::limits::LimitArgs;
use super::unattended::UnattendedArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill work                         # all batches, oldest first
  promptmill work --batch jobs.csv --concurrency 4")]
pub(in crate::cli) struct WorkArgs {
    /// Batch to process; can be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) batch: Vec<String>,
    /// Wait for more work until terminated (SIGTERM)
    #[arg(long)]
    pub(in crate::cli) stay: bool,
    #[command(flatten)]
    pub(in crate::cli) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: LimitArgs,
    #[command(flatten)]
    pub(in crate::cli) unattended: UnattendedArgs,
}
