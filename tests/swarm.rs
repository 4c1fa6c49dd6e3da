//! Runs the built binary through worlds drawn by chance: faults, keys, limits, kills, signals, full
//! disks, edits of the input between runs. Whatever happened, in the end every row has what it is to
//! have. `scripts/swarm 1000` does it a thousand times.
//!
//! `ROUNDS` and `SEED` in the environment say how many and with which dice. A round that fails names
//! its own seed: with that and one round it plays the same world again, but for the machine's moments.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set its scene has failed, and --nocapture shows how far it is"
)]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;
// A world: its rows, its keys, its faults, and how it is asked.
#[path = "swarm/world.rs"]
mod world;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;

use support::{Ran, Running, Scene, jobs, question};
use world::World;

/// Rounds where nobody says how many.
const ROUNDS: u64 = 20;

/// Rounds that are played at once.
const THREADS: u64 = 4;

/// The codes with which a run may end, whatever was done to it but for SIGKILL.
const CODES: [i32; 10] = [0, 3, 4, 69, 73, 74, 75, 77, 130, 143];

/// The most disturbed runs of a round.
const MOST_RUNS: usize = 6;

#[expect(
    clippy::disallowed_methods,
    reason = "the two numbers are for this test alone"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One round, and what it has done so far: a failure shows it.
struct Round {
    world: World,
    scene: Scene,
    dice: Rng,
    rows: usize,
    /// Whether attempts of before may be forgotten: rows were taken away, or made pending again.
    forgets: bool,
    story: Vec<String>,
}

