//! Compares the store with a reference model in memory, for random sequences of imports, claims,
//! settlements, waits, crashes, spools and retries, which use two stores on the same file.
//!
//! A failing sequence is shrunk and printed. `PROPTEST_CASES=2000` runs more sequences.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers are small, and a store error fails the test"
)]

#[path = "store/fixture.rs"]
#[expect(dead_code, reason = "other test targets use the rest")]
mod fixture;
#[path = "store/model.rs"]
mod model;
#[path = "store/operations.rs"]
mod operations;

use std::marker::PhantomData;
use std::path::Path;

use promptmill::domain::time::Timestamp;
use promptmill::store::{Claim, ClaimedJob, RowFilter, Store, StoredBatch, SyncReport};
use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use operations::{BATCHES, ModelState, Operation, OperationResult, QueueModel};

/// The default number of sequences. It replaces the default of proptest, which is 256.
const DEFAULT_CASES: u32 = 24;

fn config() -> Config {
    let config = Config::default();
    Config {
        cases: if config.cases == 256 {
            DEFAULT_CASES
        } else {
            config.cases
        },
        failure_persistence: None,
        ..config
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn a_sqlite_store_matches_the_reference_model(sequential 1..90 => StoreUnderTest<Sqlite>);
}

/// A database under test.
trait Backend {
    async fn open(path: &Path) -> Store;
}

struct Sqlite;

impl Backend for Sqlite {
    async fn open(path: &Path) -> Store {
        fixture::sqlite(path).await
    }
}

/// The database under test, with two stores that have opened it.
struct StoreUnderTest<B> {
    backend: PhantomData<B>,
    runtime: Runtime,
    dir: TempDir,
    stores: [Store; 2],
}

impl<B: Backend> StateMachineTest for StoreUnderTest<B> {
    type SystemUnderTest = Self;
    type Reference = QueueModel;

    fn init_test(_: &ModelState) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue.db");
        let open = || runtime.block_on(B::open(&path));
        let stores = [open(), open()];
        let system = Self {
            backend: PhantomData,
            runtime,
            dir,
            stores,
        };
        for batch in 0..BATCHES.len() {
            system.import(0, batch, &[]);
        }
        system
    }

    fn apply(mut system: Self, state: &ModelState, operation: Operation) -> Self {
        let result = system.execute(state, &operation);
        assert_eq!(result, state.expected, "after {operation:?}");
        system
    }

    fn check_invariants(system: &Self, state: &ModelState) {
        let store = &system.stores[0];
        system.runtime.block_on(async {
            for (batch, name) in BATCHES.iter().enumerate() {
                let StoredBatch { id, deadline, .. } = store.batch(name).await.unwrap();
                assert_eq!(deadline.map(Timestamp::as_millis), state.deadlines[batch]);
                assert_eq!(store.counts(id).await.unwrap(), state.queue.counts(batch));
                let records = fixture::records(store, id, 9).await;
                assert_eq!(records, state.queue.records(batch));
            }
        });
    }

    fn teardown(system: Self, _: ModelState) {
        let Self {
            runtime, stores, ..
        } = system;
        runtime.block_on(async {
            let integrity = stores[0].verify().await.unwrap();
            assert_eq!(
                (integrity.file_errors, integrity.inconsistencies),
                (vec![], vec![])
            );
            for store in stores {
                store.close().await.unwrap();
            }
        });
    }
}

