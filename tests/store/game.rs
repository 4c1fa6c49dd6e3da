//! The game that the store and the plain model play: its moves, and what the model tells of each.

use promptmill::domain::verdict::Scope;
use promptmill::store::{ClaimedJob, SettledAs, Settlement, SyncReport, Turn};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::plain::{Plain, Row};
use super::stage::{NOW, done, failed, released, requeued};

/// The batches of a game.
pub(crate) const BATCHES: [&str; 2] = ["one", "two"];
/// Keys that the rows of a batch are drawn from.
const KEYS: u64 = 24;

/// A move. Numbers that stand for one of many are taken as far as there are so many.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// Settles and claims.
    Turn {
        store: usize,
        batch: usize,
        settle: Vec<Settle>,
        limit: usize,
    },
    /// Claims a job that was in flight at two crashes.
    Suspect { batch: usize },
    /// Mirrors an input that has changed.
    Import {
        store: usize,
        batch: usize,
        edits: Vec<Edit>,
    },
    /// Mirrors one that turns out bad, or breaks off.
    BadImport {
        batch: usize,
        edits: Vec<Edit>,
        breaks_off: bool,
    },
    /// Keeps settlements in the spool and dies; the next process takes them in.
    Spill { settle: Vec<Settle> },
    /// Dies, or ends with jobs in flight, and begins anew.
    Crash { cleanly: bool },
    /// Time goes by.
    Clock { millis: i64 },
    /// Makes failed jobs pending again.
    Retry { batch: usize },
}

/// How one of the claims is settled.
#[derive(Clone, Debug)]
pub(crate) struct Settle {
    which: usize,
    how: usize,
    number: i64,
    /// The claim is settled again later, when that is stale.
    again: bool,
    /// It names a claim that never was.
    forged: bool,
    without_request: bool,
}

/// How an input changes.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    key: u64,
    how: usize,
    other: usize,
}

/// What a move has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Turn(Turn),
    Claimed(Option<ClaimedJob>),
    Import(SyncReport),
    /// Settled from the spool, and rescued.
    Rescued(u64, u64),
    Reopened(u64),
}

/// Where the game stands, as the model has it.
#[derive(Clone, Debug)]
pub(crate) struct Game {
    pub(crate) plain: Plain,
    pub(crate) now: i64,
    /// The inputs as they stand, one for each batch.
    pub(crate) inputs: [Vec<Row>; 2],
    /// The input of the last bad import.
    pub(crate) tried: Vec<Row>,
    /// What the last move settles.
    pub(crate) settled: Vec<Settlement>,
    /// What the last move is to tell.
    pub(crate) told: Told,
    /// All claims that were handed out and not surely settled; stale ones among them.
    held: Vec<ClaimedJob>,
}

/// The rules of the game.
pub(crate) struct Rules;

impl ReferenceStateMachine for Rules {
    type State = Game;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<Game> {
        let game = Game {
            plain: Plain::default(),
            now: NOW,
            inputs: [vec![], vec![]],
            tried: vec![],
            settled: vec![],
            told: Told::Nothing,
            held: vec![],
        };
        Just(game).boxed()
    }

    fn transitions(_: &Game) -> BoxedStrategy<Move> {
        let batch = || 0..BATCHES.len();
        let edits = || prop::collection::vec(edit(), 0..8);
        let settle = || prop::collection::vec(settle(), 0..7);
        prop_oneof![
            30 => (0..2_usize, batch(), settle(), 0..6_usize).prop_map(
                |(store, batch, settle, limit)| Move::Turn { store, batch, settle, limit }
            ),
            2 => batch().prop_map(|batch| Move::Suspect { batch }),
            10 => (0..2_usize, batch(), edits()).prop_map(
                |(store, batch, edits)| Move::Import { store, batch, edits }
            ),
            2 => (batch(), edits(), any::<bool>()).prop_map(
                |(batch, edits, breaks_off)| Move::BadImport { batch, edits, breaks_off }
            ),
            3 => settle().prop_map(|settle| Move::Spill { settle }),
            6 => any::<bool>().prop_map(|cleanly| Move::Crash { cleanly }),
            8 => (0..40_i64).prop_map(|millis| Move::Clock { millis }),
            3 => batch().prop_map(|batch| Move::Retry { batch }),
        ]
        .boxed()
    }

