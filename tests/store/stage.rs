//! The stage of a test: a folder with one database in it, and short words for what tests do there.

use std::path::PathBuf;

use promptmill::domain::job::{Cells, Chunk, Completion, NewRow, Record};
use promptmill::domain::request_template::RequestTemplate;
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{
    AttemptRecord, Claim, ClaimedJob, Counts, SettledAs, Settlement, Store, StoreError, Sync,
    SyncReport, Turn,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The present of most tests, in milliseconds.
pub(crate) const NOW: i64 = 1_000_000;
/// The batch of most tests.
pub(crate) const BATCH: &str = "questions";

/// How a database is opened or made, whichever it is.
pub(crate) trait Open: AsyncFn(&std::path::Path) -> Store + Copy + Send + 'static {}

impl<T: AsyncFn(&std::path::Path) -> Store + Copy + Send + 'static> Open for T {}

/// A database in a folder of its own, with the store that has it open.
pub(crate) struct Stage<O> {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    open: O,
}

impl<O: Open> Stage<O> {
    /// An empty database.
    pub(crate) async fn empty(open: O) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("queue.db")).await;
        Self {
            folder,
            store,
            open,
        }
    }

    /// A database with one batch of as many rows.
    pub(crate) async fn with_rows(open: O, count: usize) -> Self {
        let stage = Self::empty(open).await;
        stage.import(&rows(count)).await;
        stage
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.store.path().to_owned()
    }

    /// Goes on as the next process does after the last one died: nothing is closed in order.
    pub(crate) async fn crash(&mut self) {
        // The new store is open before the old one goes, so the last close folds nothing back.
        self.store = (self.open)(&self.path()).await;
    }

    /// Goes on as the next process does after the last one ended well.
    pub(crate) async fn reopen(self) -> Self {
        let (folder, open, path) = (self.folder, self.open, self.store.path().to_owned());
        self.store.close().await.unwrap();
        let store = open(&path).await;
        Self {
            folder,
            store,
            open,
        }
    }

    /// Makes the batch of most tests mirror these rows.
    pub(crate) async fn import(&self, rows: &[NewRow]) -> SyncReport {
        import(&self.store, BATCH, rows).await
    }

    pub(crate) async fn batch(&self) -> i64 {
        self.store.batch(BATCH).await.unwrap().id
    }

    pub(crate) async fn turn(&self, settlements: &[Settlement], limit: usize, now: i64) -> Turn {
        let batch = self.batch().await;
        turn(&self.store, settlements, Claim { batch, limit }, now).await
    }

    pub(crate) async fn claim(&self, limit: usize) -> Vec<ClaimedJob> {
        self.turn(&[], limit, NOW).await.claimed
    }

    pub(crate) async fn settle(&self, settlements: &[Settlement]) -> u64 {
        self.turn(settlements, 0, NOW).await.stale
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.store.counts(self.batch().await).await.unwrap()
    }

    /// Every row of the batch, as an export reads it.
    pub(crate) async fn records(&self) -> Vec<Record> {
        records(&self.store, self.batch().await, 1_000).await
    }
}

pub(crate) async fn turn(
    store: &Store,
    settlements: &[Settlement],
    claim: Claim,
    now: i64,
) -> Turn {
    let now = Timestamp::from_millis(now);
    store.turn(settlements, claim, now).await.unwrap()
}

pub(crate) async fn records(store: &Store, batch: i64, page: u32) -> Vec<Record> {
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

/// Sends the chunks as they are, then lets go of the sender.
pub(crate) async fn sync(
    store: &Store,
    batch: &str,
    chunks: Vec<Result<Vec<NewRow>, &'static str>>,
) -> Result<Result<SyncReport, &'static str>, StoreError> {
    let (template, columns) = (template("m"), columns(&["id", "prompt"]));
    let sync = Sync {
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

/// The cells of a record whose input is a table.
#[track_caller]
pub(crate) fn cells(record: &Record) -> &[String] {
    match &record.cells {
        Cells::Line(cells) => cells,
        Cells::Object(_) => panic!("the input is a table"),
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

/// A row by its key. Another version of it asks another question.
pub(crate) fn row(key: &str, version: u32) -> NewRow {
    NewRow {
        key: key.to_owned(),
        cells: serde_json::to_string(&[key, &question(key, version)]).unwrap(),
        request: request(key, version),
        digest: format!("{version:04}-{key}"),
    }
}

pub(crate) fn question(key: &str, version: u32) -> String {
    format!("what is {key}, {version}?")
}

pub(crate) fn request(key: &str, version: u32) -> String {
    let content = serde_json::to_string(&question(key, version)).unwrap();
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#)
}

/// The keys of claimed jobs, read from their requests.
pub(crate) fn asked(claimed: &[ClaimedJob]) -> Vec<String> {
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

fn settlement(job: &ClaimedJob, settled_as: SettledAs) -> Settlement {
    Settlement {
        id: job.id,
        claim_no: job.claim_no,
        requests: 1,
        settled_as,
        attempt: None,
        key_label: "key 1".to_owned(),
    }
}

pub(crate) fn done(job: &ClaimedJob, text: &str) -> Settlement {
    settlement(job, SettledAs::Done(completion(text)))
}

/// Back to the queue after a failure that counts.
pub(crate) fn requeued(job: &ClaimedJob, rule: &str, not_before: i64) -> Settlement {
    let settled_as = SettledAs::Requeued {
        not_before: Timestamp::from_millis(not_before),
        counted: true,
    };
    Settlement {
        attempt: Some(attempt(Scope::Transient, rule)),
        ..settlement(job, settled_as)
    }
}

/// Back to the queue without a request: nothing is counted.
pub(crate) fn released(job: &ClaimedJob, not_before: i64) -> Settlement {
    let settled_as = SettledAs::Requeued {
        not_before: Timestamp::from_millis(not_before),
        counted: false,
    };
    Settlement {
        requests: 0,
        key_label: String::new(),
        ..settlement(job, settled_as)
    }
}

pub(crate) fn failed(job: &ClaimedJob, scope: Scope, rule: &str) -> Settlement {
    Settlement {
        attempt: Some(attempt(scope, rule)),
        ..settlement(job, SettledAs::Failed)
    }
}

pub(crate) fn attempt(scope: Scope, rule: &str) -> AttemptRecord {
    AttemptRecord {
        unknown: false,
        scope,
        rule: rule.to_owned(),
        status: Some(503),
        message: format!("said by {rule}"),
        request_id: "r-1".to_owned(),
        wait_ms: Some(1_500),
        latency_ms: Some(20),
    }
}
