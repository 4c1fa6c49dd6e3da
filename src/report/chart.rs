//! Charts as SVG: lines at round numbers, bars in stacks, an area, markers. Their colors are the
//! page's; here are only places and the names of what is drawn.

use std::fmt::Write as _;

use super::escape::Html;
use super::ticks::{Unit, ticks};

/// The canvas and the plot in it, in the units of the drawing.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 428.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 162.0;

/// A chart that is being drawn.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    title: String,
    about: String,
    /// The number at the upper edge.
    top: f64,
    legend: String,
    drawing: String,
}

/// A bar: what is stacked in it, from below, each with the name of its color, and its tip.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) parts: Vec<(&'static str, u64)>,
    pub(super) tip: String,
}

impl Chart {
    /// Begins a chart; `about` is a sentence under its title. `most` is the largest number in it.
    pub(super) fn new(title: &str, about: String, most: u64, unit: Unit) -> Self {
        let ticks = ticks(most, unit);
        let top = number(ticks.last().copied().unwrap_or(1));
        let mut drawing = String::new();
        for tick in ticks {
            let y = height(number(tick), top);
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
            about,
            top,
            legend: String::new(),
            drawing,
        }
    }

    /// Says what a color stands for.
    pub(super) fn legend(&mut self, class: &str, text: &str) {
        let _ = write!(
            self.legend,
            "<span><i class=\"{class}\"></i>{}</span>",
            Html(text)
        );
    }

    /// Writes a label below the plot; 0 is its left edge, 1 its right edge.
    pub(super) fn label(&mut self, at: f64, text: &str) {
        let x = LEFT + at * (RIGHT - LEFT);
        let _ = write!(
            self.drawing,
            "<text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            BOTTOM + 16.0,
            Html(text),
        );
    }

    /// Draws bars side by side over the whole width.
    pub(super) fn bars(&mut self, bars: &[Bar]) {
        let step = (RIGHT - LEFT) / number(bars.len() as u64).max(1.0);
        let width = (step * 0.84).max(step - 3.0);
        let mut x = LEFT + (step - width) / 2.0;
        for bar in bars {
            let mut below = 0.0;
            let parts = bar.parts.iter().filter(|(_, count)| *count > 0);
            let mut rects = String::new();
            for (class, count) in parts {
                let (low, high) = (
                    height(below, self.top),
                    height(below + number(*count), self.top),
                );
                // What is there is seen, be it ever so little.
                let tall = (low - high).max(0.8);
                let _ = write!(
                    rects,
                    "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{:.1}\" width=\"{width:.2}\" \
                     height=\"{tall:.1}\"/>",
                    low - tall,
                );
                below += number(*count);
            }
            if !rects.is_empty() {
                let _ = write!(
                    self.drawing,
                    "<g><title>{}</title>{rects}</g>",
                    Html(&bar.tip)
                );
            }
            x += step;
        }
    }

    /// Draws a line through the heights, which stand at the right edges of slots side by side, and
    /// fills what is below it.
    pub(super) fn area(&mut self, class: &str, heights: &[u64]) {
        let step = (RIGHT - LEFT) / number(heights.len() as u64).max(1.0);
        let mut line = format!("M{LEFT:.1} {BOTTOM:.1}");
        let mut x = LEFT;
        for tall in heights {
            x += step;
            let _ = write!(line, "L{x:.1} {:.1}", height(number(*tall), self.top));
        }
        let _ = write!(
            self.drawing,
            "<path class=\"{class} fill\" d=\"{line}V{BOTTOM:.1}Z\"/>\
             <path class=\"{class} line\" d=\"{line}\"/>",
        );
    }

    /// Draws points at the middles of slots, joined where they follow each other; `None` is a gap.
    pub(super) fn line(&mut self, class: &str, heights: &[Option<u64>]) {
        let step = (RIGHT - LEFT) / number(heights.len() as u64).max(1.0);
        let (mut line, mut dots, mut drawn) = (String::new(), String::new(), false);
        let mut x = LEFT + step / 2.0;
        for tall in heights {
            if let Some(tall) = tall {
                let y = height(number(*tall), self.top);
                let _ = write!(line, "{}{x:.1} {y:.1}", if drawn { "L" } else { "M" });
                let _ = write!(
                    dots,
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\"/>"
                );
            }
            drawn = tall.is_some();
            x += step;
        }
        let _ = write!(
            self.drawing,
            "<path class=\"{class} line\" d=\"{line}\"/>{dots}"
        );
    }

    /// Draws an upright line with a word at its top; 0 is the left edge, 1 the right edge.
    pub(super) fn marker(&mut self, at: f64, text: &str) {
        let x = LEFT + at.clamp(0.0, 1.0) * (RIGHT - LEFT);
        let (class, aside) = if at > 0.85 {
            ("end", -4.0)
        } else {
            ("start", 4.0)
        };
        let _ = write!(
            self.drawing,
            "<line class=\"marker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text class=\"{class} mark\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + aside,
            TOP + 8.0,
            Html(text),
        );
    }

    /// Ends the chart and returns it as a figure of the page.
    pub(super) fn figure(self) -> String {
        let Self {
            title,
            about,
            legend,
            drawing,
            ..
        } = self;
        let legend = if legend.is_empty() {
            legend
        } else {
            format!("<div class=\"legend\">{legend}</div>")
        };
        let (title, about) = (Html(&title), Html(&about));
        format!(
            "<figure><figcaption><h3>{title}</h3><p>{about}</p>{legend}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}: {about}\">\
             {drawing}</svg></figure>\n"
        )
    }
}

/// Returns where a number is drawn.
fn height(number: f64, top: f64) -> f64 {
    BOTTOM - number / top * (BOTTOM - TOP)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a place in a drawing has three digits"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart::new("Answers", "a < b".to_owned(), 100, Unit::Count)
    }

    #[test]
    fn a_bar_is_as_tall_as_its_number() {
        let mut chart = chart();
        let bar = |done, failed| Bar {
            parts: vec![("done", done), ("failed", failed)],
            tip: format!("{done} & {failed}"),
        };
        chart.bars(&[bar(50, 25), bar(0, 0)]);
        let svg = chart.figure();
        assert!(
            svg.contains("class=\"done\" x=\"45.50\" y=\"87.0\" width=\"189.00\" height=\"75.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"failed\" x=\"45.50\" y=\"49.5\""),
            "{svg}"
        );
        assert_eq!(
            svg.matches("<rect").count(),
            2,
            "nothing is drawn for nothing"
        );
        assert!(svg.contains("<title>50 &amp; 25</title>"), "{svg}");
        assert!(svg.contains("<p>a &lt; b</p>"), "{svg}");
    }

    #[test]
    fn an_area_ends_at_the_right_edge_and_a_gap_is_a_gap() {
        let mut chart = chart();
        chart.area("done", &[50, 100]);
        chart.line("done", &[Some(100), None, Some(0), Some(0)]);
        let svg = chart.figure();
        assert!(
            svg.contains("d=\"M44.0 162.0L236.0 87.0L428.0 12.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("d=\"M92.0 12.0M284.0 162.0L380.0 162.0\""),
            "{svg}"
        );
    }

    #[test]
    fn a_marker_stays_in_the_picture() {
        let mut chart = chart();
        chart.marker(7.0, "p99");
        let svg = chart.figure();
        assert!(
            svg.contains("x1=\"428.0\"") && svg.contains("class=\"end mark\""),
            "{svg}"
        );
    }
}
