//! Arguments of `cancel`.

use clap::Args;

use super::rows::RowArgs;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill cancel jobs.csv                    # all pending rows
  promptmill cancel jobs.csv --ids 17,204
  promptmill retry jobs.csv --cause cancelled   # undo")]
pub(in crate::cli) struct CancelArgs {
    /// Name of the batch, or path of its input file
    pub(in crate::cli) batch: String,
    #[command(flatten)]
    pub(in crate::cli) rows: RowArgs,
}
