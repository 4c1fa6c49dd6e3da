//! A queue, a scripted endpoint and keys, and one run after another over them.

use std::sync::Arc;
use std::time::Duration;

use promptmill::clock::Clock;
use promptmill::domain::job::{Chunk, JobState, NewRow, Record};
use promptmill::domain::key::{Key, KeyState};
use promptmill::domain::limits;
use promptmill::domain::price::Prices;
use promptmill::domain::request_template::RequestTemplate;
use promptmill::domain::run_stats::{RunStats, StopReason};
use promptmill::domain::time::Timestamp;
use promptmill::domain::window::Concurrency;
use promptmill::progress::event::RunEvent;
use promptmill::provider::{Client, ClientLimits, Endpoint};
use promptmill::runner::{self, Deps, RunKey, Settings, Shutdown};
use promptmill::simulator::{Config, Ledger, Reaction, Script, Simulator};
use promptmill::store::{KeyRow, Store, StoredBatch, Sync};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The longest that a run of these tests may last.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const MODEL: &str = "m-1";

/// Everything a run needs, kept from run to run.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) simulator: Simulator,
    pub(crate) settings: Settings,
    pub(crate) batch: StoredBatch,
    /// The group of each key.
    pub(crate) groups: Vec<Option<String>>,
    /// Where the requests go; the simulator, unless told otherwise.
    pub(crate) base_url: String,
    _directory: TempDir,
}

/// What one run has done.
pub(crate) struct Ran {
    pub(crate) stats: RunStats,
    /// Requests that the endpoint has seen in this run.
    pub(crate) requests: u64,
    /// What the endpoint has seen since the start of the simulator.
    pub(crate) ledger: Ledger,
    /// The keys as they are remembered, in their order.
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) records: Vec<Record>,
    pub(crate) events: Vec<RunEvent>,
    pub(crate) took: Duration,
    pub(crate) ended: Timestamp,
}

/// The secret of the key at a place.
pub(crate) fn secret(key: usize) -> String {
    format!("sk-{key:02}-0123456789abcdef")
}

/// The label of the key at a place.
pub(crate) fn label(key: usize) -> String {
    format!("key-{key:02}")
}

/// The prompt of a row.
pub(crate) fn prompt(row: usize) -> String {
    format!("question {row}")
}

/// An error as most providers word it.
pub(crate) fn error(status: u16, message: &str, kind: &str, code: &str) -> Reaction {
    let error = serde_json::json!({ "message": message, "type": kind, "code": code });
    Reaction::Json(status, serde_json::json!({ "error": error }).to_string())
}

/// An error that no rule knows.
pub(crate) fn unknown_403() -> Reaction {
    error(403, "Nope, not like this", "odd", "")
}

/// A 429 that asks for a wait of milliseconds.
pub(crate) fn throttled(millis: u64) -> Reaction {
    let body = r#"{"error":{"message":"Rate limit reached"}}"#.to_owned();
    let headers = vec![("retry-after-ms".to_owned(), millis.to_string())];
    Reaction::Raw {
        status: 429,
        headers,
        body,
    }
}

impl Bench {
    pub(crate) async fn new(keys: usize, jobs: usize, script: Script) -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open(&directory.path().join("queue.db"))
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

    /// Asks for another model from now on, as another batch would.
    pub(crate) fn ask(&mut self, model: &str) {
        model.clone_into(&mut self.batch.template.model);
    }

    pub(crate) fn client(&self) -> Client {
        let (endpoint, _) = Endpoint::parse(&self.base_url).unwrap();
        Client::new(endpoint, ClientLimits::default()).unwrap()
    }

    /// Runs until the run ends by itself, with the keys as they are remembered.
    pub(crate) async fn run(&self) -> Ran {
        let before = self.simulator.ledger().requests;
        let clock = Clock::start();
        let client = self.client();
        let keys = self.ring(client.endpoint().display()).await;
        let store = &self.store;
        let prices = Prices::default();
        let deps = Deps {
            schema: None,
            store,
            client,
            clock,
            prices: &prices,
        };
        let mut events = Vec::new();
        let mut on_event = |event: &RunEvent| events.push(event.clone());
        let (_switch, shutdown) = Shutdown::new();
        let run = runner::run(
            deps,
            &self.batch,
            keys,
            self.settings,
            shutdown,
            &mut on_event,
        );
        let stats = tokio::time::timeout(PATIENCE, run)
            .await
            .expect("a run that ends")
            .unwrap();
        let ledger = self.simulator.ledger();
        Ran {
            stats,
            requests: ledger.requests - before,
            ledger,
            keys: self.remembered().await,
            records: self.records().await,
            events,
            took: clock.elapsed(),
            ended: clock.now(),
        }
    }

