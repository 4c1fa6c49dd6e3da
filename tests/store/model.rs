//! The store against a plain model of it in memory, step by step with dice. A failure names its
//! seed and step; the same seed plays the same game.

use std::panic::Location;

use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::Scope;
use promptmill::store::{Claim, ClaimedJob, SettledAs, Settlement, SyncReport};

use super::plain::{Plain, Row};
use super::stage::{self, NOW, Open, Stage, done, failed, released, requeued, sync, turn};

/// Games of one test.
const SEEDS: u64 = 8;
/// Steps of one game.
const STEPS: u32 = 250;
/// The batches of a game.
const BATCHES: [&str; 2] = ["one", "two"];
/// Keys that the rows of a batch are drawn from.
const KEYS: u64 = 24;

/// How often what is done, out of their sum.
struct Odds {
    turn: u64,
    import: u64,
    bad_import: u64,
    crash: u64,
    clock: u64,
    retry: u64,
}

const EVEN: Odds = Odds {
    turn: 60,
    import: 10,
    bad_import: 3,
    crash: 5,
    clock: 15,
    retry: 4,
};

pub(crate) async fn the_store_does_what_a_plain_model_does(open: impl Open) {
    play(open, 0, EVEN).await;
}

pub(crate) async fn the_store_does_what_a_plain_model_does_with_many_waits(open: impl Open) {
    let odds = Odds {
        turn: 120,
        clock: 60,
        ..EVEN
    };
    play(open, 100, odds).await;
}

pub(crate) async fn the_store_does_what_a_plain_model_does_over_many_crashes(open: impl Open) {
    let odds = Odds { crash: 40, ..EVEN };
    play(open, 200, odds).await;
}

pub(crate) async fn the_store_does_what_a_plain_model_does_while_the_input_changes(
    open: impl Open,
) {
    let odds = Odds {
        import: 60,
        bad_import: 20,
        ..EVEN
    };
    play(open, 300, odds).await;
}

async fn play(open: impl Open, first_seed: u64, odds: Odds) {
    for seed in first_seed..first_seed + SEEDS {
        let mut game = Game::begin(open, seed).await;
        for step in 0..STEPS {
            game.at = format!("seed {seed}, step {step}");
            game.step(&odds).await;
        }
        game.compare().await;
        assert!(game.plain.is_played(), "{}: nothing was settled", game.at);
    }
}

struct Game<O> {
    stage: Stage<O>,
    plain: Plain,
    dice: Dice,
    /// Where the game is, for the message of a failure.
    at: String,
    now: i64,
    /// The inputs as they stand, one for each batch.
    inputs: [Vec<Row>; 2],
    /// All claims that were ever handed out and not surely settled; stale ones among them.
    held: Vec<ClaimedJob>,
}

impl<O: Open> Game<O> {
    async fn begin(open: O, seed: u64) -> Self {
        let stage = Stage::empty(open).await;
        let mut game = Self {
            stage,
            plain: Plain::default(),
            dice: Dice(seed),
            at: format!("seed {seed}, start"),
            now: NOW,
            inputs: [vec![], vec![]],
            held: vec![],
        };
        for batch in 0..BATCHES.len() {
            game.import(batch).await;
        }
        game
    }

    async fn step(&mut self, odds: &Odds) {
        let batch = self.dice.below(2) as usize;
        let weights = [
            odds.turn,
            odds.import,
            odds.bad_import,
            odds.crash,
            odds.clock,
            odds.retry,
        ];
        match self.dice.weighted(&weights) {
            0 => self.turn(batch).await,
            1 => self.import(batch).await,
            2 => self.import_badly(batch).await,
            3 => self.crash().await,
            4 => self.now += self.dice.below(40) as i64,
            _ => self.retry(batch).await,
        }
    }

    async fn turn(&mut self, batch: usize) {
        let settlements: Vec<_> = (0..self.dice.below(7))
            .filter_map(|_| self.settlement())
            .collect();
        let limit = self.dice.below(6) as usize;
        let id = self.id(batch).await;
        let claim = Claim { batch: id, limit };
        let told = turn(&self.stage.store, &settlements, claim, self.now).await;
        let expected = self.plain.turn(batch, &settlements, limit, self.now);
        self.same(&told, &expected);
        self.held.extend(told.claimed);
    }

