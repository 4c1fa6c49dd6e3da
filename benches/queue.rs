//! Measures the queue at growing sizes: import, the claim and settlement of groups, counts and
//! export pages, with the time for a row and the memory at the peak.
//!
//! `cargo bench --bench queue` measures 10,000, 100,000 and 1,000,000 rows; other sizes may be
//! named after `--`. The database lies in the temporary folder: its disk is what is measured.

#![expect(clippy::print_stdout, reason = "what a measurement says is for people")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails shall stop")]

use std::path::Path;
use std::time::Duration;

use promptmill::domain::job::{Chunk, Completion, NewRow};
use promptmill::domain::request_template::RequestTemplate;
use promptmill::domain::time::Timestamp;
use promptmill::store::{Claim, ClaimedJob, SettledAs, Settlement, Store, Sync, SyncReport};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Rows in one chunk of an import, as the program sends them.
const CHUNK_ROWS: usize = 2_000;
/// Groups that are settled and claimed for one measurement.
const GROUPS: u32 = 100;
/// Records in one page of an export, as the program reads them.
const PAGE: u32 = 1_000;
/// The present of all measurements.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for rows in sizes() {
        runtime.block_on(measure(rows));
    }
}

/// The sizes that were asked for. Without `--bench`, as when all targets are tested, one small size
/// shows that the measurement works.
fn sizes() -> Vec<usize> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return vec![1_000];
    }
    let asked: Vec<usize> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    if asked.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        asked
    }
}

async fn measure(rows: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let store = Store::open(&path).await.unwrap();
    println!("{rows} rows");

    let start = Instant::now();
    assert_eq!(import(&store, rows).await.added, rows as u64);
    tell("import", start.elapsed(), rows);
    let start = Instant::now();
    assert_eq!(import(&store, rows).await.added, 0);
    tell("import again, nothing new", start.elapsed(), rows);
    let batch = store.batch("bench").await.unwrap().id;

    for group in [32, 256] {
        groups(&store, batch, group, rows).await;
    }
    single(&store, batch).await;
    reads(&store, batch, rows).await;
    println!(
        "  memory at the peak       {:>9} KiB, database {} MiB",
        peak_memory(),
        size(&path) >> 20
    );
    store.close().await.unwrap();
}

/// Settles a group and claims the next, again and again: the way of a busy run.
async fn groups(store: &Store, batch: i64, group: usize, rows: usize) {
    let claim = Claim {
        batch,
        limit: group,
    };
    let mut held = store.turn(&[], claim, NOW).await.unwrap().claimed;
    let mut worst = Duration::ZERO;
    let (mut done, start) = (0, Instant::now());
    for _ in 0..GROUPS.min(u32::try_from(rows / group / 3).unwrap()) {
        let settlements: Vec<_> = held.iter().map(answered).collect();
        let turn = Instant::now();
        let next = store.turn(&settlements, claim, NOW).await.unwrap();
        worst = worst.max(turn.elapsed());
        assert_eq!(next.stale, 0);
        done += held.len();
        held = next.claimed;
    }
    tell(
        &format!("settle and claim by {group}"),
        start.elapsed(),
        done,
    );
    println!(
        "    the slowest turn       {:>9.2} ms",
        worst.as_secs_f64() * 1e3
    );
    let settlements: Vec<_> = held.iter().map(answered).collect();
    let none = Claim { batch, limit: 0 };
    store.turn(&settlements, none, NOW).await.unwrap();
}

/// Turns that claim nothing and turns that claim one job: what a turn costs whatever its size.
async fn single(store: &Store, batch: i64) {
    for (name, limit) in [("turn that claims none", 0), ("turn that claims one", 1)] {
        let start = Instant::now();
        for _ in 0..GROUPS {
            store.turn(&[], Claim { batch, limit }, NOW).await.unwrap();
        }
        tell(name, start.elapsed(), GROUPS as usize);
    }
}

async fn reads(store: &Store, batch: i64, rows: usize) {
    let start = Instant::now();
    let counts = store.counts(batch).await.unwrap();
    assert_eq!(counts.total, rows as u64);
    tell("counts (a call)", start.elapsed(), 1);
    let (start, mut after, mut seen) = (Instant::now(), None, 0);
    loop {
        let (records, last) = store.page(batch, after, PAGE).await.unwrap();
        if records.is_empty() {
            break;
        }
        seen += records.len();
        after = last;
    }
    assert_eq!(seen, rows);
    tell("export pages", start.elapsed(), rows);
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn tell(what: &str, took: Duration, rows: usize) {
    let micros = took.as_secs_f64() * 1e6 / rows as f64;
    println!(
        "  {what:<26} {micros:>8.2} µs each, {:>9.0} a second, {:>8.3} s",
        1e6 / micros,
        took.as_secs_f64()
    );
}

async fn import(store: &Store, rows: usize) -> SyncReport {
    let (sender, chunks) = mpsc::channel::<Result<_, ()>>(2);
    // The rows are made on another thread, as they are in the program.
    let maker = std::thread::spawn(move || {
        for start in (0..rows).step_by(CHUNK_ROWS) {
            let chunk: Vec<_> = (start..rows.min(start + CHUNK_ROWS)).map(row).collect();
            sender.blocking_send(Ok(chunk.into())).unwrap();
        }
        sender.blocking_send(Ok(Chunk::default())).unwrap();
    });
    let template = RequestTemplate {
        model: "bench-model".to_owned(),
        prompt: None,
        system: None,
        params: Vec::new(),
        id_column: None,
        ..RequestTemplate::default()
    };
    let sync = Sync {
        name: "bench",
        template: &template,
        columns: &["id".to_owned(), "prompt".to_owned()],
        source: "bench.csv",
        simulated: false,
        stamp: None,
        now: NOW,
    };
    let report = store.sync_batch(&sync, chunks).await.unwrap().unwrap();
    maker.join().unwrap();
    report
}

/// A row with a request of 300 bytes and the key that intake makes from a row's content.
fn row(number: usize) -> NewRow {
    // Scattered as hashes are: the index over the keys is filled in no order.
    let hash = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let text = "a question of some words, ".repeat(8);
    let head =
        format!(r#"{{"model":"bench-model","messages":[{{"role":"user","content":"{number} "#);
    let request = format!("{head}{text:.length$}\"}}]}}", length = 295 - head.len());
    NewRow {
        key: format!("{hash:032x}-1"),
        cells: format!(r#"["{number}","{number} {text}"]"#),
        request,
        digest: format!("{:032x}", hash.rotate_left(64)),
    }
}

fn answered(job: &ClaimedJob) -> Settlement {
    let body = format!(
        r#"{{"id":"{}","object":"chat.completion","choices":[{{"message":{{"content":"{}"}}}}]}}"#,
        job.id.0,
        "an answer of some words and \\\"quotes\\\" ".repeat(16)
    );
    Settlement {
        id: job.id,
        claim_no: job.claim_no,
        requests: 1,
        settled_as: SettledAs::Done(Completion {
            body,
            model: "bench-model-1".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(70),
            completion_tokens: Some(150),
            latency_ms: 900,
            request_id: "req_0123456789abcdef".to_owned(),
        }),
        attempt: None,
        key_label: "key 1".to_owned(),
    }
}

/// The most memory the process has held, in KiB; 0 where that is not told.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse().ok()).unwrap_or(0)
}

fn size(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}
