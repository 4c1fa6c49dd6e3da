//! `promptmill backup`: copies the database to a file. Works during a run.

use std::path::PathBuf;

use clap::Args;

use crate::progress::quantity::Count;
use crate::store::BackupError;

use super::database;
use super::exit::{CliError, Exit};
use super::settings::{self, GlobalArgs};
use super::verbosity::Verbosity;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill backup before-the-update.db
  promptmill backup \"/backups/promptmill-$(date +%F).db\"   # from cron")]
pub(super) struct BackupArgs {
    /// New file to write
    pub(super) file: PathBuf,
}

/// Runs `promptmill backup`.
pub(super) async fn command(global: &GlobalArgs, args: &BackupArgs) -> Result<Exit, CliError> {
    let location = settings::database(global);
    let store = database::open(&location).await?;
    let result = store.back_up(&args.file).await;
    store.close().await?;
    result?;
    let bytes = std::fs::metadata(&args.file)?.len();
    let object = serde_json::json!({ "backup": args.file, "bytes": bytes });
    let (path, count) = (args.file.display(), Count(bytes));
    let message = format!("backed up to {path}: {count} bytes\n");
    Verbosity::new(global, false).print_result(&object, &message)?;
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
