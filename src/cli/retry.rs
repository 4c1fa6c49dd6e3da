//! `promptmill retry`: sets failed rows of a batch to pending.

use std::num::NonZeroU64;

use clap::Args;

use crate::progress::quantity::Plural;
use crate::progress::safe::Safe;
use crate::store::RowFilter;

use super::exit::{CliError, Exit};
use super::rows::{CauseArgs, RowArgs};
use super::settings::GlobalArgs;
use super::values::count;
use super::verbosity::Verbosity;
use super::{database, next_command, rows};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill retry jobs.csv && promptmill run jobs.csv -o results.csv
  promptmill retry jobs.csv --cause timeout   # only rows that timed out
  promptmill retry jobs.csv --max 5           # only five rows, as a test
  promptmill retry jobs.csv --ids 17,204")]
pub(super) struct RetryArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    #[command(flatten)]
    pub(super) causes: CauseArgs,
    #[command(flatten)]
    pub(super) rows: RowArgs,
    /// Maximum number of rows, in input order
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU64>)]
    pub(super) max: Option<NonZeroU64>,
}

/// Runs `promptmill retry`.
pub(super) async fn command(global: &GlobalArgs, args: &RetryArgs) -> Result<Exit, CliError> {
    let (store, batch) = database::open_batch(global, &args.batch).await?;
    let filter = RowFilter {
        jobs: rows::find_rows(&store, &batch, &args.rows).await?,
        limit: args.max.map(std::num::NonZero::get),
        ..rows::filter(&store, &batch, &args.causes).await?
    };
    let reopened = store.reopen(batch.id, &filter).await?;
    let still_failed = store.counts(batch.id).await?.failed;
    store.close().await?;
    let object = serde_json::json!({
        "batch": batch.name, "reopened": reopened, "failed": still_failed,
    });
    let (name, rows) = (Safe(&batch.name), Plural(reopened, "failed row"));
    let others = match still_failed {
        0 => String::new(),
        count => format!("; {} not retried", Plural(count, "failed row")),
    };
    let mut message = format!("{name}: {rows} set to pending{others}\n");
    if reopened > 0 {
        message += &next_step(&batch.source, batch.simulated);
    }
    Verbosity::new(global, batch.simulated).print_result(&object, &message)?;
    Ok(Exit::Done)
}

/// Suggests the command that sends the rows. The flags of the earlier run are not known here.
fn next_step(source: &str, simulated: bool) -> String {
    let mut words = vec!["run", source];
    if simulated {
        words.push("--simulate");
    }
    let command = next_command::build(&words);
    let command = Safe(&command);
    format!("next: {command} … with the same flags as before\n")
}
