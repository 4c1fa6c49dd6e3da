//! `promptmill retry`: sets failed rows of a batch to pending.

use crate::progress::quantity::Plural;
use crate::progress::safe::Safe;
use crate::store::{RowFilter, Store};

use super::args::{GlobalArgs, RetryArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::next_command;
use super::verbosity::Verbosity;
use super::{console, import, rows, settings, status};

/// Runs `promptmill retry`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: &RetryArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let batch = import::find_batch(&store, &args.batch, &database).await?;
    let filter = RowFilter {
        jobs: rows::find_rows(&store, &batch, &args.rows).await?,
        limit: args.max.map(std::num::NonZero::get),
        ..rows::filter(&store, &batch, &args.causes).await?
    };
    let reopened = store.reopen(batch.id, &filter).await?;
    let still_failed = store.counts(batch.id).await?.failed;
    store.close().await?;
    if global.json {
        let object = serde_json::json!({
            "batch": batch.name, "reopened": reopened, "failed": still_failed,
        });
        console::print(&format!("{object}\n"))?;
    } else if Verbosity::new(global, &file, batch.simulated).prints_notices() {
        let (name, rows) = (Safe(&batch.name), Plural(reopened, "failed row"));
        let others = match still_failed {
            0 => String::new(),
            count => format!("; {} not retried", Plural(count, "failed row")),
        };
        console::eprint(&format!("{name}: {rows} set to pending{others}\n"));
        if reopened > 0 {
            console::eprint(&next_step(&batch.source, batch.simulated));
        }
    }
    Ok(Exit::Done)
}

/// Suggests the command that sends the rows. The flags of the earlier run are not known here.
fn next_step(source: &str, simulated: bool) -> String {
    let mut words = vec!["run", source];
    if simulated {
        words.push("--simulate");
    }
    format!(
        "next: {} … with the same flags as before\n",
        Safe(&next_command::build(&words))
    )
}
