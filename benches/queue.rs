//! Benchmark of the queue at different sizes: the time per row of imports, settling and claiming,
//! counts and export pages, and the peak memory usage.
//!
//! `cargo bench --bench queue` measures 10,000, 100,000 and 1,000,000 rows; other sizes can be
//! passed after `--`. The database is in the temporary directory, so the results depend on its
//! disk.

#![expect(clippy::print_stdout, reason = "prints the results")]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::path::Path;
use std::time::Duration;

use promptmill::api::RequestTemplate;
use promptmill::domain::job::{Chunk, Completion, NewRow};
use promptmill::domain::time::Timestamp;
use promptmill::store::{
    Claim, ClaimedJob, JobOutcome, Location, Settlement, Store, SyncParams, SyncReport,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Number of rows per chunk of an import, as in the program.
const CHUNK_ROWS: usize = 2_000;
/// Number of transactions per measurement.
const TRANSACTIONS: u32 = 100;
/// Number of rows per page of an export, as in the program.
const PAGE_ROWS: u32 = 1_000;
/// The current time in all measurements.
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

/// Returns the requested sizes. Without `--bench`, as when all targets are tested, a single small
/// size checks that the benchmark works.
fn sizes() -> Vec<usize> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return vec![1_000];
    }
    let requested: Vec<usize> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    if requested.is_empty() {
        vec![10_000, 100_000, 1_000_000]
    } else {
        requested
    }
}

async fn measure(rows: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let store = Store::open(&Location::new(&path)).await.unwrap();
    println!("{rows} rows");

    let start = Instant::now();
    assert_eq!(import(&store, rows).await.added, rows as u64);
    report("import", start.elapsed(), rows);
    let start = Instant::now();
    assert_eq!(import(&store, rows).await.added, 0);
    report("import again, nothing new", start.elapsed(), rows);
    let batch = store.batch("bench").await.unwrap().id;

    for group in [32, 256] {
        measure_groups(&store, batch, group, rows).await;
    }
    measure_single_claims(&store, batch).await;
    measure_reads(&store, batch, rows).await;
    println!(
        "  peak memory              {:>9} KiB, database {} MiB",
        peak_memory(),
        size(&path) >> 20
    );
    store.close().await.unwrap();
}

/// Repeatedly settles a group of jobs and claims the next one, like a busy run.
async fn measure_groups(store: &Store, batch: i64, group: usize, rows: usize) {
    let claim = Claim {
        batch,
        limit: group,
    };
    let mut claimed = store
        .settle_and_claim(&[], &[claim], NOW)
        .await
        .unwrap()
        .claims
        .remove(0)
        .jobs;
    let mut slowest = Duration::ZERO;
    let (mut done, start) = (0, Instant::now());
    for _ in 0..TRANSACTIONS.min(u32::try_from(rows / group / 3).unwrap()) {
        let settlements: Vec<_> = claimed.iter().map(completed).collect();
        let update = Instant::now();
        let mut next = store
            .settle_and_claim(&settlements, &[claim], NOW)
            .await
            .unwrap();
        slowest = slowest.max(update.elapsed());
        assert_eq!(next.stale, 0);
        done += claimed.len();
        claimed = next.claims.remove(0).jobs;
    }
    report(
        &format!("settle and claim {group} jobs"),
        start.elapsed(),
        done,
    );
    println!(
        "    slowest transaction    {:>9.2} ms",
        slowest.as_secs_f64() * 1e3
    );
    let settlements: Vec<_> = claimed.iter().map(completed).collect();
    let none = Claim { batch, limit: 0 };
    store
        .settle_and_claim(&settlements, &[none], NOW)
        .await
        .unwrap();
}

/// Measures transactions that claim no job or one job: the fixed cost of a transaction.
async fn measure_single_claims(store: &Store, batch: i64) {
    for (name, limit) in [("claim no job", 0), ("claim one job", 1)] {
        let start = Instant::now();
        for _ in 0..TRANSACTIONS {
            store
                .settle_and_claim(&[], &[Claim { batch, limit }], NOW)
                .await
                .unwrap();
        }
        report(name, start.elapsed(), TRANSACTIONS as usize);
    }
}

async fn measure_reads(store: &Store, batch: i64, rows: usize) {
    let start = Instant::now();
    let counts = store.counts(batch).await.unwrap();
    assert_eq!(counts.total, rows as u64);
    report("counts (per call)", start.elapsed(), 1);
    let (start, mut after, mut seen) = (Instant::now(), None, 0);
    loop {
        let (records, last) = store.page(batch, after, PAGE_ROWS).await.unwrap();
        if records.is_empty() {
            break;
        }
        seen += records.len();
        after = last;
    }
    assert_eq!(seen, rows);
    report("export pages", start.elapsed(), rows);
}

#[expect(clippy::cast_precision_loss, reason = "printed with a few digits only")]
fn report(name: &str, elapsed: Duration, rows: usize) {
    let micros = elapsed.as_secs_f64() * 1e6 / rows as f64;
    println!(
        "  {name:<26} {micros:>8.2} µs each, {:>9.0} per second, {:>8.3} s",
        1e6 / micros,
        elapsed.as_secs_f64()
    );
}

async fn import(store: &Store, rows: usize) -> SyncReport {
    let (sender, chunks) = mpsc::channel::<Result<_, ()>>(2);
    // The rows are produced on another thread, as in the program.
    let producer = std::thread::spawn(move || {
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
    let sync = SyncParams {
        name: "bench",
        template: &template,
        columns: &["id".to_owned(), "prompt".to_owned()],
        source: "bench.csv",
        simulated: false,
        stamp: None,
        now: NOW,
    };
    let report = store.sync_batch(&sync, chunks).await.unwrap().unwrap();
    producer.join().unwrap();
    report
}

/// Creates a row with a request of 300 bytes, and a key like those that are derived from the
/// content of a row.
fn row(number: usize) -> NewRow {
    // Pseudorandom like a hash, so that the index on the keys is filled in random order.
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

fn completed(job: &ClaimedJob) -> Settlement {
    let body = format!(
        r#"{{"id":"{}","object":"chat.completion","choices":[{{"message":{{"content":"{}"}}}}]}}"#,
        job.id.0,
        "an answer of some words and \\\"quotes\\\" ".repeat(16)
    );
    Settlement {
        id: job.id,
        claim_no: job.claim_no,
        requests: 1,
        outcome: JobOutcome::Done(Completion {
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

/// Returns the peak memory usage of the process in KiB; 0 if it is not available.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse().ok()).unwrap_or(0)
}

fn size(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}
