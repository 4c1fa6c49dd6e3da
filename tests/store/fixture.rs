//! A test fixture: a temporary directory with a database, and helper functions for its operations.

use std::path::{Path, PathBuf};

use promptmill::api::RequestTemplate;
use promptmill::domain::job::{AttemptRecord, Chunk, Completion, ExportRow, NewRow, RowData};
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{
    Claim, ClaimResult, ClaimedJob, Counts, JobOutcome, Location, QueueUpdate, Settlement, Store,
    StoreError, SyncParams, SyncReport,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The current time in most tests, in milliseconds since the epoch.
pub(crate) const NOW: i64 = 1_000_000;
/// The name of the batch in most tests.
pub(crate) const BATCH: &str = "questions";

/// The result of settling, and of a single claim.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) claimed: Vec<ClaimedJob>,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) stale: u64,
}

/// Opens or creates a SQLite database.
pub(crate) async fn sqlite(path: &Path) -> Store {
    Store::open(&Location::new(path)).await.unwrap()
}

/// A function that opens or creates a database.
pub(crate) trait OpenStore: AsyncFn(&Path) -> Store + Copy + Send + 'static {}

impl<T: AsyncFn(&Path) -> Store + Copy + Send + 'static> OpenStore for T {}

/// An open database in its own directory.
pub(crate) struct Fixture<O> {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    open: O,
}

impl<O: OpenStore> Fixture<O> {
    /// Creates an empty database.
    pub(crate) async fn empty(open: O) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("queue.db")).await;
        Self { dir, store, open }
    }

    /// Creates a database with a batch of `count` rows.
    pub(crate) async fn with_rows(open: O, count: usize) -> Self {
        let fixture = Self::empty(open).await;
        fixture.import(&rows(count)).await;
        fixture
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("queue.db")
    }

    /// Simulates the next process after a crash: the old store is not closed.
    pub(crate) async fn crash(&mut self) {
        // The new store is opened before the old one is dropped, so that the WAL is not
        // checkpointed.
        self.store = (self.open)(&self.path()).await;
    }

    /// Simulates the next process after a clean exit.
    pub(crate) async fn reopen(self) -> Self {
        let path = self.path();
        let Self { dir, store, open } = self;
        store.close().await.unwrap();
        let store = open(&path).await;
        Self { dir, store, open }
    }

    /// Imports these rows into the batch.
    pub(crate) async fn import(&self, rows: &[NewRow]) -> SyncReport {
        import(&self.store, BATCH, rows).await
    }

    pub(crate) async fn batch(&self) -> i64 {
        self.store.batch(BATCH).await.unwrap().id
    }

    pub(crate) async fn settle_and_claim(
        &self,
        settlements: &[Settlement],
        limit: usize,
        now: i64,
    ) -> Update {
        let batch = self.batch().await;
        settle_and_claim(&self.store, settlements, Claim { batch, limit }, now).await
    }

    pub(crate) async fn claim(&self, limit: usize) -> Vec<ClaimedJob> {
        self.settle_and_claim(&[], limit, NOW).await.claimed
    }

    pub(crate) async fn settle(&self, settlements: &[Settlement]) -> u64 {
        self.settle_and_claim(settlements, 0, NOW).await.stale
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.store.counts(self.batch().await).await.unwrap()
    }

    /// Returns all rows of the batch, as an export reads them.
    pub(crate) async fn records(&self) -> Vec<ExportRow> {
        records(&self.store, self.batch().await, 1_000).await
    }
}

pub(crate) async fn settle_and_claim(
    store: &Store,
    settlements: &[Settlement],
    claim: Claim,
    now: i64,
) -> Update {
    let now = Timestamp::from_millis(now);
    let update = store.settle_and_claim(settlements, &[claim], now).await;
    let QueueUpdate { mut claims, stale } = update.unwrap();
    let ClaimResult { jobs, next_due } = claims.pop().unwrap();
    assert_eq!(claims, []);
    Update {
        claimed: jobs,
        next_due,
        stale,
    }
}

pub(crate) async fn records(store: &Store, batch: i64, page: u32) -> Vec<ExportRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (records, last) = store.page(batch, after, page).await.unwrap();
        if records.is_empty() {
            assert_eq!(last, None);
            return all;
        }
        all.extend(records);
        after = last;
    }
}

pub(crate) async fn import(store: &Store, batch: &str, rows: &[NewRow]) -> SyncReport {
    let mut chunks: Vec<_> = rows.chunks(7).map(|chunk| Ok(chunk.to_vec())).collect();
    chunks.push(Ok(Vec::new()));
    sync(store, batch, chunks).await.unwrap().unwrap()
}

