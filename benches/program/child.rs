//! A child process, with what it used: time, processor time, and memory at the peak.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::folder::Folder;

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Clock ticks in a second, as `/proc` counts them on every Linux.
const TICKS: f64 = 100.0;

/// The processor that children run on, as `taskset` takes it; any when not set.
pub(crate) static CORE: OnceLock<String> = OnceLock::new();

/// What a child used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// From the start to the end, in seconds.
    pub(crate) wall: f64,
    /// On a processor, in seconds.
    pub(crate) cpu: f64,
    /// Memory at the peak, in MB.
    pub(crate) peak: f64,
}

/// Runs promptmill in a folder with these words; panics when it fails.
pub(crate) fn promptmill(folder: &Folder, words: &str) -> Usage {
    let mut command = pinned(env!("CARGO_BIN_EXE_promptmill"));
    command
        .args(words.split(' '))
        .current_dir(folder.path(""))
        .env("PROMPTMILL_API_KEYS", "sk-bench-000001,sk-bench-000002")
        .env_remove("OPENAI_API_KEY");
    measured(command)
}

/// Runs this binary with these words.
pub(crate) fn myself(words: &[&str]) -> Usage {
    let me = std::env::current_exe().unwrap();
    let mut command = pinned(me.to_str().unwrap());
    command.args(words);
    measured(command)
}

/// A command on the processor that [`CORE`] names, where it names one.
fn pinned(program: &str) -> Command {
    let Some(core) = CORE.get() else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

/// Runs a command to its end. Its memory is looked at while it runs, its processor time when it has
/// ended and before it is waited for.
fn measured(mut command: Command) -> Usage {
    let start = Instant::now();
    #[expect(
        clippy::zombie_processes,
        reason = "it is waited for, or the measurement ends"
    )]
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = format!("/proc/{}", child.id());
    let mut peak = 0.0;
    loop {
        let told = fs::read_to_string(format!("{folder}/stat")).unwrap();
        // Behind the name in brackets: the state, and the times as the 12th and 13th after it.
        let fields: Vec<_> = told
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        if fields[0] == "Z" {
            let wall = start.elapsed().as_secs_f64();
            let ticks = |at: usize| fields[at].parse::<f64>().unwrap() / TICKS;
            let cpu = ticks(11) + ticks(12);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            // Code 4: the time of a run was up.
            assert!(matches!(output.status.code(), Some(0 | 4)), "{said}");
            return Usage { wall, cpu, peak };
        }
        let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        if let Some(kib) = high_water(&status) {
            peak = kib / 1000.0 * 1.024;
        }
        thread::sleep(LOOK);
    }
}

fn high_water(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
