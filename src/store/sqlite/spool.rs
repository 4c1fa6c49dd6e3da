//! The spool of a SQLite database, next to its file.

use std::path::PathBuf;

use crate::failpoint;
use crate::store::error::Result;
use crate::store::spool::{Spool, SpoolReader};

use super::database::{Database, begin};
use super::files::with_suffix;
use super::keys::salt;
use super::settle::settle;

pub(crate) fn has_spool(database: &Database) -> bool {
    spool_path(database).exists()
}

pub(crate) async fn reserve_spool(database: &Database, bytes: u64) -> Result<Spool> {
    Spool::create(spool_path(database), fingerprint(database).await?, bytes)
}

pub(crate) async fn settle_spool(database: &Database) -> Result<u64> {
    let fingerprint = fingerprint(database).await?;
    let Some(mut spool) = SpoolReader::open(spool_path(database), &fingerprint)? else {
        return Ok(0);
    };
    let mut settled = 0;
    while let Some((group, at)) = spool.next_group() {
        let mut writer = database.writer.lock().await;
        let mut transaction = begin(&mut writer).await?;
        settled += settle(&mut transaction, &group, at).await?;
        failpoint::hit("spool-commit")?;
        transaction.commit().await?;
    }
    failpoint::hit("spool-taken")?;
    spool.remove()?;
    Ok(settled)
}

fn spool_path(database: &Database) -> PathBuf {
    with_suffix(database.path(), ".spool")
}

/// Returns a string that identifies this database.
async fn fingerprint(database: &Database) -> Result<String> {
    let digest = ring::digest::digest(&ring::digest::SHA256, &salt(database).await?);
    let bytes = digest.as_ref().iter().take(8);
    Ok(bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
}
