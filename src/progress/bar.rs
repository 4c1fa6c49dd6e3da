//! The progress bar on a terminal. indicatif schedules the frames and erases the previous one;
//! `frame` renders them.
//!
//! The hot path (one completed job) only updates the state; text is rendered once per frame.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle};

use super::event::RunEvent;
use super::frame::frame;
use super::palette::Palette;
use super::state::RunState;
use super::terminal::{self, Terminal};
use super::wording;
use super::wrap::wrap;
use crate::clock::Clock;

/// Interval between frames, short enough for countdowns.
const TICK: Duration = Duration::from_millis(125);

/// Draws a progress bar on a terminal.
pub(super) struct BarView {
    terminal: Terminal,
    state: Arc<Mutex<RunState>>,
    palette: Palette,
    clock: Clock,
    progress_bar: Option<ProgressBar>,
}

impl BarView {
    /// Creates the view; the bar appears with the first `Started` event.
    pub(super) fn new(terminal: Terminal, color: bool, clock: Clock) -> Self {
        Self {
            terminal,
            state: Arc::default(),
            palette: Palette { color },
            clock,
            progress_bar: None,
        }
    }

    pub(super) fn on(&mut self, event: &RunEvent) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.on(event, self.clock.now());
        }
        match event {
            RunEvent::Started { .. } => self.start(),
            RunEvent::Draining { .. } => self.draw(),
            _ => {}
        }
        if let Some(line) = wording::notice(event) {
            self.print(&line);
        }
    }

    fn start(&mut self) {
        self.finish();
        let target = ProgressDrawTarget::term_like(Box::new(self.terminal.clone()));
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(self.style())
            .with_finish(ProgressFinish::AndClear);
        bar.enable_steady_tick(TICK);
        terminal::set_active_bar(Some(bar.clone()));
        self.progress_bar = Some(bar);
    }

    /// Prints a line above the bar.
    fn print(&self, line: &str) {
        let line = wrap(line, 2, Some(self.terminal.columns().into()));
        let write = || self.terminal.write_lines(&line);
        match &self.progress_bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn draw(&self) {
        if let Some(bar) = &self.progress_bar {
            bar.force_draw();
        }
    }

    /// Removes the bar from the screen.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.progress_bar.take() {
            terminal::set_active_bar(None);
            bar.finish_and_clear();
        }
    }

    fn style(&self) -> ProgressStyle {
        let (state, terminal) = (Arc::clone(&self.state), self.terminal.clone());
        let (palette, clock) = (self.palette, self.clock);
        let draw = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock.now();
            state.tick(now);
            // A failed write only loses this frame.
            let _ = out.write_str(&frame(&state, terminal.columns().into(), palette, now));
        };
        ProgressStyle::with_template("{frame}")
            .expect("the template is constant and tested")
            .with_key("frame", draw)
    }
}

impl Drop for BarView {
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

    /// A terminal emulator that supports the escape sequences of the bar.
    #[derive(Clone, Default)]
    struct TestTerminal(Arc<Mutex<Grid>>);

    #[derive(Default)]
    struct Grid {
        rows: Vec<Vec<char>>,
        row: usize,
        column: usize,
    }

