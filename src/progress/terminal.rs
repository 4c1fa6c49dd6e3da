//! The terminal on standard error, shared by the progress bar and all other output.
//!
//! The bar is drawn slightly narrower than the terminal, so that an echoed `^C` does not wrap and
//! is erased with the next frame.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, TermLike};

/// Columns left free on the right for `^C` and the cursor.
const MARGIN: u16 = 3;

/// Width if the terminal does not report one.
const DEFAULT_WIDTH: u16 = 80;

/// The bar currently on the screen.
static ACTIVE_BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes whole lines to standard error, above an active progress bar.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match lock(&ACTIVE_BAR).as_ref() {
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
    stderr_width().map(usize::from)
}

fn stderr_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Sets the bar currently on the screen.
pub(super) fn set_active_bar(bar: Option<ProgressBar>) {
    *lock(&ACTIVE_BAR) = bar;
}

/// The target of the progress bar: a terminal, or a test double.
#[derive(Clone)]
pub(super) struct Terminal {
    buffer: Arc<Mutex<FrameBuffer>>,
    width: fn() -> Option<u16>,
}

/// Collects a frame and writes it at once, so that partial frames are never visible.
struct FrameBuffer {
    out: Box<dyn Write + Send>,
    pending: String,
    /// Whether the current line is complete, so that more text starts a new one.
    line_complete: bool,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal {
    /// Returns the terminal on standard error.
    pub(super) fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), stderr_width)
    }

    pub(super) fn new(out: Box<dyn Write + Send>, width: fn() -> Option<u16>) -> Self {
        let buffer = FrameBuffer {
            out,
            pending: String::new(),
            line_complete: false,
        };
        Self {
            buffer: Arc::new(Mutex::new(buffer)),
            width,
        }
    }

    /// Returns the available width of a frame, in columns.
    pub(super) fn columns(&self) -> u16 {
        let width = (self.width)().unwrap_or(DEFAULT_WIDTH);
        width.saturating_sub(MARGIN).max(1)
    }

    /// Writes one or more lines. The bar must be suspended.
    pub(super) fn write_lines(&self, text: &str) {
        let mut buffer = lock(&self.buffer);
        // A closed standard error must not stop the run.
        let _ = buffer
            .out
            .write_all(format!("{}\r\n", text.replace('\n', "\r\n")).as_bytes());
    }

    fn push(&self, text: &str) {
        lock(&self.buffer).pending.push_str(text);
    }
}

/// indicatif pads each line with spaces to the full width and relies on the terminal to wrap there.
/// Because of the margin it does not wrap, so padding ends the line instead.
impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.columns()
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        if lines > 0 {
            self.push(&format!("\u{1b}[{lines}A"));
        }
        Ok(())
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        if lines > 0 {
            self.push(&format!("\u{1b}[{lines}B"));
        }
        Ok(())
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        if columns > 0 {
            self.push(&format!("\u{1b}[{columns}C"));
        }
        Ok(())
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        if columns > 0 {
            self.push(&format!("\u{1b}[{columns}D"));
        }
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(text);
        self.push("\r\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut buffer = lock(&self.buffer);
        if text.trim_matches(' ').is_empty() {
            buffer.line_complete = true;
            return Ok(());
        }
        if std::mem::take(&mut buffer.line_complete) {
            buffer.pending.push_str("\r\n");
        }
        buffer.pending.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut buffer = lock(&self.buffer);
        buffer.line_complete = false;
        let frame = std::mem::take(&mut buffer.pending);
        buffer.out.write_all(frame.as_bytes())?;
        buffer.out.flush()
    }
}

/// Locks a mutex, ignoring poisoning: the next frame overwrites a partial one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
