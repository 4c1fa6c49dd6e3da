//! The flags of `cancel`.

use clap::Args;

use super::rows::RowArgs;

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill cancel jobs.csv                    # nothing more of it is asked
  promptmill cancel jobs.csv --ids 17,204
  promptmill retry jobs.csv --cause cancelled   # takes it back")]
pub(in crate::cli) struct CancelArgs {
    /// The batch: its name, or the path of its input.
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) rows: RowArgs,
}
