//! Runs the built binary in random scenarios: faults, keys, limits, kills, signals, full disks, and
//! changes of the input between runs. At the end, every row must have its expected result.
//! `scripts/swarm 1000` runs a thousand rounds.
//!
//! The environment variables `ROUNDS` and `SEED` set the number of rounds and the first seed. A
//! failed round prints its seed, which reproduces its scenario, except for timing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed setup fails the test, and --nocapture shows the progress"
)]

#[path = "swarm/scenario.rs"]
mod scenario;
#[expect(dead_code, reason = "other test targets use the rest")]
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use scenario::Scenario;
use support::{FinishedProgram, RunningProgram, TestEnv, jobs, question};

/// Default number of rounds.
const ROUNDS: u64 = 20;

/// Number of rounds that run concurrently.
const THREADS: u64 = 4;

/// The possible exit codes of a run that is not terminated by a signal.
const EXIT_CODES: [i32; 10] = [0, 3, 4, 69, 73, 74, 75, 77, 130, 143];

/// Maximum number of disturbed runs per round.
const MAX_RUNS: usize = 6;

#[expect(
    clippy::disallowed_methods,
    reason = "these variables only configure this test"
)]
fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One round with a log of its events, which is printed if it fails.
struct Round {
    scenario: Scenario,
    env: TestEnv,
    rng: Rng,
    rows: usize,
    /// Whether the attempts of some requests are no longer counted, because rows were removed or
    /// retried.
    attempts_reset: bool,
    events: Vec<String>,
}

