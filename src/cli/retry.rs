//! Makes the failed rows of a batch pending again.

use crate::progress::quantity::Things;
use crate::progress::safe::Safe;
use crate::store::Store;

use super::args::{Global, RetryArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::{import, screen, settings, status};

/// `promptmill retry`.
pub(super) async fn command(
    global: &Global,
    args: &RetryArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let batch = import::find(&store, &args.batch, &database).await?;
    let reopened = store.reopen_failed(batch.id).await?;
    store.close().await?;
    if global.json {
        let object = serde_json::json!({ "batch": batch.name, "reopened": reopened });
        screen::print(&format!("{object}\n"))?;
    } else if !global.quiet {
        let rows = Things(reopened, "failed row");
        screen::say(&format!(
            "{}: {rows} to be asked again\n",
            Safe(&batch.name)
        ));
    }
    Ok(Exit::Done)
}
