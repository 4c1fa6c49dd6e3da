//! The bar on a terminal. indicatif says when a frame is drawn, ten times a second at most, and
//! wipes the last one; what a frame shows is in `frame`.
//!
//! The hot path (one answered job) adds to a gauge; text is made when a frame is drawn.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle};

use super::event::RunEvent;
use super::frame::frame;
use super::gauge::Gauge;
use super::ink::Ink;
use super::terminal::{self, Terminal};
use super::wording;
use super::wrap::wrap;
use crate::clock::Clock;

/// How often a frame is drawn: so that times are counted down, and never more than ten a second.
const TICK: Duration = Duration::from_millis(125);

/// Draws a run on a terminal.
pub(super) struct Bar {
    terminal: Terminal,
    gauge: Arc<Mutex<Gauge>>,
    ink: Ink,
    clock: Clock,
    drawn: Option<ProgressBar>,
}

impl Bar {
    /// Makes a bar; it is drawn from the start of a run on.
    pub(super) fn new(terminal: Terminal, color: bool, clock: Clock) -> Self {
        Self {
            terminal,
            gauge: Arc::default(),
            ink: Ink { color },
            clock,
            drawn: None,
        }
    }

    pub(super) fn on(&mut self, event: &RunEvent) {
        {
            let mut gauge = self.gauge.lock().unwrap_or_else(PoisonError::into_inner);
            gauge.on(event, self.clock.now());
        }
        match event {
            RunEvent::Started { .. } => self.start(),
            RunEvent::Draining { .. } => self.draw(),
            _ => {}
        }
        if let Some(line) = wording::remark(event) {
            self.say(&line);
        }
    }

    fn start(&mut self) {
        self.finish();
        let target = ProgressDrawTarget::term_like(Box::new(self.terminal.clone()));
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(self.style())
            .with_finish(ProgressFinish::AndClear);
        bar.enable_steady_tick(TICK);
        terminal::set_drawn(Some(bar.clone()));
        self.drawn = Some(bar);
    }

