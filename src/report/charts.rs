//! The charts of a report.

use std::time::Duration;

use crate::progress::quantity::{Count, HumanDuration, Plural, Rate};

use super::chart::{Chart, ChartBar, to_f64};
use super::histogram::Histogram;
use super::ticks::{Unit, bounds, ticks};
use super::timeline::Slot;
use super::totals::Report;

/// Maximum number of labels below a histogram.
const MAX_LABELS: usize = 6;

/// Builds all charts for which there is data.
pub(super) fn charts(report: &Report, total: u64) -> Vec<Chart> {
    let times = TimeCharts::new(report);
    let mut charts = Vec::new();
    if !times.slots.is_empty() {
        charts.extend([times.progress(total), times.responses()]);
    }
    if report.all.completed > 0 {
        charts.push(times.latency());
    }
    charts.extend(latency_histogram(&report.latency));
    if report.all.throttled + report.all.other_failures + report.all.unknown > 0 {
        charts.push(times.failures());
    }
    if report.all.longest_wait_ms > 0 {
        charts.push(times.waits());
    }
    let (prompt, completion) = (&report.prompt_tokens, &report.completion_tokens);
    charts.extend(token_histogram("Prompt tokens per request", prompt));
    charts.extend(token_histogram(
        "Completion tokens per response",
        completion,
    ));
    charts
}

/// Charts over time.
struct TimeCharts {
    slots: Vec<Slot>,
    length: Duration,
    all: Slot,
}

impl TimeCharts {
    fn new(report: &Report) -> Self {
        Self {
            slots: report.timeline.slots(),
            length: report.timeline.slot_length(),
            all: report.all,
        }
    }

    /// Draws the cumulative number of finished rows.
    fn progress(&self, total: u64) -> Chart {
        let mut sum = 0;
        let finished = self.slots.iter().map(|slot| {
            sum += slot.completed + slot.failed;
            sum
        });
        let finished: Vec<u64> = finished.collect();
        let caption = format!("{} of {} done or failed", Count(sum), Plural(total, "row"));
        let mut chart = Chart::new("Progress", caption, total.max(sum), Unit::Count);
        chart.area("done", &finished);
        self.label(&mut chart);
        chart
    }

    /// Draws the number of responses in each slot.
    fn responses(&self) -> Chart {
        let max = self.peak(|slot| slot.completed);
        let rate =
            Rate::over(max, self.length).map_or(String::new(), |rate| format!(", peak {rate}"));
        let caption = format!("Responses per {}{rate}", self.slot_label());
        let mut chart = Chart::new("Responses over time", caption, max, Unit::Count);
        self.bars(
            &mut chart,
            |slot| vec![("done", slot.completed)],
            |slot| Plural(slot.completed, "response").to_string(),
        );
        chart
    }

    /// Draws the mean latency of each slot.
    fn latency(&self) -> Chart {
        let mean = |slot: &Slot| slot.latency_ms.checked_div(slot.completed);
        let means: Vec<_> = self.slots.iter().map(mean).collect();
        let max = means.iter().flatten().max().copied().unwrap_or(0);
        let caption = format!("Mean per {}", self.slot_label());
        let mut chart = Chart::new("Latency over time", caption, max, Unit::Time);
        chart.line("done", &means);
        self.label(&mut chart);
        chart
    }

    /// Draws the number of failed requests in each slot.
    fn failures(&self) -> Chart {
        let caption = failure_counts(&self.all);
        let max = self.peak(|slot| slot.throttled + slot.other_failures + slot.unknown);
        let mut chart = Chart::new("Failed requests", caption, max, Unit::Count);
        chart.legend("wait", "rate limited");
        chart.legend("failed", "other failure");
        chart.legend("unknown", "unknown result");
        let parts = |slot: &Slot| {
            vec![
                ("wait", slot.throttled),
                ("failed", slot.other_failures),
                ("unknown", slot.unknown),
            ]
        };
        self.bars(&mut chart, parts, failure_counts);
        chart
    }

    /// Draws the longest wait requested by the provider in each slot.
    fn waits(&self) -> Chart {
        let longest = self.all.longest_wait_ms;
        let (slot, max) = (self.slot_label(), Duration::from_millis(longest));
        let caption = format!("Longest wait per {slot}, maximum {}", HumanDuration(max));
        let title = "Wait times requested by the provider";
        let mut chart = Chart::new(title, caption, longest, Unit::Time);
        self.bars(
            &mut chart,
            |slot| vec![("wait", slot.longest_wait_ms)],
            |slot| Unit::Time.label(slot.longest_wait_ms),
        );
        chart
    }