impl Drop for Round {
    fn drop(&mut self) {
        if thread::panicking() {
            let Scenario { seed, .. } = self.scenario;
            println!(
                "reproduce with SEED={seed} ROUNDS=1:\n  {}",
                self.events.join("\n  ")
            );
        }
    }
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let scenario = Scenario::random(seed, &mut rng);
        let env = scenario.test_env();
        let rows = rng.usize(20..=90);
        env.write("jobs.csv", &jobs(rows));
        Self {
            scenario,
            env,
            rng,
            rows,
            attempts_reset: false,
            events: Vec::new(),
        }
    }

    /// Runs the whole round, and checks the final state.
    fn run_all(mut self) {
        for _ in 0..self.rng.usize(1..=MAX_RUNS) {
            self.run_disturbed();
            self.act_between_runs();
        }
        self.scenario.stop_faults();
        self.finish();
        self.check();
    }

    /// Runs the batch; the run is killed, interrupted, suspended or otherwise disturbed.
    fn run_disturbed(&mut self) {
        let args = self.scenario.random_args(&mut self.rng);
        let choice = self.rng.usize(0..9);
        self.events.push(format!("{args} ({choice})"));
        let mut run = match choice {
            0 => {
                let size = fs::metadata(self.env.path("promptmill.db"));
                let kib = size.map_or(0, |file| file.len() / 1024) + self.rng.u64(0..200);
                RunningProgram::start(
                    self.env.command_with_ulimit(&format!("-f {kib}"), &args),
                    "",
                )
            }
            _ => self.env.start(&args),
        };
        self.wait_briefly();
        let output = match choice {
            1..=3 => run.kill(),
            4 => {
                run.signal_if_running(Signal::TERM);
                run.finish()
            }
            5 => {
                run.signal_if_running(Signal::INT);
                self.wait_briefly();
                run.signal_if_running(Signal::INT);
                run.finish()
            }
            6 => {
                run.signal_if_running(Signal::STOP);
                self.wait_briefly();
                run.signal_if_running(Signal::CONT);
                run.finish()
            }
            7 => {
                let second = self.env.run(&args);
                self.check_exit(&args, &second);
                run.finish()
            }
            _ => run.finish(),
        };
        self.check_exit(&args, &output);
    }

    /// Waits for a few more requests, or for some milliseconds.
    fn wait_briefly(&mut self) {
        let more = self.env.requests() + self.rng.u64(0..40);
        let timeout = Duration::from_millis(self.rng.u64(1..150));
        let _ = self.env.provider.wait_for_requests(more, timeout);
    }

    /// Edits the input or runs a random command between two runs.
    fn act_between_runs(&mut self) {
        let choice = self.rng.usize(0..8);
        // The database or the batch may not exist yet.
        let codes = [0, 66];
        match choice {
            0 => {
                self.rows = self.rng.usize(20..=90);
                self.env.write("jobs.csv", &jobs(self.rows));
                self.attempts_reset = true;
                self.events
                    .push(format!("the input now has {} rows", self.rows));
            }
            1 => self.run_expecting("retry jobs.csv", &codes),
            2 => self.run_expecting("status --json", &codes),
            3 => self.run_expecting("export jobs.csv -o other.csv", &codes),
            4 => self.run_expecting("verify", &codes),
            5 => self.run_expecting("keys reset", &codes),
            _ => {}
        }
        self.attempts_reset |= choice == 1;
    }

    /// Runs a command and checks that it exits with one of these codes.
    fn run_expecting(&mut self, args: &str, codes: &[i32]) {
        self.events.push(args.to_owned());
        let output = self.env.run(args);
        let code = output.status.code().unwrap_or(-1);
        let (status, stderr) = (output.status, &output.stderr);
        assert!(codes.contains(&code), "{args}: {status}\n{stderr}");
        self.check_no_key(args, output.stderr.as_bytes());
    }

    /// Checks that a run has an allowed exit status, and reports no internal error and no key.
    fn check_exit(&self, args: &str, output: &FinishedProgram) {
        let code = output.status.code();
        // Before the first request, a signal terminates the process at once.
        let allowed = match code {
            Some(code) => EXIT_CODES.contains(&code),
            None => output
                .status
                .signal()
                .is_some_and(|signal| [2, 9, 15].contains(&signal)),
        };
        assert!(allowed, "{args}: {}\n{}", output.status, output.stderr);
        assert!(
            !output.stderr.contains("internal error in promptmill"),
            "{}",
            output.stderr
        );
        self.check_no_key(args, output.stdout.as_bytes());
        self.check_no_key(args, output.stderr.as_bytes());
    }

    /// Completes the batch without disturbance, and retries rows that failed because of injected
    /// faults.
    fn finish(&mut self) {
        let run = "run jobs.csv -o out.csv --id-column id --max-outage 20s --max-wait 20s";
        self.run_expecting("keys reset", &[0, 66]);
        self.run_expecting(run, &[0, 3]);
        self.check_attempts();
        self.run_expecting("retry jobs.csv", &[0]);
        let some_failed = self.scenario.bad_rows_within(self.rows) > 0;
        self.run_expecting(run, &[if some_failed { 3 } else { 0 }]);
    }

    /// Checks the results, that another run sends nothing, and that no key or partial file remains.
    fn check(&self) {
        let results = self.env.results("out.csv");
        assert_eq!(results.len(), self.rows);
        for row in 1..=self.rows {
            let prompt = question(row);
            let cells = ["id", "prompt", "note"].map(|name| results.cell(row, name).to_owned());
            assert_eq!(
                cells,
                [row.to_string(), prompt.clone(), format!("note, {row}")]
            );
            let (status, response) = (results.cell(row, "status"), results.cell(row, "response"));
            if self.scenario.is_bad(row) {
                assert_eq!((status, response), ("failed", ""), "{prompt}");
            } else {
                let start = format!("Simulated answer to \"{prompt}\" (");
                assert!(
                    status == "done" && response.starts_with(&start),
                    "{prompt}: {status}, {response}"
                );
            }
        }
        let verify = "verify jobs.csv -o out.csv";
        self.env.run(verify).exits(0);
        let requests = self.env.requests();
        self.env
            .run("run jobs.csv -o out.csv --id-column id")
            .stderr_contains("nothing to do");
        assert_eq!(
            self.env.requests(),
            requests,
            "requests were sent although all rows were done or had failed"
        );
        for name in self.env.files() {
            self.check_no_key(&name, &fs::read(self.env.path(&name)).unwrap());
        }
        let files = self.env.files();
        let leftovers = files
            .iter()
            .filter(|name| name.contains(".spool") || name.contains(".part"));
        assert_eq!(leftovers.count(), 0, "{files:?}");
    }

    /// Checks that every request was counted, unless attempts were reset (I4).
    fn check_attempts(&self) {
        if self.attempts_reset {
            return;
        }
        let counted = self.env.results("out.csv").sum("attempts");
        let seen = self.env.requests();
        assert!(seen <= counted, "{seen} requests, but {counted} attempts");
    }

    fn check_no_key(&self, place: &str, bytes: &[u8]) {
        for key in &self.scenario.keys {
            let marker = &key.as_bytes()[4..];
            let found = bytes.windows(marker.len()).any(|part| part == marker);
            assert!(
                !found,
                "part of {key} found in {place}:\n{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}

#[test]
fn every_row_has_its_expected_result_after_random_disturbances() {
    let rounds = number_from_env("ROUNDS").unwrap_or(ROUNDS);
    let seed = number_from_env("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{rounds} rounds with SEED={seed}");
    // More threads than cores are useful, because rounds mostly wait.
    thread::scope(|scope| {
        for first in 0..THREADS {
            let own_rounds = (first..rounds).step_by(usize::try_from(THREADS).unwrap());
            scope.spawn(move || {
                // The first round uses the seed unchanged, so that a failed round can be repeated
                // alone.
                own_rounds.for_each(|round| Round::new(seed.wrapping_add(round)).run_all());
            });
        }
    });
}
