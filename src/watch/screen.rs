//! The whole screen of a terminal, borrowed: it is given back at the end, also after a panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::{Receiver, channel};

use crate::domain::time::Timestamp;

use super::{Watch, draw};

/// How often the reader of keys looks whether it is still wanted.
const PULSE: Duration = Duration::from_millis(100);

/// What somebody at the keyboard wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To see no more.
    Quit,
    /// To see it again: the terminal has another size, or any key was pressed.
    Draw,
}

/// A terminal that is drawn on as a whole.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
    color: bool,
    wishes: Receiver<Wish>,
    ended: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal on standard output: what is on it comes back with [`Drop`], or when the
    /// program panics.
    pub fn take(color: bool) -> io::Result<Self> {
        let terminal = match ratatui::try_init() {
            Ok(terminal) => terminal,
            Err(error) => {
                // It may be half taken.
                let _ = ratatui::try_restore();
                return Err(error);
            }
        };
        let ended = Arc::new(AtomicBool::new(false));
        let (wish, wishes) = channel(8);
        let over = Arc::clone(&ended);
        // Nobody waits for its end: where the terminal has gone, it may have none.
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // A wish that nobody has taken yet is enough: more of them say no more.
                match next_wish() {
                    Ok(Some(Wish::Quit)) | Err(_) => {
                        let _ = wish.blocking_send(Wish::Quit);
                        break;
                    }
                    Ok(Some(Wish::Draw)) => drop(wish.try_send(Wish::Draw)),
                    Ok(None) => {}
                }
            }
        });
        Ok(Self {
            terminal,
            color,
            wishes,
            ended,
        })
    }

    /// Draws what was seen.
    pub fn draw(&mut self, watch: &Watch, now: Timestamp) -> io::Result<()> {
        let color = self.color;
        self.terminal.draw(|frame| draw(frame, watch, now, color))?;
        Ok(())
    }

    /// Waits for somebody to want something. A keyboard that has gone wants to quit.
    pub async fn wish(&mut self) -> Wish {
        self.wishes.recv().await.unwrap_or(Wish::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.wishes.close();
        // Nobody is there to be told.
        let _ = ratatui::try_restore();
    }
}

fn next_wish() -> io::Result<Option<Wish>> {
    if !event::poll(PULSE)? {
        return Ok(None);
    }
    Ok(wish(&event::read()?))
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            Some(match key.code {
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => Wish::Quit,
                KeyCode::Char('c' | 'd') if control => Wish::Quit,
                _ => Wish::Draw,
            })
        }
        Event::Resize(..) => Some(Wish::Draw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[track_caller]
    fn check(code: KeyCode, modifiers: KeyModifiers, expected: Wish) {
        let event = Event::Key(KeyEvent::new(code, modifiers));
        assert_eq!(wish(&event), Some(expected));
    }

    #[test]
    fn the_usual_keys_quit_and_no_other() {
        check(KeyCode::Char('q'), KeyModifiers::NONE, Wish::Quit);
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, Wish::Quit);
        check(KeyCode::Esc, KeyModifiers::NONE, Wish::Quit);
        check(KeyCode::Char('c'), KeyModifiers::NONE, Wish::Draw);
        check(KeyCode::Enter, KeyModifiers::NONE, Wish::Draw);
        assert_eq!(wish(&Event::Resize(80, 24)), Some(Wish::Draw));
        assert_eq!(wish(&Event::FocusLost), None);
    }
}
