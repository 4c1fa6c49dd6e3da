//! Somebody who reads the documents and types what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use promptmill::simulator::{
    Config, Personality, SAMPLE_KEY, SimulatorThread, start_on_own_thread,
};
use tempfile::TempDir;

use crate::root;

/// Where the documents ask a provider in the world.
const WORLD: &str = "https://api.chatanywhere.tech/v1";

/// A folder as a reader has it: the example, `promptmill` on the path, and a key in a file. The
/// provider in the world is a simulated one.
pub(crate) struct Desk {
    folder: TempDir,
    provider: SimulatorThread,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_promptmill"), bin.join("promptmill"))
            .unwrap();
        fs::copy(
            root().join("jobs.example.csv"),
            folder.path().join("jobs.example.csv"),
        )
        .unwrap();
        let free = Config::default().personality(Personality::GptApiFree);
        let desk = Self {
            folder,
            provider: start_on_own_thread(free).unwrap(),
        };
        desk.write("free.key", SAMPLE_KEY);
        let only_ours = fs::Permissions::from_mode(0o600);
        fs::set_permissions(desk.folder.path().join("free.key"), only_ours).unwrap();
        desk
    }

    /// Writes a file of a document.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let text = text.replace(WORLD, &self.provider.base_url());
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Runs a line in a shell that knows no setting of whoever runs the tests.
    pub(crate) fn types(&self, line: &str) -> Output {
        let bin = self.folder.path().join("bin");
        let line = line.replace(WORLD, &self.provider.base_url());
        Command::new("/bin/sh")
            .args(["-c", &line])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", self.folder.path())
            .output()
            .unwrap()
    }
}
