//! The charts of a report: which there are, and what is drawn in each.

use std::time::Duration;

use crate::progress::quantity::{Count, Rate, Span, Things};

use super::Report;
use super::chart::{Bar, Chart, number};
use super::spread::Spread;
use super::ticks::{Unit, bounds, ticks};
use super::timeline::Slot;

/// The most labels below a histogram.
const LABELS: usize = 6;

/// Makes all charts that have something to show.
pub(super) fn charts(report: &Report, total: u64) -> Vec<Chart> {
    let times = Times::new(report);
    let mut charts = Vec::new();
    if !times.slots.is_empty() {
        charts.extend([times.progress(total), times.answers()]);
    }
    if report.all.answered > 0 {
        charts.push(times.latency());
    }
    charts.extend(latencies(&report.latency));
    if report.all.throttled + report.all.refused + report.all.unknown > 0 {
        charts.push(times.refusals());
    }
    if report.all.longest_wait_ms > 0 {
        charts.push(times.waits());
    }
    charts.extend(tokens("Tokens of the requests", &report.prompt_tokens));
    charts.extend(tokens("Tokens of the answers", &report.completion_tokens));
    charts
}

/// What is drawn over time.
struct Times {
    slots: Vec<Slot>,
    length: Duration,
    all: Slot,
}

impl Times {
    fn new(report: &Report) -> Self {
        Self {
            slots: report.timeline.slots(),
            length: report.timeline.slot_length(),
            all: report.all,
        }
    }

    /// Rows that have come to their end, one upon the other.
    fn progress(&self, total: u64) -> Chart {
        let mut sum = 0;
        let ended: Vec<u64> = self
            .slots
            .iter()
            .map(|slot| {
                sum += slot.answered + slot.failed;
                sum
            })
            .collect();
        let about = format!(
            "{} of {} answered or failed for good",
            Count(sum),
            Things(total, "row")
        );
        let mut chart = Chart::new("Progress", about, total.max(sum), Unit::Count);
        chart.area("done", &ended);
        self.label(&mut chart);
        chart
    }

    /// Answers in each slot.
    fn answers(&self) -> Chart {
        let most = self.most(|slot| slot.answered);
        let rate =
            Rate::over(most, self.length).map_or(String::new(), |rate| format!(", at most {rate}"));
        let about = format!("In each {}{rate}", self.each());
        let mut chart = Chart::new("Answers", about, most, Unit::Count);
        self.bars(
            &mut chart,
            |slot| vec![("done", slot.answered)],
            |slot| Things(slot.answered, "answer").to_string(),
        );
        chart
    }

    /// The mean latency of each slot.
    fn latency(&self) -> Chart {
        let mean = |slot: &Slot| slot.latency_ms.checked_div(slot.answered);
        let means: Vec<_> = self.slots.iter().map(mean).collect();
        let most = means.iter().flatten().max().copied().unwrap_or(0);
        let about = format!("Mean of the answers in each {}", self.each());
        let mut chart = Chart::new("Latency over time", about, most, Unit::Time);
        chart.line("done", &means);
        self.label(&mut chart);
        chart
    }

    /// Requests that got no answer.
    fn refusals(&self) -> Chart {
        let Slot {
            throttled,
            refused,
            unknown,
            ..
        } = self.all;
        let about = format!(
            "{} met a limit, {} failed otherwise, {} without a known end",
            Count(throttled),
            Count(refused),
            Count(unknown)
        );
        let most = self.most(|slot| slot.throttled + slot.refused + slot.unknown);
        let mut chart = Chart::new("Requests without an answer", about, most, Unit::Count);
        for (class, what) in [
            ("wait", "met a limit"),
            ("failed", "failed"),
            ("unknown", "end unknown"),
        ] {
            chart.legend(class, what);
        }
        let parts = |slot: &Slot| {
            vec![
                ("wait", slot.throttled),
                ("failed", slot.refused),
                ("unknown", slot.unknown),
            ]
        };
        self.bars(&mut chart, parts, |slot| {
            format!(
                "{} met a limit, {} failed otherwise",
                slot.throttled, slot.refused
            )
        });
        chart
    }