    /// Settles one of the claims in any way. One in four stays among them, to be stale later.
    fn settlement(&mut self) -> Option<Settlement> {
        let which = self.dice.below(self.held.len().max(1) as u64) as usize;
        let mut job = self.held.get(which)?.clone();
        if self.dice.below(4) > 0 {
            self.held.swap_remove(which);
        }
        if self.dice.below(20) == 0 {
            job.claim_no += 1;
        }
        let later = self.now + self.dice.below(60) as i64;
        let rule = ["overloaded", "dns", "reset"][self.dice.below(3) as usize];
        let mut settlement = match self.dice.below(6) {
            0 | 1 => done(&job, &format!("answer {}", self.dice.below(1_000))),
            2 | 3 => requeued(&job, rule, later),
            4 => released(&job, later),
            _ => failed(&job, Scope::Request, "too-long"),
        };
        if !matches!(settlement.settled_as, SettledAs::Done(_)) && self.dice.below(5) == 0 {
            settlement.requests = 0;
        }
        Some(settlement)
    }

    /// Changes the input in every way that people do, then mirrors it.
    async fn import(&mut self, batch: usize) {
        let input = self.changed_input(batch);
        let told = stage::import(&self.stage.store, BATCHES[batch], &news(&input)).await;
        let expected = self.plain.import(batch, &input);
        self.same::<SyncReport>(&told, &expected);
        self.inputs[batch] = input;
        self.compare().await;
    }

    async fn import_badly(&mut self, batch: usize) {
        let input = self.changed_input(batch);
        let mut chunks: Vec<_> = news(&input).chunks(5).map(|c| Ok(c.to_vec())).collect();
        let breaks_off = self.dice.below(2) == 0;
        if !breaks_off {
            chunks.push(Err("line 9"));
        }
        let told = sync(&self.stage.store, BATCHES[batch], chunks).await;
        assert_eq!(told.is_err(), breaks_off, "{}", self.at);
        assert!(breaks_off || told.is_ok_and(|told| told == Err("line 9")));
        self.compare().await;
    }

    fn changed_input(&mut self, batch: usize) -> Vec<Row> {
        let mut input = self.inputs[batch].clone();
        for _ in 0..self.dice.below(8) {
            let key = self.dice.below(KEYS);
            let at = input.iter().position(|row| row.key == key);
            match (at, self.dice.below(6)) {
                (Some(at), 0) => drop(input.remove(at)),
                (Some(at), 1) => input[at].version += 1,
                (Some(at), 2) => input[at].note += 1,
                (Some(at), _) => {
                    let other = self.dice.below(input.len() as u64) as usize;
                    input.swap(at, other);
                }
                (None, _) => input.push(Row {
                    key,
                    version: 0,
                    note: 0,
                }),
            }
        }
        if self.dice.below(30) == 0 {
            input.clear();
        }
        input
    }

    async fn crash(&mut self) {
        self.stage.crash().await;
        let now = Timestamp::from_millis(self.now);
        let told = self.stage.store.rescue(now).await.unwrap();
        self.same(&told, &self.plain.clone().rescue());
        self.plain.rescue();
        self.compare().await;
    }

    async fn retry(&mut self, batch: usize) {
        let id = self.id(batch).await;
        let told = self.stage.store.reopen_failed(id).await.unwrap();
        let expected = self.plain.reopen_failed(batch);
        self.same(&told, &expected);
    }

    async fn id(&self, batch: usize) -> i64 {
        self.stage.store.batch(BATCHES[batch]).await.unwrap().id
    }

    /// Compares all that can be read.
    async fn compare(&self) {
        for (batch, name) in BATCHES.iter().enumerate() {
            if let Some(stored) = self.stage.store.find_batch(name).await.unwrap() {
                let records = stage::records(&self.stage.store, stored.id, 9).await;
                self.same(&records, &self.plain.records(batch));
                let counts = self.stage.store.counts(stored.id).await.unwrap();
                self.same(&counts, &self.plain.counts(batch));
            }
        }
    }

    #[track_caller]
    fn same<T: PartialEq + std::fmt::Debug>(&self, told: &T, expected: &T) {
        let (at, from) = (&self.at, Location::caller().line());
        assert_eq!(told, expected, "{at}, compared at line {from}");
    }
}

/// The rows as intake would hand them on.
fn news(input: &[Row]) -> Vec<promptmill::domain::job::NewRow> {
    input.iter().map(Row::new_row).collect()
}

/// Splitmix64: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is at least 1.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// The place of one of the weights, as often as it weighs.
    fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut thrown = self.below(weights.iter().sum());
        let hit = |weight: &u64| {
            let hit = thrown < *weight;
            thrown = thrown.saturating_sub(*weight);
            hit
        };
        weights.iter().position(hit).unwrap()
    }
}
