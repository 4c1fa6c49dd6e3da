//! Running the program: starting it, sending signals, waiting, and reading its output.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Maximum time to wait for an event before the test fails.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// The output and exit status of a program.
pub(crate) struct FinishedProgram {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl FinishedProgram {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self { status, stderr, .. } = &self;
        assert_eq!(status.code(), Some(code), "{status}:\n{stderr}");
        self
    }

    /// Asserts that standard error contains a text.
    #[track_caller]
    pub(crate) fn stderr_contains(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} not found in:\n{}",
            self.stderr
        );
        self
    }

    /// Asserts that standard output and standard error are empty.
    #[track_caller]
    pub(crate) fn prints_nothing(self) -> Self {
        assert_eq!((self.stdout.as_str(), self.stderr.as_str()), ("", ""));
        self
    }

    /// Parses standard output, a single line of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A running program. It is killed when dropped.
pub(crate) struct RunningProgram {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
    stdout: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
}

impl RunningProgram {
    /// Starts a command and writes `input` to its standard input.
    #[track_caller]
    pub(crate) fn start(mut command: Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Some tests expect the program to exit before it has read everything.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (stderr, mut stdout) = (child.stderr.take().unwrap(), child.stdout.take().unwrap());
        let (line, lines) = channel();
        let (whole, stdout_text) = channel();
        let readers = vec![
            thread::spawn(move || {
                for text in BufReader::new(stderr).lines() {
                    let _ = line.send(text.unwrap());
                }
            }),
            thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).unwrap();
                let _ = whole.send(text);
            }),
        ];
        Self {
            child,
            lines,
            stderr: String::new(),
            stdout: stdout_text,
            readers,
        }
    }

    /// Waits for a line on standard error that contains `text`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(TIMEOUT) else {
                panic!("no line contains {text:?}:\n{}", self.stderr);
            };
            self.append(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal, unless the program has exited.
    #[allow(dead_code, reason = "only some test targets use it")]
    pub(crate) fn signal_if_running(&mut self, signal: Signal) {
        if self.child.try_wait().unwrap().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Monitors the memory usage until the program exits. The thread returns the maximum in KiB.
    #[allow(dead_code, reason = "only some test targets use it")]
    pub(crate) fn peak_memory(&self) -> JoinHandle<u64> {
        let status = format!("/proc/{}/status", self.child.id());
        thread::spawn(move || {
            let mut peak = 0;
            while let Ok(text) = std::fs::read_to_string(&status) {
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                // A zombie process has no such line.
                let Some(line) = line else { break };
                peak = line.trim().trim_end_matches(" kB").parse().unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            peak
        })
    }

    /// Kills the program with SIGKILL, unless it has already exited.
    #[track_caller]
    pub(crate) fn kill(mut self) -> FinishedProgram {
        self.child.kill().unwrap();
        self.finish()
    }

    /// Waits until the program exits.
    #[track_caller]
    pub(crate) fn finish(mut self) -> FinishedProgram {
        loop {
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) => self.append(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the program has not exited:\n{}", self.stderr)
                }
            }
        }
        let stdout = self.stdout.recv_timeout(TIMEOUT).unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        FinishedProgram {
            status: self.child.wait().unwrap(),
            stdout,
            stderr: std::mem::take(&mut self.stderr),
        }
    }

    fn append(&mut self, line: &str) {
        self.stderr.push_str(line);
        self.stderr.push('\n');
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        // This has no effect if the program has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
