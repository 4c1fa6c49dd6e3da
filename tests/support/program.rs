//! The program as a process: started, told, waited for, and read when it has ended.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a test waits for what must come at once, before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A process that has ended.
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Holds it to an exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self { status, stderr, .. } = &self;
        assert_eq!(status.code(), Some(code), "{status}; it said:\n{stderr}");
        self
    }

    /// Holds standard error to a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no {text:?} in:\n{}",
            self.stderr
        );
        self
    }

    /// Holds both streams to silence.
    #[track_caller]
    pub(crate) fn keeps_silent(self) -> Self {
        assert_eq!((self.stdout.as_str(), self.stderr.as_str()), ("", ""));
        self
    }

    /// Reads the one line of JSON on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A process that runs. It is killed when a test leaves it behind.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
    stdout: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a command, gives it `input` and ends its standard input.
    #[track_caller]
    pub(crate) fn start(mut command: Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that ends before it has read all is what some tests are about.
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

    /// Waits for a line on standard error that holds `text`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} came after:\n{}", self.stderr);
            };
            self.keep(&line);
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

    /// Sends a signal, unless it has ended.
    #[allow(
        dead_code,
        reason = "only some of the tests disturb what may have ended"
    )]
    pub(crate) fn signal_if_running(&mut self, signal: Signal) {
        if self.child.try_wait().unwrap().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Watches how much memory it takes until it ends; returns the most, in KiB.
    #[allow(dead_code, reason = "only some of the tests look at memory")]
    pub(crate) fn peak_memory(&self) -> JoinHandle<u64> {
        let status = format!("/proc/{}/status", self.child.id());
        thread::spawn(move || {
            let mut peak = 0;
            while let Ok(text) = std::fs::read_to_string(&status) {
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                // One that has ended and was not waited for has none.
                let Some(line) = line else { break };
                peak = line.trim().trim_end_matches(" kB").parse().unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            peak
        })
    }

    /// Ends the process as a power loss would, unless it has just ended by itself.
    #[track_caller]
    pub(crate) fn kill(mut self) -> Ran {
        self.child.kill().unwrap();
        self.finish()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ran {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.keep(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it runs on after:\n{}", self.stderr),
            }
        }
        let stdout = self.stdout.recv_timeout(PATIENCE).unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ran {
            status: self.child.wait().unwrap(),
            stdout,
            stderr: std::mem::take(&mut self.stderr),
        }
    }

    fn keep(&mut self, line: &str) {
        self.stderr.push_str(line);
        self.stderr.push('\n');
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended takes no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
