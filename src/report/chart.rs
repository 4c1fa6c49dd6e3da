//! SVG charts: grid lines, stacked bars, areas, lines and markers. Colors come from the style
//! sheet.

use std::fmt::Write as _;

use super::escape::Html;
use super::ticks::{Unit, ticks};

/// Size of the canvas and bounds of the plot area, in SVG units.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 428.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 162.0;

/// A chart under construction.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    title: String,
    caption: String,
    /// Value at the upper edge.
    top: f64,
    legend: String,
    drawing: String,
}

/// A stacked bar: its parts from bottom to top, each with a CSS class, and its tooltip.
#[derive(Clone, Debug)]
pub(super) struct ChartBar {
    pub(super) parts: Vec<(&'static str, u64)>,
    pub(super) tooltip: String,
}

impl Chart {
    /// Creates a chart with a caption below its title. `max` is its largest value.
    pub(super) fn new(title: &str, caption: String, max: u64, unit: Unit) -> Self {
        let ticks = ticks(max, unit);
        let top = to_f64(ticks.last().copied().unwrap_or(1));
        let mut drawing = String::new();
        for tick in ticks {
            let y = y_of(to_f64(tick), top);
            let class = if tick == 0 { "base" } else { "grid" };
            let _ = write!(
                drawing,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 3.5,
                Html(&unit.label(tick)),
            );
        }
        Self {
            title: title.to_owned(),
            caption,
            top,
            legend: String::new(),
            drawing,
        }
    }

    /// Adds a legend entry.
    pub(super) fn legend(&mut self, class: &str, text: &str) {
        let text = Html(text);
        let _ = write!(self.legend, "<span><i class=\"{class}\"></i>{text}</span>");
    }

    /// Adds a label below the plot; `at` ranges from 0 (left edge) to 1 (right edge).
    pub(super) fn label(&mut self, at: f64, text: &str) {
        let x = LEFT + at * (RIGHT - LEFT);
        let _ = write!(
            self.drawing,
            "<text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            BOTTOM + 16.0,
            Html(text),
        );
    }

    /// Draws bars side by side across the full width.
    pub(super) fn bars(&mut self, bars: &[ChartBar]) {
        let step = (RIGHT - LEFT) / to_f64(bars.len() as u64).max(1.0);
        let width = (step * 0.84).max(step - 3.0);
        let mut x = LEFT + (step - width) / 2.0;
        for bar in bars {
            let mut below = 0.0;
            let parts = bar.parts.iter().filter(|(_, count)| *count > 0);
            let mut rects = String::new();
            for (class, count) in parts {
                let value = to_f64(*count);
                let [low, high] = [below, below + value].map(|value| y_of(value, self.top));
                // Keep small values visible.
                let height = (low - high).max(0.8);
                let _ = write!(
                    rects,
                    "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{:.1}\" width=\"{width:.2}\" \
                     height=\"{height:.1}\"/>",
                    low - height,
                );
                below += value;
            }
            if !rects.is_empty() {
                let title = Html(&bar.tooltip);
                let _ = write!(self.drawing, "<g><title>{title}</title>{rects}</g>");
            }
            x += step;
        }
    }

    /// Draws a line through the values, at the right edges of equal slots, and fills the area
    /// below.
    pub(super) fn area(&mut self, class: &str, values: &[u64]) {
        let step = (RIGHT - LEFT) / to_f64(values.len() as u64).max(1.0);
        let mut line = format!("M{LEFT:.1} {BOTTOM:.1}");
        let mut x = LEFT;
        for value in values {
            x += step;
            let _ = write!(line, "L{x:.1} {:.1}", y_of(to_f64(*value), self.top));
        }
        let _ = write!(
            self.drawing,
            "<path class=\"{class} fill\" d=\"{line}V{BOTTOM:.1}Z\"/>\
             <path class=\"{class} line\" d=\"{line}\"/>",
        );
    }

