//! The alternate screen of a terminal. The terminal is restored at the end and after a panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::{Receiver, channel};

use crate::domain::time::Timestamp;

use super::{WatchState, draw};

/// How often the keyboard thread checks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Input from the keyboard or the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserInput {
    /// Quit.
    Quit,
    /// Redraw: the terminal was resized, or another key was pressed.
    Redraw,
}

/// A terminal in full-screen mode.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
    color: bool,
    inputs: Receiver<UserInput>,
    stopped: Arc<AtomicBool>,
}

impl Screen {
    /// Switches the terminal on standard output to the alternate screen. [`Drop`] and panics
    /// restore it.
    pub fn open(color: bool) -> io::Result<Self> {
        let terminal = match ratatui::try_init() {
            Ok(terminal) => terminal,
            Err(error) => {
                // The terminal may be partly initialized.
                let _ = ratatui::try_restore();
                return Err(error);
            }
        };
        let stopped = Arc::new(AtomicBool::new(false));
        let (input, inputs) = channel(8);
        let stop = Arc::clone(&stopped);
        // The thread is not joined: it may block forever if the terminal is gone.
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match next_input() {
                    Ok(Some(UserInput::Quit)) | Err(_) => {
                        let _ = input.blocking_send(UserInput::Quit);
                        break;
                    }
                    // If the channel is full, a redraw is already pending.
                    Ok(Some(UserInput::Redraw)) => drop(input.try_send(UserInput::Redraw)),
                    Ok(None) => {}
                }
            }
        });
        Ok(Self {
            terminal,
            color,
            inputs,
            stopped,
        })
    }

    /// Draws the state.
    pub fn draw(&mut self, watch: &WatchState, now: Timestamp) -> io::Result<()> {
        let color = self.color;
        self.terminal.draw(|frame| draw(frame, watch, now, color))?;
        Ok(())
    }

    /// Waits for input. Returns `Quit` if the terminal is gone.
    pub async fn input(&mut self) -> UserInput {
        self.inputs.recv().await.unwrap_or(UserInput::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.inputs.close();
        // An error cannot be reported at this point.
        let _ = ratatui::try_restore();
    }
}

fn next_input() -> io::Result<Option<UserInput>> {
    if !event::poll(POLL_INTERVAL)? {
        return Ok(None);
    }
    Ok(input(&event::read()?))
}

fn input(event: &Event) -> Option<UserInput> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            Some(match key.code {
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => UserInput::Quit,
                KeyCode::Char('c' | 'd') if control => UserInput::Quit,
                _ => UserInput::Redraw,
            })
        }
        Event::Resize(..) => Some(UserInput::Redraw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[track_caller]
    fn check(code: KeyCode, modifiers: KeyModifiers, expected: UserInput) {
        let event = Event::Key(KeyEvent::new(code, modifiers));
        assert_eq!(input(&event), Some(expected));
    }

    #[test]
    fn only_the_usual_keys_quit() {
        check(KeyCode::Char('q'), KeyModifiers::NONE, UserInput::Quit);
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, UserInput::Quit);
        check(KeyCode::Esc, KeyModifiers::NONE, UserInput::Quit);
        check(KeyCode::Char('c'), KeyModifiers::NONE, UserInput::Redraw);
        check(KeyCode::Enter, KeyModifiers::NONE, UserInput::Redraw);
        assert_eq!(input(&Event::Resize(80, 24)), Some(UserInput::Redraw));
        assert_eq!(input(&Event::FocusLost), None);
    }
}