    /// Leaves a line above the bar.
    fn say(&self, line: &str) {
        let line = wrap(line, 2, Some(self.terminal.columns().into()));
        let write = || self.terminal.line(&line);
        match &self.drawn {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn draw(&self) {
        if let Some(bar) = &self.drawn {
            bar.force_draw();
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.drawn.take() {
            terminal::set_drawn(None);
            bar.finish_and_clear();
        }
    }

    fn style(&self) -> ProgressStyle {
        let (gauge, terminal) = (Arc::clone(&self.gauge), self.terminal.clone());
        let (ink, clock) = (self.ink, self.clock);
        let draw = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let mut gauge = gauge.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock.now();
            gauge.tick(now);
            // A frame that cannot be written is a frame less.
            let _ = out.write_str(&frame(&gauge, terminal.columns().into(), ink, now));
        };
        ProgressStyle::with_template("{frame}")
            .expect("the template is constant and tested")
            .with_key("frame", draw)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;
    use crate::domain::job::JobId;

    const WIDTH: usize = 60;

    /// A terminal that shows what is written to it: rows of cells, a cursor, and the escape
    /// sequences that the bar uses.
    #[derive(Clone, Default)]
    struct Glass(Arc<Mutex<Cells>>);

    #[derive(Default)]
    struct Cells {
        rows: Vec<Vec<char>>,
        row: usize,
        column: usize,
    }

    impl Cells {
        fn write(&mut self, text: &str) {
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\r' => self.column = 0,
                    '\n' => self.row += 1,
                    '\u{1b}' => self.escape(&mut chars),
                    _ => self.put(c),
                }
            }
        }

        fn escape(&mut self, chars: &mut std::str::Chars<'_>) {
            assert_eq!(chars.next(), Some('['));
            let mut number = String::new();
            let last = loop {
                match chars.next().unwrap() {
                    digit @ '0'..='9' => number.push(digit),
                    last => break last,
                }
            };
            let number = number.parse().unwrap_or(1);
            match last {
                'A' => self.row -= number,
                'B' => self.row += number,
                'K' => self.here().clear(),
                other => panic!("no bar writes {other}"),
            }
        }

        fn here(&mut self) -> &mut Vec<char> {
            if self.rows.len() <= self.row {
                self.rows.resize(self.row + 1, Vec::new());
            }
            &mut self.rows[self.row]
        }

        fn put(&mut self, c: char) {
            if self.column == WIDTH {
                (self.row, self.column) = (self.row + 1, 0);
            }
            let column = self.column;
            let row = self.here();
            if row.len() <= column {
                row.resize(column + 1, ' ');
            }
            row[column] = c;
            self.column += 1;
        }
    }

    impl Write for Glass {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = std::str::from_utf8(bytes).unwrap();
            self.0.lock().unwrap().write(text);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Glass {
        fn bar(&self) -> Bar {
            let width = || u16::try_from(WIDTH).ok();
            let terminal = Terminal::new(Box::new(self.clone()), width);
            Bar::new(terminal, false, Clock::start())
        }

        /// What is on the glass now.
        fn shows(&self) -> Vec<String> {
            let cells = self.0.lock().unwrap();
            let rows = cells.rows.iter();
            let rows = rows.map(|row| row.iter().collect::<String>().trim_end().to_owned());
            rows.filter(|row| !row.is_empty()).collect()
        }

        /// What the terminal echoes when somebody presses Ctrl-C.
        fn echo(&self, text: &str) {
            self.0.lock().unwrap().write(text);
        }
    }

    fn started(bar: &mut Bar) {
        let (batch, total, settled) = ("jobs".to_owned(), 100, 0);
        bar.on(&RunEvent::Started {
            batch,
            total,
            settled,
        });
        // Frames are drawn when the test says so.
        bar.drawn.as_ref().unwrap().disable_steady_tick();
    }

    fn waiting(bar: &mut Bar) {
        bar.on(&RunEvent::Waiting {
            who: "key a".to_owned(),
            until: bar.clock.now() + Duration::from_secs(30),
            why: "rate limit".to_owned(),
        });
    }

    #[test]
    fn a_frame_replaces_the_last_one_whether_it_has_more_lines_or_fewer() {
        let glass = Glass::default();
        let mut bar = glass.bar();
        started(&mut bar);
        bar.draw();
        assert_eq!(glass.shows().len(), 1);
        bar.on(&RunEvent::InFlight { requests: 3 });
        waiting(&mut bar);
        bar.draw();
        bar.draw();
        let shown = glass.shows();
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert_eq!(shown[1..], [" 3 in flight", " key a: rate limit, 30s"]);
        bar.on(&RunEvent::GoesOn {
            who: "key a".to_owned(),
        });
        bar.draw();
        assert_eq!(glass.shows().len(), 2);
        bar.finish();
        assert_eq!(glass.shows(), [""; 0]);
    }

    #[test]
    fn an_echoed_interrupt_leaves_nothing_behind() {
        let glass = Glass::default();
        let mut bar = glass.bar();
        started(&mut bar);
        bar.on(&RunEvent::InFlight { requests: 3 });
        waiting(&mut bar);
        bar.draw();
        glass.echo("^C");
        bar.on(&RunEvent::Draining { in_flight: 3 });
        glass.echo("^C");
        bar.draw();
        let shown = glass.shows();
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert!(shown[2].starts_with(" stopping: 3 requests in flight"));
        glass.echo("^C");
        bar.finish();
        assert_eq!(glass.shows(), [""; 0]);
    }

    #[test]
    fn a_line_stands_above_the_bar_and_its_words_are_harmless() {
        let glass = Glass::default();
        let mut bar = glass.bar();
        started(&mut bar);
        bar.draw();
        bar.on(&RunEvent::KeySetAside {
            key: "free-2".to_owned(),
            reason: "and these \u{7}words fit on no single line".to_owned(),
            until: None,
        });
        bar.on(&RunEvent::Answered {
            job: JobId(1),
            latency: Duration::from_millis(5),
            prompt_tokens: 0,
            completion_tokens: 0,
            cost: None,
        });
        bar.draw();
        let shown = glass.shows();
        assert!(
            shown[0].starts_with("warning: key free-2 is set aside"),
            "{shown:#?}"
        );
        assert!(shown[1].contains("on no single line"), "{shown:#?}");
        assert!(
            shown[2].starts_with('─') && shown[2].contains(" 1/100 1%"),
            "{shown:#?}"
        );
        assert_eq!(shown[3..], [" price unknown"]);
    }

    #[test]
    fn no_event_comes_too_early_or_too_late() {
        let glass = Glass::default();
        let mut bar = glass.bar();
        waiting(&mut bar);
        started(&mut bar);
        started(&mut bar);
        bar.finish();
        bar.finish();
        bar.on(&RunEvent::Draining { in_flight: 1 });
        assert_eq!(glass.shows(), [""; 0]);
    }
}
