//! The sections of the benchmark. Each prints rows of the same table.

use std::time::Duration;

use promptmill::simulator::{
    Config, SimulatedLatency, SimulatedLimits, SimulatorThread, start_on_own_thread,
};

use tokio::time::Instant;

use super::bare;
use super::child::{self, ResourceUsage};
use super::work_dir::WorkDir;

/// The extent of a benchmark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Whether to run the full benchmark, instead of only checking that it works.
    pub(crate) full: bool,
    /// Whether to run a batch of a million rows as well, which takes minutes.
    pub(crate) million: bool,
}

/// A section with its name.
pub(crate) type Section = (&'static str, fn(Size));

/// All sections, in the order of the table.
pub(crate) const ALL: [Section; 7] = [
    ("throughput", throughput),
    ("latency", latency),
    ("quota", quota),
    ("files", files),
    ("start", start),
    ("in-flight", in_flight),
    ("million", million),
];

/// Number of rounds; the median is reported. The compared programs alternate.
const ROUNDS: usize = 5;

fn provider(config: Config) -> SimulatorThread {
    start_on_own_thread(config).unwrap()
}

fn report(name: &str, measured: &str) {
    println!("| {name} | {measured} |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median_of(all: &[ResourceUsage], value: impl Fn(&ResourceUsage) -> f64) -> f64 {
    median(all.iter().map(value).collect())
}

/// Requests per second, CPU time and memory usage, compared with the baseline in the same rounds.
fn throughput(size: Size) {
    let (rows, rounds) = if size.full {
        (40_000, ROUNDS)
    } else {
        (200, 1)
    };
    let work_dir = WorkDir::new(rows);
    let provider = provider(Config::default());
    let url = provider.base_url();
    let (mut bare_loop, mut whole, mut work) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let total = rows.to_string();
        bare_loop.push(child::this_binary(&[bare::FLAG, &url, &total, "256"]));
        work_dir.clear();
        let endpoint = format!("--base-url {url} --concurrency 256");
        whole.push(child::promptmill(
            &work_dir,
            &format!("run jobs.csv -o out.csv {endpoint}"),
        ));
        work_dir.clear();
        child::promptmill(&work_dir, "import jobs.csv");
        work.push(child::promptmill(&work_dir, &format!("work {endpoint}")));
    }
    assert_eq!(provider.request_log().requests, (3 * rows * rounds) as u64);
    let speed = |all: &[ResourceUsage]| rows as f64 / median_of(all, |usage| usage.wall);
    let cpu = |all: &[ResourceUsage]| median_of(all, |usage| usage.cpu) * 1e4 / rows as f64;
    let ratio = |all: &[ResourceUsage]| {
        let pairs = bare_loop.iter().zip(all);
        median(pairs.map(|(bare, ours)| bare.wall / ours.wall).collect())
    };
    for (name, all) in [
        ("bare reqwest loop", &bare_loop),
        ("`run`: import, work, export", &whole),
        ("`work`: the queue only", &work),
    ] {
        report(
            &format!("{name}, 256 in flight, {rows} rows"),
            &format!(
                "{:.0} requests/s, {:.2} of the bare loop, {:.2} CPU s per 10,000, {:.0} MB",
                speed(all),
                ratio(all),
                cpu(all),
                median_of(all, |usage| usage.peak)
            ),
        );
    }
}

/// The throughput with a latency of 100 ms, relative to the maximum with 256 requests in flight.
fn latency(_: Size) {
    let rows = 20_000;
    let work_dir = WorkDir::new(rows);
    let constant = SimulatedLatency::Constant(Duration::from_millis(100));
    let provider = provider(Config::default().latency(constant));
    child::promptmill(&work_dir, "import jobs.csv");
    let url = provider.base_url();
    let used = child::promptmill(
        &work_dir,
        &format!("work --base-url {url} --concurrency 256"),
    );
    let ideal = (rows as f64 / 256.0).ceil() * 0.1;
    report(
        "latency of 100 ms, 256 in flight",
        &format!("{:.3} of the ideal ({ideal:.1} s)", ideal / used.wall),
    );
}

/// The used fraction of a rate limit, and the number of rate-limit errors: two keys with 3,000
/// requests per minute each, a burst of 50, and a latency of 300 ms to 1.5 s.
fn quota(_: Size) {
    let limits = SimulatedLimits {
        requests_per_minute: Some(3000),
        request_burst: Some(50),
        ..SimulatedLimits::default()
    };
    let latency = SimulatedLatency::LogNormal {
        median: Duration::from_millis(300),
        p99: Duration::from_millis(1500),
    };
    let work_dir = WorkDir::new(6000);
    for (name, flags) in [
        (
            "limit set with --rpm, 128 in flight",
            "--rpm 3000 --concurrency 128",
        ),
        ("limit from headers, 128 in flight", "--concurrency 128"),
        (
            "limit from headers, automatic concurrency",
            "--concurrency auto",
        ),
    ] {
        work_dir.clear();
        let config = Config::default().latency(latency).limits(limits.clone());
        let provider = provider(config.record());
        let url = provider.base_url();
        let flags = format!("{flags} --max-runtime 36s");
        child::promptmill(
            &work_dir,
            &format!("run jobs.csv -o out.csv --base-url {url} {flags}"),
        );
        let entries = provider.request_log().entries;
        let first = entries[0].at.as_secs_f64();
        let good = entries.iter().filter(|entry| entry.status == Some(200));
        let times: Vec<_> = good.map(|entry| entry.at.as_secs_f64() - first).collect();
        let within = times.iter().filter(|at| **at <= 30.0).count();
        let steady = times.iter().filter(|at| (5.0..25.0).contains(*at)).count();
        let refused = entries.len() - times.len();
        report(
            &format!("two keys with 3,000 per minute, {name}"),
            &format!(
                "{:.4} of the limit in 30 s, {:.4} in the steady 20 s, {refused} of {} refused",
                within as f64 / 3000.0,
                steady as f64 / 2000.0,
                entries.len()
            ),
        );
    }
}

/// Import and export of a million rows, and a second import without changes.
fn files(_: Size) {
    for rows in [100_000, 1_000_000] {
        let work_dir = WorkDir::new(rows);
        let speed = |used: ResourceUsage| {
            format!("{:.0} rows/s, {:.0} MB", rows as f64 / used.wall, used.peak)
        };
        let import = child::promptmill(&work_dir, "import jobs.csv");
        let touched = format!(
            "{}\n",
            std::fs::read_to_string(work_dir.path("jobs.csv")).unwrap()
        );
        std::fs::write(work_dir.path("jobs.csv"), touched).unwrap();
        let again = child::promptmill(&work_dir, "import jobs.csv");
        let export = child::promptmill(&work_dir, "export jobs.csv -o out.csv");
        report(&format!("import, {rows} rows of 270 bytes"), &speed(import));
        report(
            &format!("import again, {rows} rows, no changes"),
            &speed(again),
        );
        report(
            &format!("export, {rows} rows without responses"),
            &speed(export),
        );
    }
}

/// The time from the start of the program to its first request, and of a run with nothing to do.
fn start(_: Size) {
    let work_dir = WorkDir::new(27);
    let (mut first, mut empty) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        work_dir.clear();
        let provider = provider(Config::default());
        let run = format!("run jobs.csv -o out.csv --base-url {}", provider.base_url());
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| child::promptmill(&work_dir, &run));
            assert!(provider.wait_for_requests(1, Duration::from_mins(1)));
            first.push(begin.elapsed().as_secs_f64() * 1e3);
        });
        let again = child::promptmill(&work_dir, &run);
        assert_eq!(provider.request_log().requests, 27);
        empty.push(again.wall * 1e3);
    }
    report(
        "start to first request, 27 rows",
        &format!("{:.0} ms", median(first)),
    );
    report(
        "run again with nothing to do",
        &format!("{:.0} ms", median(empty)),
    );
}