    /// The longest wait that was asked for in each slot.
    fn waits(&self) -> Chart {
        let longest = self.all.longest_wait_ms;
        let about = format!(
            "The longest in each {}, {} at most",
            self.each(),
            Span(Duration::from_millis(longest))
        );
        let mut chart = Chart::new("Waits that providers asked for", about, longest, Unit::Time);
        self.bars(
            &mut chart,
            |slot| vec![("wait", slot.longest_wait_ms)],
            |slot| Unit::Time.label(slot.longest_wait_ms),
        );
        chart
    }

    /// How long a slot is, in words.
    fn each(&self) -> String {
        Unit::Time.label(millis(self.length))
    }

    fn most(&self, count: fn(&Slot) -> u64) -> u64 {
        self.slots.iter().map(count).max().unwrap_or(0)
    }

    fn bars(
        &self,
        chart: &mut Chart,
        parts: fn(&Slot) -> Vec<(&'static str, u64)>,
        tip: fn(&Slot) -> String,
    ) {
        let mut begin = 0;
        let bars = self.slots.iter().map(|slot| {
            let tip = format!("after {}: {}", Unit::Time.label(begin), tip(slot));
            begin += millis(self.length);
            Bar {
                parts: parts(slot),
                tip,
            }
        });
        chart.bars(&bars.collect::<Vec<_>>());
        self.label(chart);
    }

    /// Writes the time since the first slot below the plot.
    fn label(&self, chart: &mut Chart) {
        let whole = millis(self.length).saturating_mul(self.slots.len() as u64);
        for tick in ticks(whole, Unit::Time) {
            let at = number(tick) / number(whole).max(1.0);
            if at <= 1.0 {
                chart.label(at, &Unit::Time.label(tick));
            }
        }
    }
}

/// The latency of answers by size, with the middle and the slow end marked.
fn latencies(spread: &Spread) -> Option<Chart> {
    let time = |percent| {
        let millis = spread.percentile(percent).unwrap_or(0);
        Span(Duration::from_millis(millis)).to_string()
    };
    let about = format!(
        "Half took at most {}, 95 of 100 at most {}",
        time(50),
        time(95)
    );
    histogram("Latency", about, spread, Unit::Time)
}

fn tokens(title: &str, spread: &Spread) -> Option<Chart> {
    let middle = spread.percentile(50)?;
    let about = format!(
        "{} in all, half had at most {}",
        Count(spread.sum()),
        Count(middle)
    );
    histogram(title, about, spread, Unit::Count)
}

/// A histogram; `None` when there is nothing to count.
fn histogram(title: &str, about: String, spread: &Spread, unit: Unit) -> Option<Chart> {
    let (smallest, largest) = spread.range()?;
    let bounds = bounds(smallest, largest);
    let counts = spread.between(&bounds);
    let most = counts.iter().max().copied().unwrap_or(0);
    let mut chart = Chart::new(title, about, most, Unit::Count);
    let pairs = bounds.windows(2).zip(&counts);
    let bars = pairs.map(|(pair, count)| Bar {
        parts: vec![("done", *count)],
        tip: format!(
            "{} to {}: {}",
            unit.label(pair[0]),
            unit.label(pair[1]),
            Count(*count)
        ),
    });
    chart.bars(&bars.collect::<Vec<_>>());
    let every = bounds.len().div_ceil(LABELS);
    for (bar, bound) in bounds.iter().enumerate().step_by(every) {
        chart.label(place(bar, counts.len()), &unit.label(*bound));
    }
    for percent in [50, 95] {
        let bar = bounds.partition_point(|bound| Some(*bound) <= spread.percentile(percent));
        // In the middle of its bar.
        let at = place(2 * bar - 1, 2 * counts.len());
        chart.marker(at, &format!("{percent}%"));
    }
    Some(chart)
}

fn place(at: usize, all: usize) -> f64 {
    number(at as u64) / number(all as u64).max(1.0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