    fn apply(mut game: Game, made: &Move) -> Game {
        game.settled.clear();
        game.told = game.play(made);
        game
    }
}

fn settle() -> impl Strategy<Value = Settle> {
    let odds = prop::bool::weighted;
    let numbers = (any::<usize>(), 0..6_usize, 0..60_i64);
    (numbers, odds(0.25), odds(0.05), odds(0.1)).prop_map(
        |((which, how, number), again, forged, without_request)| Settle {
            which,
            how,
            number,
            again,
            forged,
            without_request,
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    (0..KEYS, 0..6_usize, any::<usize>()).prop_map(|(key, how, other)| Edit { key, how, other })
}

impl Game {
    fn play(&mut self, made: &Move) -> Told {
        match made {
            Move::Turn {
                batch,
                settle,
                limit,
                ..
            } => {
                self.settle(settle);
                let settled = self.settled.clone();
                let turn = self.plain.turn(*batch, &settled, *limit, self.now);
                self.held.extend(turn.claimed.clone());
                Told::Turn(turn)
            }
            Move::Suspect { batch } => {
                let claimed = self.plain.claim_suspect(*batch);
                self.held.extend(claimed.clone());
                Told::Claimed(claimed)
            }
            Move::Import { batch, edits, .. } => {
                edit_all(&mut self.inputs[*batch], edits);
                Told::Import(self.plain.import(*batch, &self.inputs[*batch]))
            }
            Move::BadImport { batch, edits, .. } => {
                self.tried.clone_from(&self.inputs[*batch]);
                edit_all(&mut self.tried, edits);
                Told::Nothing
            }
            Move::Spill { settle } => {
                self.settle(settle);
                let settled = self.settled.clone();
                let turn = self.plain.turn(0, &settled, 0, self.now);
                let taken = settled.len() as u64 - turn.stale;
                Told::Rescued(taken, self.plain.rescue())
            }
            Move::Crash { .. } => Told::Rescued(0, self.plain.rescue()),
            Move::Clock { millis } => {
                self.now += millis;
                Told::Nothing
            }
            Move::Retry { batch } => Told::Reopened(self.plain.reopen_failed(*batch)),
        }
    }

    fn settle(&mut self, settle: &[Settle]) {
        for settle in settle {
            let Some(which) = settle.which.checked_rem(self.held.len()) else {
                return;
            };
            let mut job = self.held[which].clone();
            if !settle.again {
                self.held.swap_remove(which);
            }
            job.claim_no += i64::from(settle.forged);
            let later = self.now + settle.number;
            let rule = ["overloaded", "dns", "reset"][settle.number as usize % 3];
            let mut settlement = match settle.how {
                0 | 1 => done(&job, &format!("answer {}", settle.number)),
                2 | 3 => requeued(&job, rule, later),
                4 => released(&job, later),
                _ => failed(&job, Scope::Request, "too-long"),
            };
            if settle.without_request && !matches!(settlement.settled_as, SettledAs::Done(_)) {
                settlement.requests = 0;
            }
            self.settled.push(settlement);
        }
    }
}

/// Changes an input in every way that people do.
fn edit_all(input: &mut Vec<Row>, edits: &[Edit]) {
    for edit in edits {
        let at = input.iter().position(|row| row.key == edit.key);
        match (at, edit.how) {
            (Some(at), 0) => drop(input.remove(at)),
            (Some(at), 1) => input[at].version += 1,
            (Some(at), 2) => input[at].note += 1,
            (Some(at), _) => {
                let other = edit.other % input.len();
                input.swap(at, other);
            }
            (None, _) => input.push(Row {
                key: edit.key,
                version: 0,
                note: 0,
            }),
        }
    }
}
