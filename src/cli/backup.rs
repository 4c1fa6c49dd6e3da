//! `promptmill backup`: copies the database to a file. Works during a run.

use crate::progress::quantity::Count;
use crate::store::{BackupError, Store};

use super::args::{BackupArgs, GlobalArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::verbosity::Verbosity;
use super::{console, settings, status};

/// Runs `promptmill backup`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: &BackupArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    let result = store.back_up(&args.file).await;
    store.close().await?;
    result?;
    let bytes = std::fs::metadata(&args.file)?.len();
    if global.json {
        let object = serde_json::json!({ "backup": args.file, "bytes": bytes });
        console::print(&format!("{object}\n"))?;
    } else if Verbosity::new(global, &file, false).prints_notices() {
        let path = args.file.display();
        console::eprint(&format!("backed up to {path}: {} bytes\n", Count(bytes)));
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
