//! The sections of the measurement. Each prints rows of one table.

use std::time::Duration;

use promptmill::simulator::{
    Config, Latency, SimulatedLimits, SimulatorThread, start_on_own_thread,
};

use tokio::time::Instant;

use super::bare;
use super::child::{self, Usage};
use super::folder::Folder;

/// How large a measurement is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Whether it is a real one, or only shows that it works.
    pub(crate) full: bool,
    /// Whether a batch of a million rows is run to its end too, which takes minutes.
    pub(crate) million: bool,
}

/// A section by its name.
pub(crate) type Section = (&'static str, fn(Size));

/// All sections, in the order of the table.
pub(crate) const ALL: [Section; 7] = [
    ("throughput", throughput),
    ("latency", latency),
    ("quota", quota),
    ("files", files),
    ("start", start),
    ("flights", flights),
    ("million", million),
];

/// Rounds of which the median counts; the things compared take turns.
const ROUNDS: usize = 5;

fn provider(config: Config) -> SimulatorThread {
    start_on_own_thread(config).unwrap()
}

fn tell(what: &str, measured: &str) {
    println!("| {what} | {measured} |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median_of(all: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    median(all.iter().map(of).collect())
}

/// Requests a second, processor time and memory, beside the bare loop in the same rounds.
fn throughput(size: Size) {
    let (rows, rounds) = if size.full {
        (40_000, ROUNDS)
    } else {
        (200, 1)
    };
    let folder = Folder::new(rows);
    let provider = provider(Config::default());
    let url = provider.base_url();
    let (mut bare_loop, mut whole, mut work) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let total = rows.to_string();
        bare_loop.push(child::myself(&[bare::FLAG, &url, &total, "256"]));
        folder.clear();
        let endpoint = format!("--base-url {url} --concurrency 256");
        whole.push(child::promptmill(
            &folder,
            &format!("run jobs.csv -o out.csv {endpoint}"),
        ));
        folder.clear();
        child::promptmill(&folder, "import jobs.csv");
        work.push(child::promptmill(&folder, &format!("work {endpoint}")));
    }
    assert_eq!(provider.ledger().requests, (3 * rows * rounds) as u64);
    let speed = |all: &[Usage]| rows as f64 / median_of(all, |usage| usage.wall);
    let cpu = |all: &[Usage]| median_of(all, |usage| usage.cpu) * 1e4 / rows as f64;
    let ratio = |all: &[Usage]| {
        let pairs = bare_loop.iter().zip(all);
        median(pairs.map(|(bare, ours)| bare.wall / ours.wall).collect())
    };
    for (name, all) in [
        ("bare reqwest loop", &bare_loop),
        ("`run`: import, work, export", &whole),
        ("`work`: from the queue and back", &work),
    ] {
        tell(
            &format!("{name}, 256 in flight, {rows} rows"),
            &format!(
                "{:.0} requests/s, {:.2} of the bare loop, {:.2} CPU s for 10,000, {:.0} MB",
                speed(all),
                ratio(all),
                cpu(all),
                median_of(all, |usage| usage.peak)
            ),
        );
    }
}

/// Answers that take 100 ms: how near it comes to what 256 in flight can do.
fn latency(_: Size) {
    let rows = 20_000;
    let folder = Folder::new(rows);
    let constant = Latency::Constant(Duration::from_millis(100));
    let provider = provider(Config::default().latency(constant));
    child::promptmill(&folder, "import jobs.csv");
    let url = provider.base_url();
    let used = child::promptmill(&folder, &format!("work --base-url {url} --concurrency 256"));
    let ideal = (rows as f64 / 256.0).ceil() * 0.1;
    tell(
        "answers of 100 ms, 256 in flight",
        &format!("{:.3} of the ideal ({ideal:.1} s)", ideal / used.wall),
    );
}

/// How much of the allowed requests is used, and how many are refused: two keys of 3,000 a minute,
/// a bucket of 50, answers of 300 ms to 1.5 s.
fn quota(_: Size) {
    let limits = SimulatedLimits {
        requests_per_minute: Some(3000),
        request_burst: Some(50),
        ..SimulatedLimits::default()
    };
    let latency = Latency::LogNormal {
        median: Duration::from_millis(300),
        p99: Duration::from_millis(1500),
    };
    let folder = Folder::new(6000);
    for (name, flags) in [
        (
            "the limit told, 128 in flight",
            "--rpm 3000 --concurrency 128",
        ),
        (
            "the limit in headers only, 128 in flight",
            "--concurrency 128",
        ),
        ("the limit in headers only, auto", "--concurrency auto"),
    ] {
        folder.clear();
        let config = Config::default().latency(latency).limits(limits.clone());
        let provider = provider(config.record());
        let url = provider.base_url();
        let flags = format!("{flags} --max-runtime 36s");
        child::promptmill(
            &folder,
            &format!("run jobs.csv -o out.csv --base-url {url} {flags}"),
        );
        let entries = provider.ledger().entries;
        let first = entries[0].at.as_secs_f64();
        let good = entries.iter().filter(|entry| entry.status == Some(200));
        let times: Vec<_> = good.map(|entry| entry.at.as_secs_f64() - first).collect();
        let within = times.iter().filter(|at| **at <= 30.0).count();
        let steady = times.iter().filter(|at| (5.0..25.0).contains(*at)).count();
        let refused = entries.len() - times.len();
        tell(
            &format!("two keys of 3,000 a minute, {name}"),
            &format!(
                "{:.4} of 30 s, {:.4} of the steady 20 s, {refused} of {} refused",
                within as f64 / 3000.0,
                steady as f64 / 2000.0,
                entries.len()
            ),
        );
    }
}

/// Import and export of a million rows, and the import again with nothing new.
fn files(_: Size) {
    for rows in [100_000, 1_000_000] {
        let folder = Folder::new(rows);
        let speed =
            |used: Usage| format!("{:.0} rows/s, {:.0} MB", rows as f64 / used.wall, used.peak);
        let import = child::promptmill(&folder, "import jobs.csv");
        let touched = format!(
            "{}\n",
            std::fs::read_to_string(folder.path("jobs.csv")).unwrap()
        );
        std::fs::write(folder.path("jobs.csv"), touched).unwrap();
        let again = child::promptmill(&folder, "import jobs.csv");
        let export = child::promptmill(&folder, "export jobs.csv -o out.csv");
        tell(&format!("import, {rows} rows of 270 bytes"), &speed(import));
        tell(
            &format!("the same again, {rows} rows, nothing new"),
            &speed(again),
        );
        tell(
            &format!("export, {rows} rows without answers"),
            &speed(export),
        );
    }
}

/// From the start of the program to its first request, and a run with nothing to do.
fn start(_: Size) {
    let folder = Folder::new(27);
    let (mut first, mut empty) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        folder.clear();
        let provider = provider(Config::default());
        let run = format!("run jobs.csv -o out.csv --base-url {}", provider.base_url());
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| child::promptmill(&folder, &run));
            assert!(provider.wait_for(1, Duration::from_mins(1)));
            first.push(begin.elapsed().as_secs_f64() * 1e3);
        });
        let again = child::promptmill(&folder, &run);
        assert_eq!(provider.ledger().requests, 27);
        empty.push(again.wall * 1e3);
    }
    tell(
        "start to first request, 27 rows",
        &format!("{:.0} ms", median(first)),
    );
    tell(
        "run again with nothing to do",
        &format!("{:.0} ms", median(empty)),
    );
}