impl Drop for Round {
    fn drop(&mut self) {
        if thread::panicking() {
            let World { seed, .. } = self.world;
            println!(
                "SEED={seed} ROUNDS=1 plays it again:\n  {}",
                self.story.join("\n  ")
            );
        }
    }
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let world = World::draw(seed, &mut dice);
        let scene = world.scene();
        let rows = dice.usize(20..=90);
        scene.write("jobs.csv", &jobs(rows));
        Self {
            world,
            scene,
            dice,
            rows,
            forgets: false,
            story: Vec::new(),
        }
    }

    /// Runs it through all that was drawn for it, and looks at what is left.
    fn play(mut self) {
        for _ in 0..self.dice.usize(1..=MOST_RUNS) {
            self.disturbed_run();
            self.between_runs();
        }
        self.world.calm();
        self.settle();
        self.check();
    }

    /// A run that something happens to.
    fn disturbed_run(&mut self) {
        let words = self.world.words(&mut self.dice);
        let what = self.dice.usize(0..9);
        self.story.push(format!("{words} ({what})"));
        let mut run = match what {
            0 => {
                let size = fs::metadata(self.scene.path("promptmill.db"));
                let kib = size.map_or(0, |file| file.len() / 1024) + self.dice.u64(0..200);
                Running::start(self.scene.limited(&format!("-f {kib}"), &words), "")
            }
            _ => self.scene.start(&words),
        };
        self.wait_for_a_moment();
        let ran = match what {
            1..=3 => run.kill(),
            4 => {
                run.signal_if_running(Signal::TERM);
                run.finish()
            }
            5 => {
                run.signal_if_running(Signal::INT);
                self.wait_for_a_moment();
                run.signal_if_running(Signal::INT);
                run.finish()
            }
            6 => {
                run.signal_if_running(Signal::STOP);
                self.wait_for_a_moment();
                run.signal_if_running(Signal::CONT);
                run.finish()
            }
            7 => {
                let beside = self.scene.run(&words);
                self.accept(&words, &beside);
                run.finish()
            }
            _ => run.finish(),
        };
        self.accept(&words, &ran);
    }

    /// Waits until some more requests have come, or for some milliseconds.
    fn wait_for_a_moment(&mut self) {
        let more = self.scene.requests() + self.dice.u64(0..40);
        let patience = Duration::from_millis(self.dice.u64(1..150));
        let _ = self.scene.provider.wait_for(more, patience);
    }

    /// What people do between two runs.
    fn between_runs(&mut self) {
        let what = self.dice.usize(0..8);
        // There may be no database yet, or no such batch in it.
        let codes = [0, 66];
        match what {
            0 => {
                self.rows = self.dice.usize(20..=90);
                self.scene.write("jobs.csv", &jobs(self.rows));
                self.forgets = true;
                self.story.push(format!("{} rows from now on", self.rows));
            }
            1 => self.by_now("retry jobs.csv", &codes),
            2 => self.by_now("status --json", &codes),
            3 => self.by_now("export jobs.csv -o other.csv", &codes),
            4 => self.by_now("verify", &codes),
            5 => self.by_now("keys reset", &codes),
            _ => {}
        }
        self.forgets |= what == 1;
    }

    /// Runs a command that ends with one of these codes.
    fn by_now(&mut self, words: &str, codes: &[i32]) {
        self.story.push(words.to_owned());
        let ran = self.scene.run(words);
        let code = ran.status.code().unwrap_or(-1);
        let (status, said) = (ran.status, &ran.stderr);
        assert!(codes.contains(&code), "{words}: {status}\n{said}");
        self.no_key_in(words, ran.stderr.as_bytes());
    }

    /// Lets a run end in every way that it may end in.
    fn accept(&self, words: &str, ran: &Ran) {
        let code = ran.status.code();
        // Before it has anything to end well, a signal ends it at once.
        let fits = match code {
            Some(code) => CODES.contains(&code),
            None => ran
                .status
                .signal()
                .is_some_and(|signal| [2, 9, 15].contains(&signal)),
        };
        assert!(fits, "{words}: {}\n{}", ran.status, ran.stderr);
        assert!(!ran.stderr.contains("defect"), "{}", ran.stderr);
        self.no_key_in(words, ran.stdout.as_bytes());
        self.no_key_in(words, ran.stderr.as_bytes());
    }

    /// Runs on undisturbed until nothing is left to do. Rows may have failed for good by chance.
    fn settle(&mut self) {
        let run = "run jobs.csv -o out.csv --id-column id --max-outage 20s --max-wait 20s";
        self.by_now("keys reset", &[0, 66]);
        self.by_now(run, &[0, 3]);
        self.all_is_counted();
        self.by_now("retry jobs.csv", &[0]);
        let some_failed = self.world.bad_among(self.rows) > 0;
        self.by_now(run, &[if some_failed { 3 } else { 0 }]);
    }

    fn check(&self) {
        let sheet = self.scene.sheet("out.csv");
        assert_eq!(sheet.len(), self.rows);
        for row in 1..=self.rows {
            let prompt = question(row);
            let own = ["id", "prompt", "note"].map(|name| sheet.cell(row, name).to_owned());
            assert_eq!(
                own,
                [row.to_string(), prompt.clone(), format!("note, {row}")]
            );
            let (status, said) = (sheet.cell(row, "status"), sheet.cell(row, "response"));
            if self.world.is_bad(row) {
                assert_eq!((status, said), ("failed", ""), "{prompt}");
            } else {
                let starts = format!("Simulated answer to \"{prompt}\" (");
                assert!(
                    status == "done" && said.starts_with(&starts),
                    "{prompt}: {status}, {said}"
                );
            }
        }
        let verify = "verify jobs.csv -o out.csv";
        self.scene.run(verify).exits(0);
        let asked = self.scene.requests();
        self.scene
            .run("run jobs.csv -o out.csv --id-column id")
            .says("nothing to do");
        assert_eq!(
            self.scene.requests(),
            asked,
            "asked again when all was done"
        );
        for name in self.scene.files() {
            self.no_key_in(&name, &fs::read(self.scene.path(&name)).unwrap());
        }
        let files = self.scene.files();
        let left = files
            .iter()
            .filter(|name| name.contains(".spool") || name.contains(".part"));
        assert_eq!(left.count(), 0, "{files:?}");
    }

    /// Holds every request of a round in which nothing is forgotten to being counted (I4).
    fn all_is_counted(&self) {
        if self.forgets {
            return;
        }
        let counted = self.scene.sheet("out.csv").sum("attempts");
        let seen = self.scene.requests();
        assert!(
            seen <= counted,
            "{seen} requests came, {counted} are counted"
        );
    }

    fn no_key_in(&self, place: &str, bytes: &[u8]) {
        for key in &self.world.keys {
            let mark = &key.as_bytes()[4..];
            let found = bytes.windows(mark.len()).any(|part| part == mark);
            assert!(
                !found,
                "{key} in {place}:\n{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}

#[test]
fn whatever_happens_every_row_has_what_it_is_to_have_in_the_end() {
    let rounds = number("ROUNDS").unwrap_or(ROUNDS);
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{rounds} rounds with SEED={seed}");
    // They mostly wait: for back-offs, limits and the moments of signals.
    thread::scope(|scope| {
        for first in 0..THREADS {
            let mine = (first..rounds).step_by(usize::try_from(THREADS).unwrap());
            scope.spawn(move || {
                // The first round has the seed itself, so that one that failed can be played alone.
                mine.for_each(|round| Round::new(seed.wrapping_add(round)).play());
            });
        }
    });
}
