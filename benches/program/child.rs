//! Runs child processes and measures their time, CPU time, and peak memory usage.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::work_dir::WorkDir;

/// How often a child process is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Number of clock ticks per second in `/proc`, which is the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU that child processes run on, in the format of `taskset`; any CPU if it is not set.
pub(crate) static CORE: OnceLock<String> = OnceLock::new();

/// The resources used by a child process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResourceUsage {
    /// Elapsed time in seconds.
    pub(crate) wall: f64,
    /// CPU time in seconds.
    pub(crate) cpu: f64,
    /// Peak memory usage in MB.
    pub(crate) peak: f64,
}

/// Runs promptmill in a directory with these arguments; panics if it fails.
pub(crate) fn promptmill(work_dir: &WorkDir, arguments: &str) -> ResourceUsage {
    let mut command = pinned(env!("CARGO_BIN_EXE_promptmill"));
    command
        .args(arguments.split(' '))
        .current_dir(work_dir.path(""))
        .env("PROMPTMILL_API_KEYS", "sk-bench-000001,sk-bench-000002")
        .env_remove("OPENAI_API_KEY");
    measure(command)
}

/// Runs this binary with these arguments.
pub(crate) fn this_binary(arguments: &[&str]) -> ResourceUsage {
    let program = std::env::current_exe().unwrap();
    let mut command = pinned(program.to_str().unwrap());
    command.args(arguments);
    measure(command)
}

/// Builds a command that runs on the CPU set in [`CORE`], if any.
fn pinned(program: &str) -> Command {
    let Some(core) = CORE.get() else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

/// Runs a command until it exits, and measures its resource usage. The memory usage is polled while
/// it runs. The CPU time is read once it is a zombie, before waiting for it.
fn measure(mut command: Command) -> ResourceUsage {
    let started_at = Instant::now();
    #[expect(
        clippy::zombie_processes,
        reason = "waited for, unless the benchmark panics"
    )]
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let proc_dir = format!("/proc/{}", child.id());
    let mut peak = 0.0;
    loop {
        let stat = fs::read_to_string(format!("{proc_dir}/stat")).unwrap();
        // The state follows the name in parentheses. The CPU times are 11 and 12 fields after the
        // state.
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        if fields[0] == "Z" {
            let wall = started_at.elapsed().as_secs_f64();
            let ticks = |at: usize| fields[at].parse::<f64>().unwrap() / TICKS_PER_SECOND;
            let cpu = ticks(11) + ticks(12);
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            // A run that reaches --max-runtime exits with code 4.
            assert!(matches!(output.status.code(), Some(0 | 4)), "{stderr}");
            return ResourceUsage { wall, cpu, peak };
        }
        let status = fs::read_to_string(format!("{proc_dir}/status")).unwrap_or_default();
        if let Some(kib) = peak_kib(&status) {
            peak = kib / 1000.0 * 1.024;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn peak_kib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
