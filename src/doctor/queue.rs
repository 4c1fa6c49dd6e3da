//! Checks the queue: the disk and the mode of its files, the database, the run lock, and rows that
//! failed earlier.

use super::disk;
use super::report::{DoctorReport, Finding, Group};
use crate::domain::verdict;
use crate::progress::quantity::{Count, Plural};
use crate::progress::safe::Truncated;
use crate::store::{KeyRow, Location, Salt, Store, StoreError, StoredBatch};

/// Maximum number of causes of failure that are shown for a batch.
const MAX_CAUSES: u32 = 3;
/// Maximum number of batches whose failures are shown, the newest first.
const MAX_BATCHES: usize = 3;
/// Maximum number of characters of a message that are shown.
const MAX_MESSAGE_CHARS: usize = 80;

/// Contents of the database that other checks use.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    /// Name and model of the newest batch that is not simulated.
    pub(super) model: Option<(String, String)>,
    /// The stored states of the keys.
    pub(super) keys: Vec<KeyRow>,
    /// Salt of the key fingerprints.
    pub(super) salt: Option<Salt>,
}

/// Checks the queue, which may not exist yet.
pub(super) async fn run_checks(database: &Location, report: &mut DoctorReport) -> QueueState {
    if let Err(error) = database.check_supported() {
        report.add(Group::Queue, Finding::from_error("database", error));
        return QueueState::default();
    }
    disk::run_checks(database, report);
    if !database.exists() {
        let text = format!("no database at {database} yet; `promptmill run FILE` creates it");
        report.add(Group::Queue, Finding::ok("database", text));
        return QueueState::default();
    }
    report.add(Group::Queue, check_file_modes(database));
    let queue_state = match Store::open_existing(database).await {
        Ok(Some(store)) => check_database(store, database, report).await,
        Ok(None) => Ok(QueueState::default()),
        Err(error) => Err(error),
    };
    report.add(Group::Queue, check_lock(database));
    queue_state.unwrap_or_else(|error| {
        report.add(Group::Queue, Finding::from_error("database", error));
        QueueState::default()
    })
}

async fn check_database(
    store: Store,
    database: &Location,
    report: &mut DoctorReport,
) -> Result<QueueState, StoreError> {
    let versions = store.versions().await?;
    let faults = store.quick_check().await?;
    if let Some(first) = faults.first() {
        return Err(StoreError::Corrupt(first.clone()));
    }
    let batches = store.batches().await?;
    let text = format!(
        "{database}: intact, {}, schema {}, {}",
        batch_count(batches.len()),
        versions.schema,
        versions.engine
    );
    report.add(Group::Queue, Finding::ok("database", text));
    for batch in batches.iter().rev().take(MAX_BATCHES) {
        report_failures(&store, batch, report).await?;
    }
    let newest = batches.iter().rev().find(|batch| !batch.simulated);
    let salt = store.salt().await?;
    let queue_state = QueueState {
        model: newest.map(|batch| (batch.name.clone(), batch.template.model.clone())),
        keys: store.keys().await?,
        salt: Some(Salt::new(&salt)),
    };
    store.close().await?;
    Ok(queue_state)
}

fn batch_count(count: usize) -> String {
    match count {
        1 => "1 batch".to_owned(),
        count => format!("{} batches", Count(count as u64)),
    }
}

/// Reports why rows of a batch failed: the requests of `doctor` are too short to reveal limits on
/// the size of prompts.
async fn report_failures(
    store: &Store,
    batch: &StoredBatch,
    report: &mut DoctorReport,
) -> Result<(), StoreError> {
    // Rows that are waiting have causes, too.
    if store.counts(batch.id).await?.failed == 0 {
        return Ok(());
    }
    for cause in store.causes(batch.id, MAX_CAUSES).await? {
        let (rows, name, rule) = (Plural(cause.jobs, "row"), &batch.name, &cause.rule);
        let message = Truncated(&cause.message, MAX_MESSAGE_CHARS);
        let text = format!("{rows} of {name} failed: {message} ({rule})");
        let hint = match verdict::hint_of(rule) {
            "" => format!("Run `promptmill retry {name}` to retry these rows."),
            hint => format!("{hint} Then run `promptmill retry {name}`."),
        };
        report.add(Group::Queue, Finding::warning("failed rows", text, &hint));
    }
    Ok(())
}

/// Checks that other users cannot read prompts and responses.
fn check_file_modes(database: &Location) -> Finding {
    let open = database.exposed_files().into_iter();
    let open: Vec<String> = open.map(|file| file.display().to_string()).collect();
    if open.is_empty() {
        return Finding::ok("file mode", "only you can read the database");
    }
    let text = format!("other users can access {}", open.join(", "));
    let hint = format!("Run `chmod 600 {}`.", open.join(" "));
    Finding::warning("file mode", text, &hint)
}

fn check_lock(database: &Location) -> Finding {
    match database.run_lock_holder() {
        Ok(None) => Finding::ok("lock", "free: no run is using the database"),
        Ok(Some(holder)) => {
            let holder = Truncated(&holder, MAX_MESSAGE_CHARS);
            let text = format!("a run is using the database ({holder})");
            let hint =
                "Wait until it finishes, or stop it; `promptmill status` shows its progress.";
            Finding::warning("lock", text, hint)
        }
        Err(error) => Finding::from_error("lock", error),
    }
}
