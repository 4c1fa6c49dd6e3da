//! Runs the program in a pseudoterminal, reads its output and sends keys.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::time::Instant;

use crate::support::TIMEOUT;

/// A program running in a pseudoterminal. Killed on drop.
pub(crate) struct Pty {
    child: Child,
    keyboard: File,
    /// Kept open, so that its mode can be read after the program has exited.
    terminal: Option<File>,
    chunks: Receiver<Vec<u8>>,
    output: Vec<u8>,
}

impl Pty {
    /// Starts a command in a terminal of this size. Returns `None` if no pseudoterminal is
    /// available.
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
        // The command also keeps the terminal open.
        drop(command);
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let (chunk, chunks) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Reading fails once the terminal is closed.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                if chunk.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            child,
            keyboard,
            terminal: Some(terminal),
            chunks,
            output: Vec::new(),
        })
    }

    /// Waits until the screen contains a text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + TIMEOUT;
        while !self.screen().contains(text) {
            let remaining = until.saturating_duration_since(Instant::now());
            let Ok(chunk) = self.chunks.recv_timeout(remaining) else {
                panic!("{text:?} not found on the screen:\n{}", self.screen());
            };
            self.output.extend(chunk);
        }
    }

    /// Returns the current screen content.
    fn screen(&self) -> String {
        let mut emulator = Emulator::default();
        emulator.write(&self.text());
        emulator.text()
    }

    /// Sends key presses.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Returns whether line editing and echo are enabled, as a shell expects.
    pub(crate) fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for the program to exit. Returns its status, the final screen, and the complete
    /// output.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (ExitStatus, String, String) {
        let status = self.child.wait().unwrap();
        assert!(self.is_cooked(), "the terminal mode was not restored");
        drop(self.terminal.take());
        while let Ok(chunk) = self.chunks.recv_timeout(TIMEOUT) {
            self.output.extend(chunk);
        }
        (status, self.screen(), self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // This has no effect if the program has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A minimal terminal emulator of unlimited size: text, cursor movement and erasing.
#[derive(Default)]
struct Emulator {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Emulator {
    fn write(&mut self, text: &str) {
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\u{1b}' => self.escape(&mut characters),
                _ => self.put(character),
            }
        }
    }

    /// Executes an escape sequence; ignores an incomplete one.
    fn escape(&mut self, characters: &mut std::str::Chars<'_>) {
        if characters.next() != Some('[') {
            return;
        }
        let mut numbers = String::new();
        let Some(last) = characters.find(|character| {
            numbers.push(*character);
            character.is_ascii_alphabetic()
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
            'K' => self.current_row().clear(),
            _ => {}
        }
    }

    fn current_row(&mut self) -> &mut Vec<char> {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
        &mut self.rows[self.row]
    }

    fn put(&mut self, character: char) {
        let column = self.column;
        let row = self.current_row();
        if row.len() <= column {
            row.resize(column + 1, ' ');
        }
        row[column] = character;
        self.column += 1;
    }

    fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.collect::<Vec<_>>().join("\n")
    }
}