    /// Formats the length of a slot.
    fn slot_label(&self) -> String {
        Unit::Time.label(millis(self.length))
    }

    fn peak(&self, count: fn(&Slot) -> u64) -> u64 {
        self.slots.iter().map(count).max().unwrap_or(0)
    }

    fn bars(
        &self,
        chart: &mut Chart,
        parts: fn(&Slot) -> Vec<(&'static str, u64)>,
        tooltip: fn(&Slot) -> String,
    ) {
        let mut begin = 0;
        let bars = self.slots.iter().map(|slot| {
            let tooltip = format!("at {}: {}", Unit::Time.label(begin), tooltip(slot));
            begin += millis(self.length);
            ChartBar {
                parts: parts(slot),
                tooltip,
            }
        });
        chart.bars(&bars.collect::<Vec<_>>());
        self.label(chart);
    }

    /// Labels the x axis with the time since the first slot.
    fn label(&self, chart: &mut Chart) {
        let total = millis(self.length).saturating_mul(self.slots.len() as u64);
        for tick in ticks(total, Unit::Time) {
            let at = to_f64(tick) / to_f64(total).max(1.0);
            if at <= 1.0 {
                chart.label(at, &Unit::Time.label(tick));
            }
        }
    }
}

/// Counts the failed requests of a slot by kind.
fn failure_counts(slot: &Slot) -> String {
    format!(
        "{} rate limited, {}, {} with an unknown result",
        Count(slot.throttled),
        Plural(slot.other_failures, "other failure"),
        Count(slot.unknown)
    )
}

/// Draws a histogram of the latency, with its p50 and p95.
fn latency_histogram(histogram: &Histogram) -> Option<Chart> {
    let time = |percent| {
        let millis = histogram.percentile(percent).unwrap_or(0);
        HumanDuration(Duration::from_millis(millis)).to_string()
    };
    let caption = format!("p50 {}, p95 {}", time(50), time(95));
    histogram_chart("Latency distribution", caption, histogram, Unit::Time)
}

fn token_histogram(title: &str, histogram: &Histogram) -> Option<Chart> {
    let median = histogram.percentile(50)?;
    let [sum, median] = [histogram.sum(), median].map(Count);
    let caption = format!("{sum} in total, median {median}");
    histogram_chart(title, caption, histogram, Unit::Count)
}

/// Draws a histogram; `None` if it is empty.
fn histogram_chart(
    title: &str,
    caption: String,
    histogram: &Histogram,
    unit: Unit,
) -> Option<Chart> {
    let (smallest, largest) = histogram.range()?;
    let bounds = bounds(smallest, largest);
    let counts = histogram.counts_between(&bounds);
    let max = counts.iter().max().copied().unwrap_or(0);
    let mut chart = Chart::new(title, caption, max, Unit::Count);
    let pairs = bounds.windows(2).zip(&counts);
    let bars = pairs.map(|(pair, count)| {
        let (from, to) = (unit.label(pair[0]), unit.label(pair[1]));
        ChartBar {
            parts: vec![("done", *count)],
            tooltip: format!("{from} to {to}: {}", Count(*count)),
        }
    });
    chart.bars(&bars.collect::<Vec<_>>());
    let every = bounds.len().div_ceil(MAX_LABELS);
    for (bar, bound) in bounds.iter().enumerate().step_by(every) {
        chart.label(fraction(bar, counts.len()), &unit.label(*bound));
    }
    for percent in [50, 95] {
        let bar = bounds.partition_point(|bound| Some(*bound) <= histogram.percentile(percent));
        // The marker is at the center of its bar.
        let at = fraction(2 * bar - 1, 2 * counts.len());
        chart.marker(at, &format!("p{percent}"));
    }
    Some(chart)
}

fn fraction(part: usize, total: usize) -> f64 {
    to_f64(part as u64) / to_f64(total as u64).max(1.0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::history::FailedRequest;
    use crate::domain::time::Timestamp;
    use crate::domain::verdict::Scope;

    #[test]
    fn tooltips_of_failures_include_unknown_results() {
        let mut report = Report::default();
        report.add_failure(&FailedRequest {
            scope: Scope::Transient,
            unknown: true,
            status: None,
            wait_ms: None,
            key_label: String::new(),
            ended_at: Timestamp::from_millis(1_795_466_460_000),
            is_final: false,
        });
        let figures: String = charts(&report, 1).into_iter().map(Chart::figure).collect();
        let counts = "0 rate limited, 0 other failures, 1 with an unknown result";
        let tooltip = format!("<title>at 0: {counts}");
        assert!(figures.contains(&tooltip), "{figures}");
    }
}
