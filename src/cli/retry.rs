//! Makes failed rows of a batch pending again, all or chosen ones.

use crate::progress::quantity::Things;
use crate::progress::safe::Safe;
use crate::store::{Choice, Store};

use super::args::{Global, RetryArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::next;
use super::voice::Voice;
use super::{import, rows, screen, settings, status};

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
    let choice = Choice {
        jobs: rows::named(&store, &batch, &args.rows).await?,
        most: args.max.map(std::num::NonZero::get),
        ..rows::choice(&store, &batch, &args.causes).await?
    };
    let reopened = store.reopen(batch.id, &choice).await?;
    let left = store.counts(batch.id).await?.failed;
    store.close().await?;
    if global.json {
        let object = serde_json::json!({
            "batch": batch.name, "reopened": reopened, "failed": left,
        });
        screen::print(&format!("{object}\n"))?;
    } else if Voice::new(global, &file, batch.simulated).tells_news() {
        let (name, again) = (Safe(&batch.name), Things(reopened, "failed row"));
        let left = match left {
            0 => String::new(),
            left => format!("; {} left as they are", Things(left, "failed row")),
        };
        screen::say(&format!("{name}: {again} to be asked again{left}\n"));
        if reopened > 0 {
            screen::say(&asking(&batch.source, batch.simulated));
        }
    }
    Ok(Exit::Done)
}

/// Says how the rows are asked: by the command that took the file in, whose flags are not known here.
fn asking(source: &str, simulated: bool) -> String {
    let mut words = vec!["run", source];
    if simulated {
        words.push("--simulate");
    }
    format!(
        "next: {} … with the same flags as before\n",
        Safe(&next::command(&words))
    )
}
