//! What the tests of the built binary stand on: a folder, a provider, and the program run in it.
//!
//! Nothing in here knows what a test expects; it starts things, waits for them and reads them.

mod program;
mod sheet;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use promptmill::simulator::{Config, SimulatorThread, start_on_own_thread};
use tempfile::TempDir;

pub(crate) use program::{PATIENCE, Ran, Running};
pub(crate) use sheet::Sheet;

/// The key that a scene uses when a test names none.
pub(crate) const KEY: &str = "sk-scene-key-0123456789abcdef";

/// A folder of its own, and a provider to ask.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) provider: SimulatorThread,
    environment: Vec<(String, String)>,
}

impl Scene {
    /// Starts a provider as `config` says, beside an empty folder.
    pub(crate) fn new(config: Config) -> Self {
        let provider = start_on_own_thread(config.record()).unwrap();
        let environment = vec![
            ("PROMPTMILL_BASE_URL".to_owned(), provider.base_url()),
            ("PROMPTMILL_API_KEYS".to_owned(), KEY.to_owned()),
            // Nobody looks on here, and yet most tests want to read how it went.
            ("PROMPTMILL_SUMMARY".to_owned(), "always".to_owned()),
        ];
        Self {
            folder: TempDir::new().unwrap(),
            provider,
            environment,
        }
    }

    /// Starts a provider that answers everything, beside a file `jobs.csv` of so many rows.
    pub(crate) fn with_rows(rows: usize) -> Self {
        let scene = Self::new(Config::default());
        scene.write("jobs.csv", &jobs(rows));
        scene
    }

    /// Uses these keys.
    pub(crate) fn keys(self, keys: &[&str]) -> Self {
        self.set("PROMPTMILL_API_KEYS", &keys.join(","))
    }

    /// Sets an environment variable for every command; an empty value takes it away.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a new file that has this mode.
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

    /// Reads results.
    pub(crate) fn sheet(&self, name: &str) -> Sheet {
        Sheet::read(&self.read(name))
    }

    /// Returns the names of all files, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }

    /// Returns how many requests the provider has seen.
    pub(crate) fn requests(&self) -> u64 {
        self.provider.ledger().requests
    }

    /// Makes a command of words parted by blanks, with no environment but ours.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptmill"));
        command
            .args(words.split_whitespace())
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Makes the command of a shell that sets a limit, in the words of `ulimit`, and becomes the
    /// program.
    pub(crate) fn limited(&self, limit: &str, words: &str) -> Command {
        let plain = self.command(words);
        let mut command = Command::new("/bin/bash");
        command
            .arg("-c")
            .arg(format!("ulimit {limit}; exec \"$0\" \"$@\""))
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(self.folder())
            .env_clear();
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, words: &str) -> Ran {
        self.start(words).finish()
    }

    /// Runs the program to its end, with this text on its standard input.
    #[track_caller]
    pub(crate) fn pipe(&self, words: &str, input: &str) -> Ran {
        Running::start(self.command(words), input).finish()
    }

    /// Starts the program.
    #[track_caller]
    pub(crate) fn start(&self, words: &str) -> Running {
        Running::start(self.command(words), "")
    }

    /// Waits until the provider has seen so many requests.
    #[track_caller]
    pub(crate) fn wait_for(&self, requests: u64) {
        let seen = self.provider.wait_for(requests, PATIENCE);
        assert!(seen, "{} of {requests} requests have come", self.requests());
    }

    /// Waits until the provider has given so many responses.
    #[track_caller]
    pub(crate) fn wait_for_answered(&self, responses: u64) {
        let given = self.provider.wait_for_answered(responses, PATIENCE);
        assert!(given, "fewer than {responses} responses were given");
    }
}

/// Returns a file of so many rows: an id, a prompt that is like no other, and a column besides.
pub(crate) fn jobs(rows: usize) -> String {
    let mut text = "id,prompt,note\n".to_owned();
    for row in 1..=rows {
        writeln!(text, "{row},{},\"note, {row}\"", question(row)).unwrap();
    }
    text
}

/// Returns the prompt of a row, counted from 1.
pub(crate) fn question(row: usize) -> String {
    format!("question {row}")
}