    impl Grid {
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
                'K' => self.current_row().clear(),
                other => panic!("unexpected escape sequence {other}"),
            }
        }

        fn current_row(&mut self) -> &mut Vec<char> {
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
            let row = self.current_row();
            if row.len() <= column {
                row.resize(column + 1, ' ');
            }
            row[column] = c;
            self.column += 1;
        }
    }

    impl Write for TestTerminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = std::str::from_utf8(bytes).unwrap();
            self.0.lock().unwrap().write(text);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl TestTerminal {
        fn bar(&self) -> BarView {
            let width = || u16::try_from(WIDTH).ok();
            let terminal = Terminal::new(Box::new(self.clone()), width);
            BarView::new(terminal, false, Clock::start())
        }

        /// Returns the visible lines.
        fn visible(&self) -> Vec<String> {
            let grid = self.0.lock().unwrap();
            let rows = grid.rows.iter();
            let rows = rows.map(|row| row.iter().collect::<String>().trim_end().to_owned());
            rows.filter(|row| !row.is_empty()).collect()
        }

        /// Echoes typed text, such as `^C`.
        fn echo(&self, text: &str) {
            self.0.lock().unwrap().write(text);
        }
    }

    fn started(bar: &mut BarView) {
        let (batch, total, settled) = ("jobs".to_owned(), 100, 0);
        bar.on(&RunEvent::Started {
            batch,
            total,
            settled,
        });
        // The tests draw every frame themselves.
        bar.progress_bar.as_ref().unwrap().disable_steady_tick();
    }

    fn waiting(bar: &mut BarView) {
        bar.on(&RunEvent::Waiting {
            subject: "key a".to_owned(),
            until: bar.clock.now() + Duration::from_secs(30),
            reason: "rate limit".to_owned(),
        });
    }

    #[test]
    fn a_frame_replaces_the_previous_one_with_any_number_of_lines() {
        let terminal = TestTerminal::default();
        let mut bar = terminal.bar();
        started(&mut bar);
        bar.draw();
        assert_eq!(terminal.visible().len(), 1);
        bar.on(&RunEvent::InFlight { requests: 3 });
        waiting(&mut bar);
        bar.draw();
        bar.draw();
        let shown = terminal.visible();
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert_eq!(shown[1..], [" 3 in flight", " key a: rate limit, 30s"]);
        bar.on(&RunEvent::Resumed {
            subject: "key a".to_owned(),
        });
        bar.draw();
        assert_eq!(terminal.visible().len(), 2);
        bar.finish();
        assert_eq!(terminal.visible(), [""; 0]);
    }

    #[test]
    fn an_echoed_ctrl_c_is_erased() {
        let terminal = TestTerminal::default();
        let mut bar = terminal.bar();
        started(&mut bar);
        bar.on(&RunEvent::InFlight { requests: 3 });
        waiting(&mut bar);
        bar.draw();
        terminal.echo("^C");
        bar.on(&RunEvent::Draining { in_flight: 3 });
        terminal.echo("^C");
        bar.draw();
        let shown = terminal.visible();
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert!(shown[2].starts_with(" stopping: 3 requests in flight"));
        terminal.echo("^C");
        bar.finish();
        assert_eq!(terminal.visible(), [""; 0]);
    }

    #[test]
    fn lines_are_printed_above_the_bar_and_escaped() {
        let terminal = TestTerminal::default();
        let mut bar = terminal.bar();
        started(&mut bar);
        bar.draw();
        bar.on(&RunEvent::KeyDisabled {
            key: "free-2".to_owned(),
            reason: "this \u{7}message is too long for one line".to_owned(),
            until: None,
        });
        bar.on(&RunEvent::Completed {
            job: JobId(1),
            latency: Duration::from_millis(5),
            prompt_tokens: 0,
            completion_tokens: 0,
            cost: None,
        });
        bar.draw();
        let shown = terminal.visible();
        assert!(
            shown[0].starts_with("warning: key free-2 is disabled"),
            "{shown:#?}"
        );
        assert!(shown[1].contains("for one line"), "{shown:#?}");
        assert!(
            shown[2].starts_with('─') && shown[2].contains(" 1/100 1%"),
            "{shown:#?}"
        );
        assert_eq!(shown[3..], [" price unknown"]);
    }

    #[test]
    fn events_before_the_start_and_after_the_end_are_ignored() {
        let terminal = TestTerminal::default();
        let mut bar = terminal.bar();
        waiting(&mut bar);
        started(&mut bar);
        started(&mut bar);
        bar.finish();
        bar.finish();
        bar.on(&RunEvent::Draining { in_flight: 1 });
        assert_eq!(terminal.visible(), [""; 0]);
    }
}