impl<B: Backend> StoreUnderTest<B> {
    fn execute(&mut self, state: &ModelState, operation: &Operation) -> OperationResult {
        match operation {
            Operation::SettleAndClaim { store, claims, .. } => {
                let claims = claims.iter().map(|(batch, limit)| Claim {
                    batch: self.id(*batch),
                    limit: *limit,
                });
                let claims: Vec<_> = claims.collect();
                let store = &self.stores[*store];
                let update = store.settle_and_claim(
                    &state.settlements,
                    &claims,
                    Timestamp::from_millis(state.now),
                );
                OperationResult::Updated(self.runtime.block_on(update).unwrap())
            }
            Operation::ClaimSuspect { batch } => {
                let id = self.id(*batch);
                OperationResult::Claimed(self.claim_suspect(id))
            }
            Operation::Import { store, batch, .. } => {
                OperationResult::Imported(self.import(*store, *batch, &state.inputs[*batch]))
            }
            Operation::InvalidImport {
                batch,
                is_incomplete,
                ..
            } => {
                self.import_invalid(*batch, &state.rejected_input, *is_incomplete);
                OperationResult::Nothing
            }
            Operation::SpoolAndCrash { .. } => {
                self.spool(state);
                self.reopen();
                let settled = self.stores[0].settle_spool();
                let settled = self.runtime.block_on(settled).unwrap();
                OperationResult::Recovered(settled, self.recover(state.now))
            }
            Operation::Crash { cleanly } => {
                let old = self.reopen();
                if *cleanly {
                    self.close(old);
                }
                OperationResult::Recovered(0, self.recover(state.now))
            }
            Operation::AdvanceClock { .. } => OperationResult::Nothing,
            Operation::SetDeadline { batch, deadline } => {
                let deadline = deadline.map(Timestamp::from_millis);
                let set = self.stores[1].set_deadline(self.id(*batch), deadline);
                self.runtime.block_on(set).unwrap();
                OperationResult::Nothing
            }
            Operation::Retry { batch } => {
                let id = self.id(*batch);
                let filter = RowFilter::default();
                let reopened = self.stores[1].reopen(id, &filter);
                OperationResult::Reopened(self.runtime.block_on(reopened).unwrap())
            }
        }
    }

    /// Simulates the next process after a crash: the new stores are opened before the old ones are
    /// dropped, so that the WAL is not checkpointed.
    fn reopen(&mut self) -> [Store; 2] {
        let path = self.dir.path().join("queue.db");
        let open = || self.runtime.block_on(B::open(&path));
        let new = [open(), open()];
        std::mem::replace(&mut self.stores, new)
    }

    fn close(&self, stores: [Store; 2]) {
        for store in stores {
            self.runtime.block_on(store.close()).unwrap();
        }
    }

    /// Spools the settlements, like a run that can no longer write to the database.
    fn spool(&self, state: &ModelState) {
        let now = Timestamp::from_millis(state.now);
        self.runtime.block_on(async {
            let mut spool = self.stores[0].reserve_spool(1 << 16).await.unwrap();
            assert_eq!(spool.append(&state.settlements, now).lost, 0);
        });
    }

    fn import_invalid(&self, batch: usize, input: &[model::Row], is_incomplete: bool) {
        let rows: Vec<_> = input.iter().map(model::Row::new_row).collect();
        let mut chunks: Vec<_> = rows.chunks(5).map(|rows| Ok(rows.to_vec())).collect();
        chunks.extend((!is_incomplete).then_some(Err("line 9")));
        let result = fixture::sync(&self.stores[0], BATCHES[batch], chunks);
        let result = self.runtime.block_on(result);
        assert!(if is_incomplete {
            result.is_err()
        } else {
            result.unwrap().is_err()
        });
    }

    fn recover(&self, now: i64) -> u64 {
        let recovered = self.stores[0].recover(Timestamp::from_millis(now));
        self.runtime.block_on(recovered).unwrap()
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

    fn import(&self, store: usize, batch: usize, input: &[model::Row]) -> SyncReport {
        let rows: Vec<_> = input.iter().map(model::Row::new_row).collect();
        let imported = fixture::import(&self.stores[store], BATCHES[batch], &rows);
        self.runtime.block_on(imported)
    }

    fn id(&self, batch: usize) -> i64 {
        let found = self.stores[0].batch(BATCHES[batch]);
        self.runtime.block_on(found).unwrap().id
    }
}
