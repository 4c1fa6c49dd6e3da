//! Arguments of `backup`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill backup before-the-update.db
  promptmill backup \"/backups/promptmill-$(date +%F).db\"   # from cron")]
pub(in crate::cli) struct BackupArgs {
    /// New file to write
    pub(in crate::cli) file: PathBuf,
}