    async fn remembered(&self) -> Vec<KeyRow> {
        let mut keys = self.store.keys().await.unwrap();
        keys.retain(|key| key.model.is_empty() || key.model == self.batch.template.model);
        keys
    }

    /// The keys with what is remembered of them, as the command line puts them together.
    async fn ring(&self, base_url: &str) -> Vec<RunKey> {
        let remembered = self.remembered().await;
        let places = 0..self.groups.len();
        let key = |place: usize| {
            let mut key = Key::new(label(place), format!("print-{place:02}"));
            key.group.clone_from(&self.groups[place]);
            let known = remembered
                .iter()
                .find(|row| row.fingerprint == key.fingerprint && row.base_url == base_url);
            if let Some(row) = known {
                key.state = KeyState::from_parts(&row.state, row.until);
                key.model_only = !row.model.is_empty();
                key.reason.clone_from(&row.reason);
            }
            let secret = Some(Arc::new(SecretString::from(secret(place))));
            RunKey {
                key,
                secret,
                limits: limits::KeyLimits::default(),
                group_limits: limits::KeyLimits::default(),
                today: 0,
            }
        };
        places.map(key).collect()
    }

    /// Writes down for each key when it may be tried again, as if that long had passed.
    pub(crate) async fn forget_waits(&self, now_is_past: bool) {
        let mut rows = self.store.keys().await.unwrap();
        let now = Clock::start().now();
        for row in &mut rows {
            row.until = row.until.map(|until| if now_is_past { now } else { until });
        }
        self.store.save_keys(&rows, MODEL, now).await.unwrap();
    }

    async fn records(&self) -> Vec<Record> {
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

impl Ran {
    /// The rows that stand so.
    pub(crate) fn rows(&self, state: JobState) -> Vec<usize> {
        let places = self.records.iter().enumerate();
        let rows = places.filter(|(_, record)| record.state == state);
        rows.map(|(place, _)| place).collect()
    }

    /// The keys that are out, with how they stand. A rest of seconds is none.
    pub(crate) fn out(&self) -> Vec<(usize, &str)> {
        let keys = self.keys.iter().enumerate();
        let soon = self.ended + Duration::from_secs(5);
        let rested = |key: &KeyRow| key.state == "cooling" && key.until <= Some(soon);
        let out = keys.filter(|(_, key)| key.state != "healthy" && !rested(key));
        out.map(|(place, key)| (place, key.state.as_str()))
            .collect()
    }

    /// What the run says about its end; empty when there was nothing left to do.
    pub(crate) fn said(&self) -> &str {
        match &self.stats.stopped_by {
            Some(StopReason::NoUsableKey(text) | StopReason::Misconfigured(text)) => text,
            _ => "",
        }
    }

    /// How the run ended, in a word.
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

    /// Checks what holds of every run, and prints its line of the report.
    #[track_caller]
    pub(crate) fn account(&self, name: &str) {
        let requests: u64 = self.records.iter().map(|row| u64::from(row.attempts)).sum();
        assert_eq!(requests, self.ledger.requests, "{name}: requests counted");
        assert!(self.rows(JobState::Running).is_empty(), "{name}");
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            self.requests,
            self.out().len(),
            self.rows(JobState::Failed).len(),
            self.rows(JobState::Pending).len(),
            self.end(),
            self.took.as_millis()
        );
    }
}

/// Fills the queue with a batch of so many rows.
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
    let sync = Sync {
        name: "questions",
        template: &template,
        columns: &columns,
        source: "questions.csv",
        simulated: false,
        stamp: None,
        now: Clock::start().now(),
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

fn row(place: usize) -> NewRow {
    let text = prompt(place);
    let messages = serde_json::json!([{ "role": "user", "content": text }]);
    NewRow {
        key: format!("row-{place}"),
        cells: serde_json::json!([text]).to_string(),
        request: serde_json::json!({ "model": MODEL, "messages": messages }).to_string(),
        digest: place.to_string(),
    }
}