/// Ten thousand requests in flight with a latency of 2 s.
fn in_flight(_: Size) {
    let rows = 40_000;
    let work_dir = WorkDir::new(rows);
    let constant = SimulatedLatency::Constant(Duration::from_secs(2));
    let provider = provider(Config::default().latency(constant));
    child::promptmill(&work_dir, "import jobs.csv");
    let url = provider.base_url();
    let used = child::promptmill(
        &work_dir,
        &format!("work --base-url {url} --concurrency 10000"),
    );
    report(
        "10,000 in flight over HTTP/1.1, latency of 2 s, 40,000 rows",
        &format!(
            "{} in flight, {:.1} s ({:.2} of the ideal 8 s), {:.2} CPU s per 10,000, {:.0} MB",
            provider.request_log().max_in_flight,
            used.wall,
            8.0 / used.wall,
            used.cpu * 1e4 / rows as f64,
            used.peak
        ),
    );
}

/// A batch of a million rows with 256 requests in flight.
fn million(size: Size) {
    if !size.million {
        return;
    }
    let rows = 1_000_000;
    let work_dir = WorkDir::new(rows);
    let provider = provider(Config::default());
    let url = provider.base_url();
    let run = format!("run jobs.csv -o out.csv --base-url {url} --concurrency 256");
    let used = child::promptmill(&work_dir, &run);
    report(
        "1,000,000 rows, 256 in flight, import to export",
        &format!(
            "{:.0} s, {:.1} CPU s, {:.0} MB",
            used.wall, used.cpu, used.peak
        ),
    );
}
