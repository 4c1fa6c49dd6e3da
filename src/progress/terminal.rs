//! The terminal on standard error, shared by the progress bar and all other output.
//!
//! The bar is drawn slightly narrower than the terminal, so that an echoed `^C` does not wrap and
//! is erased with the next frame.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use console::Term;
use indicatif::{ProgressBar, TermLike};

/// Columns left free on the right for `^C` and the cursor.
const MARGIN: u16 = 3;

/// The bar currently on the screen.
static ACTIVE_BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes whole lines to standard error, above an active progress bar.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let bar = ACTIVE_BAR.lock().unwrap_or_else(PoisonError::into_inner);
        match bar.as_ref() {
            Some(bar) => bar.suspend(|| io::stderr().write(lines)),
            None => io::stderr().write(lines),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Returns the width in columns of the terminal on standard error; `None` if it is not a terminal.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    let (_, columns) = Term::stderr().size_checked()?;
    Some(columns.into())
}

/// Sets the bar currently on the screen.
pub(super) fn set_active_bar(bar: Option<ProgressBar>) {
    *ACTIVE_BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// A terminal without the columns on the right that are left free.
#[derive(Clone, Debug)]
pub(super) struct Narrowed<T> {
    terminal: T,
    /// Whether the current line is complete, so that more text starts a new one.
    line_complete: Arc<AtomicBool>,
}

impl<T: TermLike> Narrowed<T> {
    pub(super) fn new(terminal: T) -> Self {
        Self {
            terminal,
            line_complete: Arc::default(),
        }
    }
}

/// indicatif pads each line with spaces to the full width and relies on the terminal to wrap there.
/// Because of the margin it does not wrap, so padding ends the line instead.
impl<T: TermLike> TermLike for Narrowed<T> {
    fn width(&self) -> u16 {
        self.terminal.width().saturating_sub(MARGIN).max(1)
    }

    fn height(&self) -> u16 {
        self.terminal.height()
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.terminal.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.terminal.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.terminal.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.terminal.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.terminal.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if text.trim_matches(' ').is_empty() {
            self.line_complete.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if self.line_complete.swap(false, Ordering::Relaxed) {
            self.terminal.write_line("")?;
        }
        self.terminal.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.terminal.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.line_complete.store(false, Ordering::Relaxed);
        self.terminal.flush()
    }
}
