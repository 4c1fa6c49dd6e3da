//! `promptmill cancel`: cancels pending rows of a batch; `retry` sets them to pending again.

use std::fmt::Write as _;

use clap::Args;

use crate::clock::Clock;
use crate::progress::quantity::Plural;
use crate::progress::safe::Safe;
use crate::store::{CancelReport, LockError, RunLock, Store, StoredBatch};

use super::exit::{CliError, Exit};
use super::rows::RowArgs;
use super::settings::GlobalArgs;
use super::verbosity::Verbosity;
use super::{database, next_command, rows, run_lock};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill cancel jobs.csv                    # all pending rows
  promptmill cancel jobs.csv --ids 17,204
  promptmill retry jobs.csv --cause cancelled   # undo")]
pub(super) struct CancelArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    #[command(flatten)]
    pub(super) rows: RowArgs,
}

/// Runs `promptmill cancel`.
pub(super) async fn command(global: &GlobalArgs, args: &CancelArgs) -> Result<Exit, CliError> {
    let (store, batch) = database::open_batch(global, &args.batch).await?;
    let jobs = rows::find_rows(&store, &batch, &args.rows).await?;
    let clock = Clock::start();
    let lock = lock_if_free(&store)?;
    if lock.is_some() {
        // No run is active: recover from a crashed run first, as the next run would.
        store.settle_spool().await?;
        store.recover(clock.now()).await?;
    }
    let report = store.cancel(batch.id, jobs.as_deref(), clock.now()).await?;
    drop(lock);
    store.close().await?;
    let object = serde_json::json!({
        "batch": batch.name, "cancelled": report.canceled, "running": report.running,
        "settled": report.settled,
    });
    let message = summary(&batch, report, jobs.is_some());
    Verbosity::new(global, false).print_result(&object, &message)?;
    match report.running {
        1.. if jobs.is_some() => Ok(Exit::Locked),
        _ => Ok(Exit::Done),
    }
}

/// Acquires the run lock if it is free.
fn lock_if_free(store: &Store) -> Result<Option<RunLock>, CliError> {
    match run_lock::try_acquire(store) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn summary(batch: &StoredBatch, report: CancelReport, are_named: bool) -> String {
    let rows = |count| Plural(count, "row");
    let (name, canceled) = (Safe(&batch.name), rows(report.canceled));
    let mut text = format!("{name}: {canceled} canceled\n");
    if report.running > 0 {
        let rows = rows(report.running);
        let (are, were) = match report.running {
            1 => ("is", "was"),
            _ => ("are", "were"),
        };
        let _ = writeln!(
            text,
            "  {rows} {are} in flight and {were} not canceled; stop the run first"
        );
    }
    if are_named && report.settled > 0 {
        let were = if report.settled == 1 { "was" } else { "were" };
        let rows = rows(report.settled);
        let _ = writeln!(text, "  {rows} {were} already done or failed");
    }
    if report.canceled > 0 {
        let undo = next_command::build(&["retry", &batch.name, "--cause", "cancelled"]);
        let _ = writeln!(text, "undo: {}", Safe(&undo));
    }
    text
}
