//! The progress bar on a terminal. indicatif draws the frames; `frame` is their style.
//!
//! The hot path (one completed job) only updates the state; text is rendered once per frame.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, TermLike};

use super::event::RunEvent;
use super::frame;
use super::palette::Palette;
use super::state::RunState;
use super::terminal::{self, Narrowed};
use super::wording;
use super::wrap::wrap;
use crate::clock::Clock;

/// Interval between frames, short enough for countdowns.
const TICK: Duration = Duration::from_millis(125);

/// Draws a progress bar on a terminal.
pub(super) struct BarView<T: TermLike + Clone + 'static> {
    terminal: Narrowed<T>,
    state: Arc<Mutex<RunState>>,
    palette: Palette,
    clock: Clock,
    progress_bar: Option<ProgressBar>,
}

impl<T: TermLike + Clone> BarView<T> {
    /// Creates the view; the bar appears with the first `Started` event.
    pub(super) fn new(terminal: T, color: bool, clock: Clock) -> Self {
        // By default, indicatif uses color if standard output is a terminal.
        console::set_colors_enabled(color);
        Self {
            terminal: Narrowed::new(terminal),
            state: Arc::default(),
            palette: Palette { color },
            clock,
            progress_bar: None,
        }
    }

    pub(super) fn on(&mut self, event: &RunEvent) {
        let (settled, total) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.on(event, self.clock.now());
            (state.settled, state.total)
        };
        if matches!(event, RunEvent::Started { .. }) {
            let bar = self.progress_bar.take().unwrap_or_else(|| self.start());
            bar.set_length(total);
            self.progress_bar = Some(bar);
        }
        if let Some(bar) = &self.progress_bar {
            bar.set_position(settled);
        }
        if matches!(event, RunEvent::Draining { .. }) {
            self.draw();
        }
        if let Some(line) = wording::notice(event) {
            self.print(&wrap(&line, 2, Some(self.terminal.width().into())));
        }
    }

    fn start(&self) -> ProgressBar {
        let (terminal, clock) = (self.terminal.clone(), self.clock);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let view = move || (terminal.width().into(), clock.now());
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(frame::style(&self.state, self.palette, view))
            .with_finish(ProgressFinish::AndClear);
        bar.enable_steady_tick(TICK);
        terminal::set_active_bar(Some(bar.clone()));
        bar
    }

    /// Prints lines above the bar.
    pub(super) fn print(&self, lines: &str) {
        // A closed standard error must not stop the run.
        let write = || {
            for line in lines.lines() {
                let _ = self.terminal.write_line(line);
            }
            let _ = self.terminal.flush();
        };
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
}

impl<T: TermLike + Clone + 'static> Drop for BarView<T> {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    fn bar() -> (BarView<InMemoryTerm>, InMemoryTerm) {
        let terminal = InMemoryTerm::new(20, 60);
        let bar = BarView::new(terminal.clone(), false, Clock::start());
        (bar, terminal)
    }

    fn visible(terminal: &InMemoryTerm) -> Vec<String> {
        let shown = terminal.contents();
        shown.lines().map(str::to_owned).collect()
    }

    fn started(bar: &mut BarView<InMemoryTerm>) {
        bar.on(&RunEvent::started("jobs", 100, 0));
        // The tests draw every frame themselves.
        bar.progress_bar.as_ref().unwrap().disable_steady_tick();
    }

    fn waiting(bar: &mut BarView<InMemoryTerm>) {
        let until = bar.clock.now() + Duration::from_secs(30);
        bar.on(&RunEvent::waiting("key a", "rate limit", until));
    }

    #[test]
    fn a_frame_replaces_the_previous_one_with_any_number_of_lines() {
        let (mut bar, terminal) = bar();
        started(&mut bar);
        bar.draw();
        assert_eq!(visible(&terminal).len(), 1);
        bar.on(&RunEvent::InFlight { requests: 3 });
        waiting(&mut bar);
        bar.draw();
        bar.draw();
        let shown = visible(&terminal);
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert_eq!(shown[1..], [" 3 in flight", " key a: rate limit, 30s"]);
        let subject = "key a".to_owned();
        bar.on(&RunEvent::Resumed { subject });
        bar.draw();
        assert_eq!(visible(&terminal).len(), 2);
        bar.finish();
        assert_eq!(visible(&terminal), [""; 0]);
    }

    #[test]
    fn an_echoed_ctrl_c_is_erased() {
        let (mut bar, terminal) = bar();
        started(&mut bar);
        bar.on(&RunEvent::InFlight { requests: 3 });
        waiting(&mut bar);
        bar.draw();
        terminal.write_str("^C").unwrap();
        bar.on(&RunEvent::Draining { in_flight: 3 });
        terminal.write_str("^C").unwrap();
        bar.draw();
        let shown = visible(&terminal);
        assert_eq!(shown.len(), 3, "{shown:#?}");
        assert!(shown[2].starts_with(" stopping: 3 requests in flight"));
        terminal.write_str("^C").unwrap();
        bar.finish();
        assert_eq!(visible(&terminal), [""; 0]);
    }

    #[test]
    fn lines_are_printed_above_the_bar_and_escaped() {
        let (mut bar, terminal) = bar();
        started(&mut bar);
        bar.draw();
        let reason = "this \u{7}message is too long for one line";
        bar.on(&RunEvent::disabled("free-2", reason, None));
        bar.on(&RunEvent::completed(1, (0, 0), None));
        bar.draw();
        let shown = visible(&terminal);
        let warning = "warning: key free-2 is disabled";
        assert!(shown[0].starts_with(warning), "{shown:#?}");
        assert!(shown[1].contains("for one line"), "{shown:#?}");
        assert!(shown[2].contains("── 1/100 1%"), "{shown:#?}");
        assert_eq!(shown[3..], [" price unknown"]);
    }

    #[test]
    fn text_is_printed_above_the_bar_of_all_batches() {
        let (mut bar, terminal) = bar();
        started(&mut bar);
        started(&mut bar);
        bar.draw();
        bar.print("done: jobs\n\n  100 rows\n");
        bar.draw();
        let shown = visible(&terminal);
        assert_eq!(shown[..3], ["done: jobs", "", "  100 rows"]);
        assert!(shown[3].ends_with("─ 0/200 0%"), "{shown:#?}");
        assert_eq!(shown.len(), 4, "{shown:#?}");
    }

    #[test]
    fn events_before_the_start_and_after_the_end_are_ignored() {
        let (mut bar, terminal) = bar();
        waiting(&mut bar);
        started(&mut bar);
        started(&mut bar);
        bar.finish();
        bar.finish();
        bar.on(&RunEvent::Draining { in_flight: 1 });
        assert_eq!(visible(&terminal), [""; 0]);
    }
}
