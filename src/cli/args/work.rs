//! The flags of `work`: those of the endpoint and the pace.

use clap::Args;

use super::endpoint::EndpointArgs;
use super::limits::LimitArgs;
use super::unattended::UnattendedArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill work                         # every batch, the oldest first
  promptmill work --batch jobs.csv --concurrency 4")]
pub(in crate::cli) struct WorkArgs {
    /// The batch to work on [default: all, the oldest first].
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) batch: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: LimitArgs,
    #[command(flatten)]
    pub(in crate::cli) unattended: UnattendedArgs,
}
