//! Takes pending rows of a batch out of the queue, all or chosen ones, until `retry` puts them back.

use std::fmt::Write as _;

use crate::clock::Clock;
use crate::progress::quantity::Things;
use crate::progress::safe::Safe;
use crate::store::{Cancelled, LockError, RunLock, Store, StoredBatch};

use super::args::{CancelArgs, Global};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::next;
use super::voice::Voice;
use super::{import, rows, screen, settings, status, turn};

/// `promptmill cancel`.
pub(super) async fn command(
    global: &Global,
    args: &CancelArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let batch = import::find(&store, &args.batch, &database).await?;
    let jobs = rows::named(&store, &batch, &args.rows).await?;
    let clock = Clock::start();
    let lock = free_lock(&store)?;
    if lock.is_some() {
        // No run lives: what one left in flight is taken back first, as the next run would do.
        store.take_in_spool().await?;
        store.rescue(clock.now()).await?;
    }
    let done = store.cancel(batch.id, jobs.as_deref(), clock.now()).await?;
    drop(lock);
    store.close().await?;
    if global.json {
        let Cancelled {
            cancelled,
            running,
            settled,
        } = done;
        let object = serde_json::json!({
            "batch": batch.name, "cancelled": cancelled, "running": running, "settled": settled,
        });
        screen::print(&format!("{object}\n"))?;
    } else if Voice::new(global, &file, false).tells_news() {
        screen::say(&told(&batch, done, jobs.is_some()));
    }
    let refused = jobs.is_some() && done.running > 0;
    Ok(if refused { Exit::Locked } else { Exit::Done })
}

/// Takes the run lock when no run holds it.
fn free_lock(store: &Store) -> Result<Option<RunLock>, CliError> {
    match turn::try_lock(store) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn told(batch: &StoredBatch, done: Cancelled, are_named: bool) -> String {
    let rows = |count| Things(count, "row");
    let mut text = format!(
        "{}: {} cancelled\n",
        Safe(&batch.name),
        rows(done.cancelled)
    );
    if done.running > 0 {
        let (rows, are) = (
            rows(done.running),
            if done.running == 1 { "is" } else { "are" },
        );
        let _ = writeln!(
            text,
            "  {rows} {are} in flight and left to the run that asks; end it to cancel them too"
        );
    }
    if are_named && done.settled > 0 {
        let _ = writeln!(
            text,
            "  {} had an answer or had failed before",
            rows(done.settled)
        );
    }
    if done.cancelled > 0 {
        let back = next::command(&["retry", &batch.name, "--cause", "cancelled"]);
        let _ = writeln!(text, "back with: {}", Safe(&back));
    }
    text
}
