//! A terminal of its own for the program: what is drawn on it is read, keys are pressed on it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::time::Instant;

use crate::support::PATIENCE;

/// A program that runs on a terminal. It is killed when a test leaves it behind.
pub(crate) struct Pty {
    child: Child,
    keyboard: File,
    /// Held open, so that the terminal outlives the program.
    terminal: Option<File>,
    pieces: Receiver<Vec<u8>>,
    drawn: Vec<u8>,
}

impl Pty {
    /// Starts a command whose three streams are a terminal of this size; `None` on a machine
    /// that has no terminals to give.
    #[track_caller]
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Option<Self> {
        let opened = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY);
        let Ok(master) = opened.and_then(|master| grantpt(&master).map(|()| master)) else {
            return None;
        };
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let name = name.into_string().unwrap();
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        // The command holds the terminal as well.
        drop(command);
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let (piece, pieces) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last one to close the terminal ends it with an error.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                if piece.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            child,
            keyboard,
            terminal: Some(terminal),
            pieces,
            drawn: Vec::new(),
        })
    }

    /// Waits until this is to be seen.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shows().contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(piece) = self.pieces.recv_timeout(left) else {
                panic!("no {text:?} in:\n{}", self.shows());
            };
            self.drawn.extend(piece);
        }
    }

    /// Returns what is to be seen now.
    fn shows(&self) -> String {
        let mut glass = Glass::default();
        glass.write(&self.text());
        glass.shows()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Tells whether lines are edited and keys are echoed, as a shell wants it.
    pub(crate) fn is_usual(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for the end, and returns how it ended, what is to be seen then, and all that was drawn.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (ExitStatus, String, String) {
        let status = self.child.wait().unwrap();
        assert!(self.is_usual(), "the terminal is given back");
        drop(self.terminal.take());
        while let Ok(piece) = self.pieces.recv_timeout(PATIENCE) {
            self.drawn.extend(piece);
        }
        (status, self.shows(), self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.drawn).into_owned()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // One that has ended takes no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows of what is written to it: rows of signs, and the escape sequences that
/// move about and wipe. It is as wide and as high as need be.
#[derive(Default)]
struct Glass {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Glass {
    fn write(&mut self, text: &str) {
        let mut signs = text.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\u{1b}' => self.escape(&mut signs),
                _ => self.put(sign),
            }
        }
    }

    /// Carries out a sequence; one that was cut off does nothing.
    fn escape(&mut self, signs: &mut std::str::Chars<'_>) {
        if signs.next() != Some('[') {
            return;
        }
        let mut numbers = String::new();
        let Some(last) = signs.find(|sign| {
            numbers.push(*sign);
            sign.is_ascii_alphabetic()
        }) else {
            return;
        };
        numbers.pop();
        let mut numbers = numbers.split(';').map(|number| number.parse().ok());
        let mut number = || numbers.next().flatten();
        match last {
            'A' => self.row = self.row.saturating_sub(number().unwrap_or(1)),
            'B' => self.row += number().unwrap_or(1),
            'C' => self.column += number().unwrap_or(1),
            'D' => self.column = self.column.saturating_sub(number().unwrap_or(1)),
            'H' => {
                self.row = number().unwrap_or(1) - 1;
                self.column = number().unwrap_or(1) - 1;
            }
            'J' => self.rows.clear(),
            'K' => self.here().clear(),
            _ => {}
        }
    }

    fn here(&mut self) -> &mut Vec<char> {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
        &mut self.rows[self.row]
    }

    fn put(&mut self, sign: char) {
        let column = self.column;
        let row = self.here();
        if row.len() <= column {
            row.resize(column + 1, ' ');
        }
        row[column] = sign;
        self.column += 1;
    }

    fn shows(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.collect::<Vec<_>>().join("\n")
    }
}
