//! The queue's part: the file and the disk it is on, the database in it, the lock beside it, and
//! what failed in it before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::disk;
use super::report::{Finding, Group, Report};
use crate::cli::error::CliError;
use crate::cli::key_print::Salt;
use crate::domain::verdict;
use crate::progress::quantity::{Count, Things};
use crate::progress::safe::Excerpt;
use crate::store::{KeyRow, LockError, Store, StoreError, StoredBatch, run_lock_holder};

/// What stands beside the database; the first is the database itself.
const ENDINGS: [&str; 5] = ["", "-wal", "-shm", ".lock", ".spool"];

/// Causes of failure that are shown for a batch.
const MAX_CAUSES: u32 = 3;
/// Batches whose failures are shown, the newest first.
const MAX_BATCHES: usize = 3;
/// The longest message that is shown, in characters.
const MESSAGE: usize = 80;

/// What the queue knows that other checks can use.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// The newest batch's name and model; none of the simulated provider.
    pub(super) model: Option<(String, String)>,
    /// How keys stand.
    pub(super) keys: Vec<KeyRow>,
    /// What the prints of keys are salted with.
    pub(super) salt: Option<Salt>,
}

/// Checks the queue at `path`, which need not be there.
pub(super) async fn examine(path: &Path, report: &mut Report) -> Remembered {
    disk::examine(path, report);
    if !path.exists() {
        let text = format!(
            "none yet at {}; `promptmill run FILE` makes one",
            path.display()
        );
        report.add(Group::Queue, Finding::ok("database", text));
        return Remembered::default();
    }
    report.add(Group::Queue, modes(path));
    let remembered = match Store::open_existing(path).await {
        Ok(Some(store)) => look_into(store, path, report).await,
        Ok(None) => Ok(Remembered::default()),
        Err(error) => Err(error),
    };
    report.add(Group::Queue, lock(path));
    remembered.unwrap_or_else(|error| {
        report.add(
            Group::Queue,
            Finding::of("database", &CliError::from(error)),
        );
        Remembered::default()
    })
}

async fn look_into(
    store: Store,
    path: &Path,
    report: &mut Report,
) -> Result<Remembered, StoreError> {
    let versions = store.versions().await?;
    let faults = store.quick_check().await?;
    if let Some(first) = faults.first() {
        return Err(StoreError::Corrupt(first.clone()));
    }
    let batches = store.batches().await?;
    let text = format!(
        "{}: sound, {}, schema {}, SQLite {}",
        path.display(),
        batches_words(batches.len()),
        versions.schema,
        versions.sqlite
    );
    report.add(Group::Queue, Finding::ok("database", text));
    for batch in batches.iter().rev().take(MAX_BATCHES) {
        failures(&store, batch, report).await?;
    }
    let newest = batches.iter().rev().find(|batch| !batch.simulated);
    let salt = store.salt().await?;
    let remembered = Remembered {
        model: newest.map(|batch| (batch.name.clone(), batch.template.model.clone())),
        keys: store.keys().await?,
        salt: Some(Salt::new(&salt)),
    };
    store.close().await?;
    Ok(remembered)
}

fn batches_words(count: usize) -> String {
    match count {
        1 => "1 batch".to_owned(),
        count => format!("{} batches", Count(count as u64)),
    }
}

/// Tells why rows of a batch failed for good: what is asked of the endpoint here is too short to
/// meet the limits of a prompt.
async fn failures(
    store: &Store,
    batch: &StoredBatch,
    report: &mut Report,
) -> Result<(), StoreError> {
    // Rows that merely wait have causes too.
    if store.counts(batch.id).await?.failed == 0 {
        return Ok(());
    }
    for cause in store.causes(batch.id, MAX_CAUSES).await? {
        let text = format!(
            "{} of {} failed: {} ({})",
            Things(cause.jobs, "row"),
            batch.name,
            Excerpt(&cause.message, MESSAGE),
            cause.rule
        );
        let hint = verdict::hint_of(&cause.rule);
        let hint = if hint.is_empty() {
            format!("`promptmill retry {}` asks these rows again.", batch.name)
        } else {
            format!("{hint} Then `promptmill retry {}`.", batch.name)
        };
        report.add(Group::Queue, Finding::warning("failed rows", text, &hint));
    }
    Ok(())
}

/// Others may read prompts and answers when the mode lets them.
fn modes(path: &Path) -> Finding {
    let open: Vec<String> = ENDINGS
        .iter()
        .map(|ending| beside(path, ending))
        .filter(|file| fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o077 != 0))
        .map(|file| file.display().to_string())
        .collect();
    if open.is_empty() {
        return Finding::ok("file mode", "only you may read it");
    }
    let text = format!("others may use {}", open.join(", "));
    let hint = format!("chmod 600 {}", open.join(" "));
    Finding::warning("file mode", text, &hint)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn lock(path: &Path) -> Finding {
    match run_lock_holder(path) {
        Ok(None) => Finding::ok("lock", "free: no run is under way"),
        Ok(Some(holder)) => Finding::warning(
            "lock",
            format!("a run is under way ({})", Excerpt(&holder, MESSAGE)),
            "Wait for it or end it; `promptmill status` shows how far it is.",
        ),
        Err(error @ (LockError::Held { .. } | LockError::Io { .. })) => {
            Finding::of("lock", &CliError::from(error))
        }
    }
}
