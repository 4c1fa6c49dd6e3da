//! The store against a plain model of it in memory: any order of imports, claims, settlements, waits,
//! crashes, spools and retries, through one store or two on the same file, tells the same of both.
//!
//! A game that ends otherwise is made as short as it can be, and shown. `PROPTEST_CASES=2000` plays
//! more of them.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers of a test are small, and an error of the store has failed it"
)]

#[path = "store/game.rs"]
mod game;
#[path = "store/plain.rs"]
mod plain;
#[path = "store/stage.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod stage;

use promptmill::domain::time::Timestamp;
use promptmill::store::{Claim, ClaimedJob, Store, SyncReport};
use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use game::{BATCHES, Game, Move, Rules, Told};

/// Games where nobody says how many; proptest itself would play 256.
const CASES: u32 = 24;

fn config() -> Config {
    let asked = Config::default();
    Config {
        cases: if asked.cases == 256 {
            CASES
        } else {
            asked.cases
        },
        failure_persistence: None,
        ..asked
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_store_does_what_a_plain_model_does(sequential 1..90 => Table);
}

/// The real store of a game, open once or twice.
struct Table {
    runtime: Runtime,
    folder: TempDir,
    stores: [Store; 2],
}

impl StateMachineTest for Table {
    type SystemUnderTest = Self;
    type Reference = Rules;

    fn init_test(_: &Game) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let open = || runtime.block_on(Store::open(&path)).unwrap();
        let stores = [open(), open()];
        let table = Self {
            runtime,
            folder,
            stores,
        };
        for batch in 0..BATCHES.len() {
            table.import(0, batch, &[]);
        }
        table
    }

    fn apply(mut table: Self, game: &Game, made: Move) -> Self {
        let told = table.make(game, &made);
        assert_eq!(told, game.told, "after {made:?}");
        table
    }

    fn check_invariants(table: &Self, game: &Game) {
        let store = &table.stores[0];
        table.runtime.block_on(async {
            for (batch, name) in BATCHES.iter().enumerate() {
                let id = store.batch(name).await.unwrap().id;
                assert_eq!(store.counts(id).await.unwrap(), game.plain.counts(batch));
                let records = stage::records(store, id, 9).await;
                assert_eq!(records, game.plain.records(batch));
            }
        });
    }

    fn teardown(table: Self, _: Game) {
        let Self {
            runtime, stores, ..
        } = table;
        runtime.block_on(async {
            let soundness = stores[0].verify().await.unwrap();
            assert_eq!((soundness.file, soundness.content), (vec![], vec![]));
            for store in stores {
                store.close().await.unwrap();
            }
        });
    }
}

impl Table {
    fn make(&mut self, game: &Game, made: &Move) -> Told {
        match made {
            Move::Turn {
                store,
                batch,
                limit,
                ..
            } => {
                let claim = Claim {
                    batch: self.id(*batch),
                    limit: *limit,
                };
                let store = &self.stores[*store];
                let turn = store.turn(&game.settled, claim, Timestamp::from_millis(game.now));
                Told::Turn(self.runtime.block_on(turn).unwrap())
            }
            Move::Suspect { batch } => {
                let id = self.id(*batch);
                Told::Claimed(self.claim_suspect(id))
            }
            Move::Import { store, batch, .. } => {
                Told::Import(self.import(*store, *batch, &game.inputs[*batch]))
            }
            Move::BadImport {
                batch, breaks_off, ..
            } => {
                self.import_badly(*batch, &game.tried, *breaks_off);
                Told::Nothing
            }
            Move::Spill { .. } => {
                self.spill(game);
                self.reopen();
                let taken = self.stores[0].take_in_spool();
                let taken = self.runtime.block_on(taken).unwrap();
                Told::Rescued(taken, self.rescue(game.now))
            }
            Move::Crash { cleanly } => {
                let old = self.reopen();
                if *cleanly {
                    self.close(old);
                }
                Told::Rescued(0, self.rescue(game.now))
            }
            Move::Clock { .. } => Told::Nothing,
            Move::Retry { batch } => {
                let id = self.id(*batch);
                let reopened = self.stores[1].reopen_failed(id);
                Told::Reopened(self.runtime.block_on(reopened).unwrap())
            }
        }
    }

    /// Goes on as the next process does after the last one died: the new stores are open before the
    /// old ones go, so nothing is folded back.
    fn reopen(&mut self) -> [Store; 2] {
        let path = self.folder.path().join("queue.db");
        let open = || self.runtime.block_on(Store::open(&path)).unwrap();
        let new = [open(), open()];
        std::mem::replace(&mut self.stores, new)
    }

    fn close(&self, stores: [Store; 2]) {
        for store in stores {
            self.runtime.block_on(store.close()).unwrap();
        }
    }

    /// Keeps what the game settles as a run does that cannot write any more.
    fn spill(&self, game: &Game) {
        let now = Timestamp::from_millis(game.now);
        self.runtime.block_on(async {
            let mut spool = self.stores[0].reserve_spool(1 << 16).await.unwrap();
            assert_eq!(spool.keep(&game.settled, now).lost, 0);
        });
    }

    fn import_badly(&self, batch: usize, input: &[plain::Row], breaks_off: bool) {
        let rows: Vec<_> = input.iter().map(plain::Row::new_row).collect();
        let mut chunks: Vec<_> = rows.chunks(5).map(|rows| Ok(rows.to_vec())).collect();
        chunks.extend((!breaks_off).then_some(Err("line 9")));
        let told = stage::sync(&self.stores[0], BATCHES[batch], chunks);
        let told = self.runtime.block_on(told);
        assert!(if breaks_off {
            told.is_err()
        } else {
            told.unwrap().is_err()
        });
    }

    fn rescue(&self, now: i64) -> u64 {
        let rescued = self.stores[0].rescue(Timestamp::from_millis(now));
        self.runtime.block_on(rescued).unwrap()
    }

    fn claim_suspect(&self, batch: i64) -> Option<ClaimedJob> {
        let store = &self.stores[0];
        self.runtime.block_on(async {
            let has = store.has_suspects(batch).await.unwrap();
            let claimed = store.claim_suspect(batch).await.unwrap();
            assert_eq!(claimed.is_some(), has);
            claimed
        })
    }

    fn import(&self, store: usize, batch: usize, input: &[plain::Row]) -> SyncReport {
        let rows: Vec<_> = input.iter().map(plain::Row::new_row).collect();
        let imported = stage::import(&self.stores[store], BATCHES[batch], &rows);
        self.runtime.block_on(imported)
    }

    fn id(&self, batch: usize) -> i64 {
        let found = self.stores[0].batch(BATCHES[batch]);
        self.runtime.block_on(found).unwrap().id
    }
}