/// Syncs a batch with these chunks, after which the input ends.
pub(crate) async fn sync(
    store: &Store,
    batch: &str,
    chunks: Vec<Result<Vec<NewRow>, &'static str>>,
) -> Result<Result<SyncReport, &'static str>, StoreError> {
    let (template, columns) = (template("m"), columns(&["id", "prompt"]));
    let sync = SyncParams {
        name: batch,
        template: &template,
        columns: &columns,
        source: "in.csv",
        simulated: false,
        stamp: Some("1 2 3"),
        now: Timestamp::from_millis(NOW),
    };
    let chunks = chunks.into_iter().map(|chunk| chunk.map(Chunk::from));
    store.sync_batch(&sync, feed(chunks.collect())).await
}

/// Returns the cells of a record of a tabular input.
#[track_caller]
pub(crate) fn cells(record: &ExportRow) -> &[String] {
    match &record.input {
        RowData::Cells(cells) => cells,
        RowData::Object(_) => panic!("the input is not a table"),
    }
}

pub(crate) fn feed<T>(chunks: Vec<T>) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel(chunks.len().max(1));
    for chunk in chunks {
        assert!(sender.try_send(chunk).is_ok());
    }
    receiver
}

pub(crate) fn template(model: &str) -> RequestTemplate {
    RequestTemplate {
        model: model.to_owned(),
        prompt: Some("Answer: {{ prompt }}".to_owned()),
        system: None,
        params: vec![("temperature".to_owned(), "0".to_owned())],
        id_column: Some("id".to_owned()),
        ..RequestTemplate::default()
    }
}

pub(crate) fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn rows(count: usize) -> Vec<NewRow> {
    (0..count)
        .map(|number| row(&format!("k{number}"), 0))
        .collect()
}

/// Creates a row with this key. Each version has a different request.
pub(crate) fn row(key: &str, version: u32) -> NewRow {
    NewRow {
        key: key.to_owned(),
        cells: serde_json::to_string(&[key, &prompt(key, version)]).unwrap(),
        request: request(key, version),
        digest: format!("{version:04}-{key}"),
    }
}

pub(crate) fn prompt(key: &str, version: u32) -> String {
    format!("what is {key}, {version}?")
}

pub(crate) fn request(key: &str, version: u32) -> String {
    let content = serde_json::to_string(&prompt(key, version)).unwrap();
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#)
}

/// Returns the keys of claimed jobs, parsed from their requests.
pub(crate) fn claimed_keys(claimed: &[ClaimedJob]) -> Vec<String> {
    let key = |job: &ClaimedJob| {
        let from = job.request.find("what is ").unwrap() + 8;
        let length = job.request[from..].find(',').unwrap();
        job.request[from..from + length].to_owned()
    };
    claimed.iter().map(key).collect()
}

pub(crate) fn completion(text: &str) -> Completion {
    let content = serde_json::to_string(text).unwrap();
    Completion {
        body: format!(r#"{{"choices":[{{"message":{{"content":{content}}}}}]}}"#),
        model: "m-1".to_owned(),
        finish_reason: "stop".to_owned(),
        prompt_tokens: Some(3),
        completion_tokens: None,
        latency_ms: 12,
        request_id: "req-12".to_owned(),
    }
}

fn settlement(job: &ClaimedJob, outcome: JobOutcome) -> Settlement {
    Settlement {
        id: job.id,
        claim_no: job.claim_no,
        requests: 1,
        outcome,
        attempt: None,
        key_label: "key 1".to_owned(),
    }
}

pub(crate) fn done(job: &ClaimedJob, text: &str) -> Settlement {
    settlement(job, JobOutcome::Done(completion(text)))
}

/// Requeues a job after a failure that counts as an attempt.
pub(crate) fn requeued(job: &ClaimedJob, rule: &str, not_before: i64) -> Settlement {
    let outcome = JobOutcome::Requeued {
        not_before: Timestamp::from_millis(not_before),
        counted: true,
    };
    Settlement {
        attempt: Some(attempt(Scope::Transient, rule)),
        ..settlement(job, outcome)
    }
}

/// Requeues a job that was not sent.
pub(crate) fn released(job: &ClaimedJob, not_before: i64) -> Settlement {
    let outcome = JobOutcome::Requeued {
        not_before: Timestamp::from_millis(not_before),
        counted: false,
    };
    Settlement {
        requests: 0,
        key_label: String::new(),
        ..settlement(job, outcome)
    }
}

pub(crate) fn failed(job: &ClaimedJob, scope: Scope, rule: &str) -> Settlement {
    Settlement {
        attempt: Some(attempt(scope, rule)),
        ..settlement(job, JobOutcome::Failed)
    }
}

pub(crate) fn attempt(scope: Scope, rule: &str) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope,
        rule: rule.to_owned(),
        status: Some(503),
        message: format!("message of {rule}"),
        request_id: "r-1".to_owned(),
        wait_ms: Some(1_500),
        latency_ms: Some(20),
    }
}
