//! Support for tests of the built binary: a temporary directory, a simulated provider, and the
//! program.

mod program;
mod results;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use promptmill::simulator::{Config, SimulatorThread, start_on_own_thread};
use tempfile::TempDir;

pub(crate) use program::{FinishedProgram, RunningProgram, TIMEOUT};
pub(crate) use results::CsvResults;

/// The default API key of a test environment.
pub(crate) const KEY: &str = "sk-test-key-0123456789abcdef";

/// A temporary directory with a simulated provider.
pub(crate) struct TestEnv {
    dir: TempDir,
    pub(crate) provider: SimulatorThread,
    environment: Vec<(String, String)>,
}

impl TestEnv {
    /// Creates an empty directory and starts a provider.
    pub(crate) fn new(config: Config) -> Self {
        let provider = start_on_own_thread(config.record()).unwrap();
        let environment = vec![
            ("PROMPTMILL_BASE_URL".to_owned(), provider.base_url()),
            ("PROMPTMILL_API_KEYS".to_owned(), KEY.to_owned()),
            // Most tests check the summary, which is not printed by default without a terminal.
            ("PROMPTMILL_SUMMARY".to_owned(), "always".to_owned()),
        ];
        Self {
            dir: TempDir::new().unwrap(),
            provider,
            environment,
        }
    }

    /// Starts a provider without faults, and writes `jobs.csv` with this number of rows.
    pub(crate) fn with_rows(rows: usize) -> Self {
        let env = Self::new(Config::default());
        env.write("jobs.csv", &jobs(rows));
        env
    }

    /// Sets the API keys.
    pub(crate) fn keys(self, keys: &[&str]) -> Self {
        self.set_var("PROMPTMILL_API_KEYS", &keys.join(","))
    }

    /// Sets an environment variable for all commands; an empty value unsets it.
    pub(crate) fn set_var(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Returns the path of the directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a new file with this mode.
    pub(crate) fn write_with_mode(&self, name: &str, mode: u32, text: &str) {
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create_new(true).mode(mode);
        let mut file = options.open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Reads a results file.
    pub(crate) fn results(&self, name: &str) -> CsvResults {
        CsvResults::parse(&self.read(name))
    }

    /// Returns the sorted names of all files.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }

    /// Returns the number of requests that the provider has received.
    pub(crate) fn requests(&self) -> u64 {
        self.provider.request_log().requests
    }

    /// Builds a command from space-separated arguments. Its environment contains only `PATH` and
    /// the variables set here.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptmill"));
        command
            .args(args.split_whitespace())
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Builds a command that runs the program with a resource limit, set by the shell's `ulimit`.
    pub(crate) fn command_with_ulimit(&self, limit: &str, args: &str) -> Command {
        let program = self.command(args);
        let mut command = Command::new("/bin/bash");
        command
            .arg("-c")
            .arg(format!("ulimit {limit}; exec \"$0\" \"$@\""))
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir(self.dir())
            .env_clear();
        for (name, value) in program.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    /// Runs the program until it exits.
    #[track_caller]
    pub(crate) fn run(&self, args: &str) -> FinishedProgram {
        self.start(args).finish()
    }

    /// Runs the program until it exits, with this text on standard input.
    #[track_caller]
    pub(crate) fn run_with_input(&self, args: &str, input: &str) -> FinishedProgram {
        RunningProgram::start(self.command(args), input).finish()
    }

    /// Starts the program without waiting for it.
    #[track_caller]
    pub(crate) fn start(&self, args: &str) -> RunningProgram {
        RunningProgram::start(self.command(args), "")
    }

    /// Waits until the provider has received this number of requests.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, requests: u64) {
        let received = self.provider.wait_for_requests(requests, TIMEOUT);
        assert!(
            received,
            "the provider received {} of {requests} requests",
            self.requests()
        );
    }

    /// Waits until the provider has sent this number of responses.
    #[track_caller]
    pub(crate) fn wait_for_responses(&self, responses: u64) {
        let sent = self.provider.wait_for_responses(responses, TIMEOUT);
        assert!(sent, "the provider sent fewer than {responses} responses");
    }
}

/// Returns the content of an input file with this number of rows: an ID, a unique prompt, and a
/// note.
pub(crate) fn jobs(rows: usize) -> String {
    let mut text = "id,prompt,note\n".to_owned();
    for row in 1..=rows {
        writeln!(text, "{row},{},\"note, {row}\"", question(row)).unwrap();
    }
    text
}

/// Returns the prompt of a row, starting at 1.
pub(crate) fn question(row: usize) -> String {
    format!("question {row}")
}
