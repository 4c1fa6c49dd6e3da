//! A test fixture: a database, a scripted endpoint, and keys for one or more runs.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use promptmill::api::RequestTemplate;
use promptmill::clock::Clock;
use promptmill::domain::concurrency::Concurrency;
use promptmill::domain::job::{Chunk, ExportRow, JobState, NewRow};
use promptmill::domain::key::Key;
use promptmill::domain::price::Prices;
use promptmill::domain::run_stats::{RunStats, StopReason};
use promptmill::domain::time::Timestamp;
use promptmill::engine::{Deps, Engine, EngineKey, LaneOptions, Shutdown, Step};
use promptmill::progress::event::RunEvent;
use promptmill::provider::{Client, ClientLimits, Endpoint};
use promptmill::scheduler::{KeyQuota, Settings};
use promptmill::simulator::{Config, Reaction, RequestLog, Script, Simulator};
use promptmill::store::{KeyRow, Location, Store, StoredBatch, SyncParams};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Maximum duration of a run.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// 06:00 UTC, hours before the day ends at any provider. A run would wait for a quota that is
/// renewed within minutes.
const MORNING: Timestamp = Timestamp::from_millis(1_795_500_000_000);

/// Starts a clock. The time continues across the clocks of a process.
fn start_clock() -> Clock {
    static FIRST: LazyLock<Clock> = LazyLock::new(|| Clock::starting_at(MORNING));
    Clock::starting_at(FIRST.now())
}

pub(crate) const MODEL: &str = "m-1";

/// The dependencies of a run, which the next run reuses.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) simulator: Simulator,
    pub(crate) settings: Settings,
    pub(crate) batch: StoredBatch,
    /// The group of each key.
    pub(crate) groups: Vec<Option<String>>,
    /// The base URL; that of the simulator by default.
    pub(crate) base_url: String,
    _directory: TempDir,
}

/// The result of a run.
pub(crate) struct RunResult {
    pub(crate) stats: RunStats,
    /// Number of requests that the endpoint received in this run.
    pub(crate) requests: u64,
    /// The requests that the endpoint has received since the start of the simulator.
    pub(crate) log: RequestLog,
    /// The stored states of the keys, in order.
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) records: Vec<ExportRow>,
    pub(crate) events: Vec<RunEvent>,
    pub(crate) elapsed: Duration,
    pub(crate) ended: Timestamp,
}

/// Returns the secret of a key.
pub(crate) fn secret(key: usize) -> String {
    format!("sk-{key:02}-0123456789abcdef")
}

/// Returns the label of a key.
pub(crate) fn label(key: usize) -> String {
    format!("key-{key:02}")
}

/// Returns the prompt of a row.
pub(crate) fn prompt(row: usize) -> String {
    format!("question {row}")
}

/// Returns an error in the format of most providers.
pub(crate) fn error(status: u16, message: &str, kind: &str, code: &str) -> Reaction {
    let error = serde_json::json!({ "message": message, "type": kind, "code": code });
    Reaction::Json(status, serde_json::json!({ "error": error }).to_string())
}

/// Returns an error that matches no specific rule.
pub(crate) fn unknown_403() -> Reaction {
    error(403, "Nope, not like this", "odd", "")
}

/// Returns a 429 with a `retry-after-ms` header.
pub(crate) fn throttled(millis: u64) -> Reaction {
    let body = r#"{"error":{"message":"Rate limit reached"}}"#.to_owned();
    let headers = vec![("retry-after-ms".to_owned(), millis.to_string())];
    Reaction::Raw {
        status: 429,
        headers,
        body,
    }
}

