//! What a simulation has achieved, and the table of all scenarios.

use std::fmt::Write as _;
use std::time::Duration;

use promptmill::domain::run_stats::StopReason;
use promptmill::domain::time::Timestamp;

use super::run::{History, Sent};
use super::scenario::{START, Scenario};

const MINUTE: Duration = Duration::from_mins(1);

/// The explanation at the start of the table.
const HEADER: &str = "\
Simulated runs of the scheduler, written by `cargo test --test scheduler`. Accept a changed table only if
the change is intended.

rows      rows of all batches
done      rows completed
failed    rows failed permanently
bad luck  failed rows that would have been completed after more attempts
time      simulated seconds until the last batch ends
rows/s    rows completed per second
rate %    completions, as a share of the requests that the rate limits allow in this time; `-` without limits. A limit
          per minute allows the requests of the first minute at once, so the share can exceed 100
req/row   requests per row completed or failed
wasted %  requests that returned no completion
recovery  seconds from the end of an outage, quota or fault to the next completion; `-` if there was none
ends      when each batch ends, in seconds, and why if rows remain
";

/// The measurements of a simulation.
#[derive(Debug)]
pub(super) struct Measurements {
    rows: usize,
    done: usize,
    failed: usize,
    bad_luck: usize,
    requests: usize,
    time: Duration,
    rate_used: Option<f64>,
    recovery: Option<Duration>,
    ends: String,
}

#[expect(clippy::cast_precision_loss, reason = "small numbers for a table")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Measurements {
    pub(super) fn new(scenario: &Scenario, history: &History) -> Self {
        let queues = || history.queues.values();
        let failed = || queues().flat_map(|queue| &queue.failed);
        let poisoned = |job: i64| scenario.endpoint.poisoned.is_some_and(|n| job % n == 0);
        let last_end = history.ends.values().map(|(at, _)| *at).max();
        let rows: i64 = scenario.batches.iter().map(|batch| batch.rows).sum();
        Self {
            rows: usize::try_from(rows).expect("not negative"),
            done: queues().map(|queue| queue.done.len()).sum(),
            failed: failed().count(),
            bad_luck: failed().filter(|job| !poisoned(job.0)).count(),
            requests: history.sent.len(),
            time: last_end.unwrap_or(START).since(START),
            rate_used: rate_used(scenario, history),
            recovery: recovery(scenario, &history.completed),
            ends: describe_ends(history),
        }
    }

    fn write_line(&self, table: &mut String, name: &str) {
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.1}"));
        let seconds = self.time.as_secs_f64();
        let rows_per_second = ratio(self.done, 1) / seconds.max(0.001);
        let per_row = ratio(self.requests, self.done + self.failed);
        let wasted = 100.0 * ratio(self.requests - self.done, self.requests);
        let _ = writeln!(
            table,
            "{name:<46} {:>6} {:>6} {:>6} {:>8} {seconds:>9.1} {rows_per_second:>7.3} {:>6} {per_row:>7.2} \
             {wasted:>8.1} {:>8}  {}",
            self.rows,
            self.done,
            self.failed,
            self.bad_luck,
            optional(self.rate_used),
            optional(self.recovery.map(|time| time.as_secs_f64())),
            self.ends,
        );
    }
}

/// Returns the completions as a share of the allowed requests, in percent. The time ends with the
/// last request, so that the last responses do not count against it.
fn rate_used(scenario: &Scenario, history: &History) -> Option<f64> {
    let elapsed = history.sent.last()?.at.since(START).as_secs_f64();
    let allowed = f64::from(scenario.allowed_rpm?) * elapsed / 60.0;
    Some(100.0 * ratio(history.completed.len(), 1) / allowed)
}

fn recovery(scenario: &Scenario, completed: &[Timestamp]) -> Option<Duration> {
    let from = START + scenario.recovers_from?;
    let next = completed.iter().find(|at| **at >= from)?;
    Some(next.since(from))
}

fn describe_ends(history: &History) -> String {
    let ends = history.ends.values().map(|(at, end)| {
        let seconds = at.since(START).as_secs_f64();
        let reason = match &end.reason {
            None => return format!("{seconds:.1}"),
            Some(StopReason::NoUsableKey(_)) => "no usable key".to_owned(),
            Some(StopReason::Limit(flag)) => (*flag).to_owned(),
            Some(reason) => format!("{reason:?}").to_lowercase(),
        };
        let resume = end.resume_at.map(|at| at.since(START).as_secs());
        let resume = resume.map_or_else(String::new, |at| format!(", resume at {at}"));
        format!("{seconds:.1} ({reason}{resume})")
    });
    ends.collect::<Vec<_>>().join(" / ")
}

/// Formats the table of all scenarios.
pub(super) fn table(results: &[(&str, Measurements)]) -> String {
    let mut table = HEADER.to_owned();
    let _ = writeln!(
        table,
        "\n{:<46} {:>6} {:>6} {:>6} {:>8} {:>9} {:>7} {:>6} {:>7} {:>8} {:>8}  ends",
        "scenario",
        "rows",
        "done",
        "failed",
        "bad luck",
        "time",
        "rows/s",
        "rate %",
        "req/row",
        "wasted %",
        "recovery",
    );
    for (name, measurements) in results {
        measurements.write_line(&mut table, name);
    }
    table
}

/// Returns the maximum number of requests sent in any 60 seconds, of those that `counted` accepts.
pub(super) fn max_per_minute(sent: &[Sent], counted: impl Fn(&Sent) -> bool) -> usize {
    let times: Vec<_> = sent.iter().filter(|sent| counted(sent)).collect();
    let mut max = 0;
    let mut first = 0;
    for (last, request) in times.iter().enumerate() {
        while request.at.since(times[first].at) >= MINUTE {
            first += 1;
        }
        max = max.max(last + 1 - first);
    }
    max
}
