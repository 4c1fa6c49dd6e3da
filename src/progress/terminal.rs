//! The terminal on standard error, shared by the bar and by everybody who writes a line to it.
//!
//! The bar is drawn here a little narrower than the terminal, so that a `^C` that the terminal
//! echoes behind it wraps nowhere and is wiped with the next frame.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, TermLike};

/// Columns at the right that the bar leaves free: `^C`, and the cursor behind it.
const MARGIN: u16 = 3;

/// The width where nothing tells.
const USUAL_WIDTH: u16 = 80;

/// The bar that is on the screen now, if there is one.
static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Standard error, for whole lines: each makes the bar step aside and stands above it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match lock(&DRAWN).as_ref() {
            Some(bar) => bar.suspend(|| io::stderr().write(lines)),
            None => io::stderr().write(lines),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Returns the columns of the terminal on standard error; `None` when it is none.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    stderr_width().map(usize::from)
}

fn stderr_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Notes which bar is on the screen.
pub(super) fn set_drawn(bar: Option<ProgressBar>) {
    *lock(&DRAWN) = bar;
}

/// A place where a bar is drawn: the terminal, or in tests something like it.
#[derive(Clone)]
pub(super) struct Terminal {
    shared: Arc<Mutex<Screen>>,
    width: fn() -> Option<u16>,
}

struct Screen {
    out: Box<dyn Write + Send>,
    /// What is written when the frame is whole: a half frame is never seen.
    pending: String,
    /// Whether the line that was begun is ended.
    ended: bool,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal {
    /// Returns the terminal that standard error is.
    pub(super) fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), stderr_width)
    }

    pub(super) fn new(out: Box<dyn Write + Send>, width: fn() -> Option<u16>) -> Self {
        let (pending, ended) = (String::new(), false);
        let screen = Screen {
            out,
            pending,
            ended,
        };
        Self {
            shared: Arc::new(Mutex::new(screen)),
            width,
        }
    }

    /// Returns the columns that a frame may take.
    pub(super) fn columns(&self) -> u16 {
        let width = (self.width)().unwrap_or(USUAL_WIDTH);
        width.saturating_sub(MARGIN).max(1)
    }

    /// Writes a line, or several; the bar has been taken off.
    pub(super) fn line(&self, text: &str) {
        let mut screen = lock(&self.shared);
        // Nobody reads it any more: the run goes on all the same.
        let _ = screen
            .out
            .write_all(format!("{}\r\n", text.replace('\n', "\r\n")).as_bytes());
    }

    fn push(&self, text: &str) {
        lock(&self.shared).pending.push_str(text);
    }
}

/// indicatif writes each line, and then the spaces that fill it up to the width, and counts on the
/// terminal to wrap there. With the margin it does not: what is spaces only ends a line instead.
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
        let mut screen = lock(&self.shared);
        if text.trim_matches(' ').is_empty() {
            screen.ended = true;
            return Ok(());
        }
        if std::mem::take(&mut screen.ended) {
            screen.pending.push_str("\r\n");
        }
        screen.pending.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut screen = lock(&self.shared);
        screen.ended = false;
        let frame = std::mem::take(&mut screen.pending);
        screen.out.write_all(frame.as_bytes())?;
        screen.out.flush()
    }
}

/// A thread that panicked while it drew leaves nothing behind that another could not draw over.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