impl Fixture {
    pub(crate) async fn new(keys: usize, jobs: usize, script: Script) -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open(&Location::new(directory.path().join("queue.db")))
            .await
            .unwrap();
        let simulator = Simulator::start(Config::default().record().script(script))
            .await
            .unwrap();
        let batch = fill(&store, jobs).await;
        Self {
            store,
            base_url: simulator.base_url(),
            simulator,
            settings: Settings {
                concurrency: Concurrency::fixed(8),
                max_outage: Duration::from_secs(2),
                ..Settings::default()
            },
            batch,
            groups: vec![None; keys],
            _directory: directory,
        }
    }

    /// Uses another model in the next runs, like another batch.
    pub(crate) fn use_model(&mut self, model: &str) {
        model.clone_into(&mut self.batch.template.model);
    }

    pub(crate) fn client(&self) -> Client {
        let (endpoint, _) = Endpoint::parse(&self.base_url).unwrap();
        Client::new(endpoint, ClientLimits::default()).unwrap()
    }

    /// Runs the batch with the stored states of the keys.
    pub(crate) async fn run(&self) -> RunResult {
        let before = self.simulator.request_log().requests;
        let clock = start_clock();
        let mut events = Vec::new();
        let mut on_event = |event: &RunEvent| events.push(event.clone());
        let deps = Deps {
            store: &self.store,
            client: self.client(),
            clock,
            prices: Prices::default(),
            on_event: &mut on_event,
        };
        let run = self.run_engine(Engine::new(deps, self.engine_keys(), self.settings));
        let stats = tokio::time::timeout(RUN_TIMEOUT, run)
            .await
            .expect("the run stops in time");
        let log = self.simulator.request_log();
        RunResult {
            stats,
            requests: log.requests - before,
            log,
            keys: self.stored_keys().await,
            records: self.records().await,
            events,
            elapsed: clock.elapsed(),
            ended: clock.now(),
        }
    }

    async fn run_engine(&self, mut engine: Engine<'_>) -> RunStats {
        let (_switch, mut shutdown) = Shutdown::new();
        let prepared = engine.prepare(self.batch.clone(), LaneOptions::default());
        if let Some(lane) = prepared.await.unwrap() {
            engine.open(lane, 0).await.unwrap();
        }
        let mut stats = RunStats::default();
        loop {
            match engine.advance(&mut shutdown).await.unwrap() {
                Step::LaneEnded(result) => stats = result.stats,
                Step::QueueChanged => {}
                Step::Finished => break,
            }
        }
        engine.close().unwrap();
        stats
    }

    async fn stored_keys(&self) -> Vec<KeyRow> {
        let mut keys = self.store.keys().await.unwrap();
        keys.retain(|key| key.model.is_empty() || key.model == self.batch.template.model);
        keys
    }

    fn engine_keys(&self) -> Vec<EngineKey> {
        let indices = 0..self.groups.len();
        let key = |index: usize| {
            let mut key = Key::new(label(index), format!("fingerprint-{index:02}"));
            key.group.clone_from(&self.groups[index]);
            let quota = KeyQuota {
                group: key.group.clone(),
                ..KeyQuota::default()
            };
            EngineKey {
                key,
                secret: Some(Arc::new(SecretString::from(secret(index)))),
                models: Vec::new(),
                quota,
            }
        };
        indices.map(key).collect()
    }

    /// Ends the cooldowns in the stored states of the keys.
    pub(crate) async fn end_cooldowns(&self) {
        let mut rows = self.store.keys().await.unwrap();
        let now = start_clock().now();
        for row in &mut rows {
            row.until = row.until.map(|_| now);
        }
        self.store.save_keys(&rows, MODEL, now).await.unwrap();
    }

    async fn records(&self) -> Vec<ExportRow> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (page, last) = self.store.page(self.batch.id, after, 500).await.unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
            after = last;
        }
    }
}

impl RunResult {
    /// Returns the indices of the rows in a state.
    pub(crate) fn rows(&self, state: JobState) -> Vec<usize> {
        let indices = self.records.iter().enumerate();
        let rows = indices.filter(|(_, record)| record.state == state);
        rows.map(|(index, _)| index).collect()
    }

    /// Returns the unusable keys and their states, except for cooldowns of a few seconds.
    pub(crate) fn disabled(&self) -> Vec<(usize, &str)> {
        let keys = self.keys.iter().enumerate();
        let soon = self.ended + Duration::from_secs(5);
        let is_short_cooldown = |key: &KeyRow| key.state == "cooling" && key.until <= Some(soon);
        let disabled = keys.filter(|(_, key)| key.state != "healthy" && !is_short_cooldown(key));
        disabled
            .map(|(index, key)| (index, key.state.as_str()))
            .collect()
    }

    /// Returns the message of the stop reason; empty if the run completed.
    pub(crate) fn message(&self) -> &str {
        match &self.stats.stopped_by {
            Some(StopReason::NoUsableKey(text) | StopReason::Misconfigured(text)) => text,
            _ => "",
        }
    }

    /// Returns a name for how the run ended.
    pub(crate) fn end(&self) -> &'static str {
        match self.stats.stopped_by {
            None => "done",
            Some(StopReason::NoUsableKey(_)) => "no key",
            Some(StopReason::Misconfigured(_)) => "misconfigured",
            Some(StopReason::Unavailable) => "unavailable",
            Some(StopReason::Quota) => "quota",
            Some(_) => "stopped",
        }
    }

    /// Checks the invariants of every run, and prints a row of the report.
    #[track_caller]
    pub(crate) fn check_accounting(&self, name: &str) {
        let requests: u64 = self.records.iter().map(|row| u64::from(row.attempts)).sum();
        assert_eq!(
            requests, self.log.requests,
            "{name}: attempts and requests differ"
        );
        assert!(
            self.rows(JobState::Running).is_empty(),
            "{name}: rows in flight"
        );
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            self.requests,
            self.disabled().len(),
            self.rows(JobState::Failed).len(),
            self.rows(JobState::Pending).len(),
            self.end(),
            self.elapsed.as_millis()
        );
    }
}

/// Adds a batch with this many rows to the queue.
async fn fill(store: &Store, jobs: usize) -> StoredBatch {
    let template = RequestTemplate {
        model: MODEL.to_owned(),
        prompt: None,
        system: None,
        params: Vec::new(),
        id_column: None,
        ..RequestTemplate::default()
    };
    let columns = ["prompt".to_owned()];
    let sync = SyncParams {
        name: "questions",
        template: &template,
        columns: &columns,
        source: "questions.csv",
        simulated: false,
        stamp: None,
        now: start_clock().now(),
    };
    let (sender, chunks) = mpsc::channel(2);
    sender
        .send(Ok::<_, ()>((0..jobs).map(row).collect::<Vec<_>>().into()))
        .await
        .unwrap();
    sender.send(Ok(Chunk::default())).await.unwrap();
    store.sync_batch(&sync, chunks).await.unwrap().unwrap();
    store.batch("questions").await.unwrap()
}

fn row(index: usize) -> NewRow {
    let text = prompt(index);
    let messages = serde_json::json!([{ "role": "user", "content": text }]);
    NewRow {
        key: format!("row-{index}"),
        cells: serde_json::json!([text]).to_string(),
        request: serde_json::json!({ "model": MODEL, "messages": messages }).to_string(),
        digest: index.to_string(),
    }
}
