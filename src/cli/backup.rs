//! Copies the queue to a file to go back to. Works beside a run.

use crate::progress::quantity::Count;
use crate::store::{BackupError, Store};

use super::args::{BackupArgs, Global};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::voice::Voice;
use super::{screen, settings, status};

/// `promptmill backup`.
pub(super) async fn command(
    global: &Global,
    args: &BackupArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let copied = store.back_up(&args.file).await;
    store.close().await?;
    copied?;
    let bytes = std::fs::metadata(&args.file)?.len();
    if global.json {
        let object = serde_json::json!({ "backup": args.file, "bytes": bytes });
        screen::print(&format!("{object}\n"))?;
    } else if Voice::new(global, &file, false).tells_news() {
        let path = args.file.display();
        screen::say(&format!("{path}: {} bytes\n", Count(bytes)));
    }
    Ok(Exit::Done)
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            other => Self {
                exit: Exit::CannotWrite,
                message: other.to_string(),
            },
        }
    }
}