    /// Draws points at the centers of equal slots and connects adjacent ones; `None` is a gap.
    pub(super) fn line(&mut self, class: &str, values: &[Option<u64>]) {
        let step = (RIGHT - LEFT) / to_f64(values.len() as u64).max(1.0);
        let (mut line, mut dots, mut drawn) = (String::new(), String::new(), false);
        let mut x = LEFT + step / 2.0;
        for value in values {
            if let Some(value) = value {
                let y = y_of(to_f64(*value), self.top);
                let _ = write!(line, "{}{x:.1} {y:.1}", if drawn { "L" } else { "M" });
                let _ = write!(
                    dots,
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\"/>"
                );
            }
            drawn = value.is_some();
            x += step;
        }
        let _ = write!(
            self.drawing,
            "<path class=\"{class} line\" d=\"{line}\"/>{dots}"
        );
    }

    /// Draws a vertical line with a label; `at` ranges from 0 (left edge) to 1 (right edge).
    pub(super) fn marker(&mut self, at: f64, text: &str) {
        let x = LEFT + at.clamp(0.0, 1.0) * (RIGHT - LEFT);
        let (class, offset) = if at > 0.85 {
            ("end", -4.0)
        } else {
            ("start", 4.0)
        };
        let _ = write!(
            self.drawing,
            "<line class=\"marker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text class=\"{class} mark\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + offset,
            TOP + 8.0,
            Html(text),
        );
    }

    /// Renders the chart as an HTML figure.
    pub(super) fn figure(self) -> String {
        let (legend, drawing) = (self.legend, self.drawing);
        let legend = if legend.is_empty() {
            legend
        } else {
            format!("<div class=\"legend\">{legend}</div>")
        };
        let (title, caption) = (Html(&self.title), Html(&self.caption));
        format!(
            "<figure><figcaption><h3>{title}</h3><p>{caption}</p>{legend}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}: {caption}\">\
             {drawing}</svg></figure>\n"
        )
    }
}

/// Returns the y coordinate of a value.
fn y_of(value: f64, top: f64) -> f64 {
    BOTTOM - value / top * (BOTTOM - TOP)
}

#[expect(clippy::cast_precision_loss, reason = "coordinates need three digits")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart::new("Responses", "a < b".to_owned(), 100, Unit::Count)
    }

    #[track_caller]
    fn check(svg: &str, part: &str) {
        assert!(svg.contains(part), "{svg}");
    }

    #[test]
    fn bar_heights_are_proportional_to_values() {
        let mut chart = chart();
        let bar = |done, failed| ChartBar {
            parts: vec![("done", done), ("failed", failed)],
            tooltip: format!("{done} & {failed}"),
        };
        chart.bars(&[bar(50, 25), bar(0, 0)]);
        let svg = chart.figure();
        let done = "class=\"done\" x=\"45.50\" y=\"87.0\" width=\"189.00\" height=\"75.0\"";
        check(&svg, done);
        check(&svg, "class=\"failed\" x=\"45.50\" y=\"49.5\"");
        assert_eq!(svg.matches("<rect").count(), 2, "zero values are not drawn");
        check(&svg, "<title>50 &amp; 25</title>");
        check(&svg, "<p>a &lt; b</p>");
    }

    #[test]
    fn areas_end_at_the_right_edge_and_lines_have_gaps() {
        let mut chart = chart();
        chart.area("done", &[50, 100]);
        chart.line("done", &[Some(100), None, Some(0), Some(0)]);
        let svg = chart.figure();
        check(&svg, "d=\"M44.0 162.0L236.0 87.0L428.0 12.0\"");
        check(&svg, "d=\"M92.0 12.0M284.0 162.0L380.0 162.0\"");
    }

    #[test]
    fn markers_are_clamped_to_the_plot() {
        let mut chart = chart();
        chart.marker(7.0, "p99");
        let svg = chart.figure();
        check(&svg, "x1=\"428.0\"");
        check(&svg, "class=\"end mark\"");
    }
}
