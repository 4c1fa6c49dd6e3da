//! A directory in which the commands of the documentation are run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use promptmill::simulator::{
    Config, Personality, SAMPLE_KEY, SimulatorThread, start_on_own_thread,
};
use tempfile::TempDir;

use crate::root;

/// Base URL of a real provider in the documentation; replaced by the simulated one.
const REAL_BASE_URL: &str = "https://api.chatanywhere.tech/v1";

/// A directory with the example file, a key file, and `promptmill` in the search path. Requests go
/// to a simulated provider.
pub(crate) struct Sandbox {
    dir: TempDir,
    provider: SimulatorThread,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_promptmill"), bin.join("promptmill"))
            .unwrap();
        fs::copy(
            root().join("jobs.example.csv"),
            dir.path().join("jobs.example.csv"),
        )
        .unwrap();
        let free = Config::default().personality(Personality::GptApiFree);
        let sandbox = Self {
            dir,
            provider: start_on_own_thread(free).unwrap(),
        };
        sandbox.write("free.key", SAMPLE_KEY);
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(sandbox.dir.path().join("free.key"), private).unwrap();
        sandbox
    }

    /// Writes a file with content from the documentation.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let text = text.replace(REAL_BASE_URL, &self.provider.base_url());
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// Runs a command line in a shell with an empty environment.
    pub(crate) fn run(&self, line: &str) -> Output {
        let bin = self.dir.path().join("bin");
        let line = line.replace(REAL_BASE_URL, &self.provider.base_url());
        Command::new("/bin/sh")
            .args(["-c", &line])
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", self.dir.path())
            .output()
            .unwrap()
    }
}