/// Ten thousand requests in flight that take 2 s each.
fn flights(_: Size) {
    let rows = 40_000;
    let folder = Folder::new(rows);
    let constant = Latency::Constant(Duration::from_secs(2));
    let provider = provider(Config::default().latency(constant));
    child::promptmill(&folder, "import jobs.csv");
    let url = provider.base_url();
    let used = child::promptmill(
        &folder,
        &format!("work --base-url {url} --concurrency 10000"),
    );
    tell(
        "10,000 in flight over HTTP/1.1, answers of 2 s, 40,000 rows",
        &format!(
            "{} at once, {:.1} s ({:.2} of the ideal 8 s), {:.2} CPU s for 10,000, {:.0} MB",
            provider.ledger().max_in_flight,
            used.wall,
            8.0 / used.wall,
            used.cpu * 1e4 / rows as f64,
            used.peak
        ),
    );
}

/// A million queued, 256 in flight, to the end.
fn million(size: Size) {
    if !size.million {
        return;
    }
    let rows = 1_000_000;
    let folder = Folder::new(rows);
    let provider = provider(Config::default());
    let url = provider.base_url();
    let run = format!("run jobs.csv -o out.csv --base-url {url} --concurrency 256");
    let used = child::promptmill(&folder, &run);
    tell(
        "1,000,000 rows, 256 in flight, import to export",
        &format!(
            "{:.0} s, {:.1} CPU s, {:.0} MB at the peak",
            used.wall, used.cpu, used.peak
        ),
    );
}
