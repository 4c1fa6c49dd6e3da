//! The operations that are applied to the store and to its reference model.

use promptmill::domain::verdict::Scope;
use promptmill::store::{ClaimedJob, JobOutcome, QueueUpdate, Settlement, SyncReport};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::fixture::{NOW, done, failed, released, requeued};
use super::model::{ModelQueue, Row};

/// The names of the batches.
pub(crate) const BATCHES: [&str; 2] = ["one", "two"];
/// The number of different row keys.
const KEYS: u64 = 24;

/// An operation on the store.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Settles claims, and claims jobs.
    SettleAndClaim {
        store: usize,
        settle: Vec<Settle>,
        /// Batches, with the maximum number of jobs.
        claims: Vec<(usize, usize)>,
    },
    /// Claims a job that was in flight at two or more crashes.
    ClaimSuspect { batch: usize },
    /// Imports a changed input.
    Import {
        store: usize,
        batch: usize,
        edits: Vec<Edit>,
    },
    /// Imports an invalid or incomplete input, which must have no effect.
    InvalidImport {
        batch: usize,
        edits: Vec<Edit>,
        is_incomplete: bool,
    },
    /// Spools settlements and crashes; the next process settles them.
    SpoolAndCrash { settle: Vec<Settle> },
    /// Crashes, or exits cleanly with jobs in flight, and restarts.
    Crash { cleanly: bool },
    /// Advances the time.
    AdvanceClock { millis: i64 },
    /// Reopens failed jobs.
    Retry { batch: usize },
    /// Sets or removes the deadline of a batch.
    SetDeadline { batch: usize, deadline: Option<i64> },
}

/// How a claim is settled.
#[derive(Clone, Debug)]
pub(crate) struct Settle {
    /// Index of the claim, modulo the number of claims.
    claim_index: usize,
    kind: usize,
    number: i64,
    /// Whether the claim is settled again later, which is stale.
    keep_claim: bool,
    /// Whether the settlement is for a claim that does not exist.
    wrong_claim: bool,
    without_request: bool,
}

/// A change of an input.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    key: u64,
    kind: usize,
    other: usize,
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OperationResult {
    Nothing,
    Updated(QueueUpdate),
    Claimed(Option<ClaimedJob>),
    Imported(SyncReport),
    /// The numbers of jobs that were settled from the spool and that were recovered.
    Recovered(u64, u64),
    Reopened(u64),
}

/// The state of the model.
#[derive(Clone, Debug)]
pub(crate) struct ModelState {
    pub(crate) queue: ModelQueue,
    pub(crate) now: i64,
    /// The current input of each batch.
    pub(crate) inputs: [Vec<Row>; 2],
    /// The deadline of each batch.
    pub(crate) deadlines: [Option<i64>; 2],
    /// The input of the last invalid import.
    pub(crate) rejected_input: Vec<Row>,
    /// The settlements of the last operation.
    pub(crate) settlements: Vec<Settlement>,
    /// The expected result of the last operation.
    pub(crate) expected: OperationResult,
    /// Claims that later operations can settle, including stale ones.
    claims: Vec<ClaimedJob>,
}

pub(crate) struct QueueModel;

impl ReferenceStateMachine for QueueModel {
    type State = ModelState;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<ModelState> {
        let state = ModelState {
            queue: ModelQueue::default(),
            now: NOW,
            inputs: [vec![], vec![]],
            deadlines: [None; 2],
            rejected_input: vec![],
            settlements: vec![],
            expected: OperationResult::Nothing,
            claims: vec![],
        };
        Just(state).boxed()
    }

    fn transitions(_: &ModelState) -> BoxedStrategy<Operation> {
        let batch = || 0..BATCHES.len();
        let edits = || prop::collection::vec(edit(), 0..8);
        let settle = || prop::collection::vec(settle(), 0..7);
        prop_oneof![
            30 => (0..2_usize, settle(), prop::collection::vec((batch(), 0..6_usize), 1..4)).prop_map(
                |(store, settle, claims)| Operation::SettleAndClaim { store, settle, claims }
            ),
            2 => batch().prop_map(|batch| Operation::ClaimSuspect { batch }),
            10 => (0..2_usize, batch(), edits()).prop_map(
                |(store, batch, edits)| Operation::Import { store, batch, edits }
            ),
            2 => (batch(), edits(), any::<bool>()).prop_map(
                |(batch, edits, is_incomplete)| Operation::InvalidImport { batch, edits, is_incomplete }
            ),
            3 => settle().prop_map(|settle| Operation::SpoolAndCrash { settle }),
            6 => any::<bool>().prop_map(|cleanly| Operation::Crash { cleanly }),
            8 => (0..40_i64).prop_map(|millis| Operation::AdvanceClock { millis }),
            3 => batch().prop_map(|batch| Operation::Retry { batch }),
            1 => (batch(), prop::option::of(0..60_i64)).prop_map(
                |(batch, deadline)| Operation::SetDeadline { batch, deadline }
            ),
        ]
        .boxed()
    }

    fn apply(mut state: ModelState, operation: &Operation) -> ModelState {
        state.settlements.clear();
        state.expected = state.execute(operation);
        state
    }
}

fn settle() -> impl Strategy<Value = Settle> {
    let weighted = prop::bool::weighted;
    let numbers = (any::<usize>(), 0..6_usize, 0..60_i64);
    (numbers, weighted(0.25), weighted(0.05), weighted(0.1)).prop_map(
        |((claim_index, kind, number), keep_claim, wrong_claim, without_request)| Settle {
            claim_index,
            kind,
            number,
            keep_claim,
            wrong_claim,
            without_request,
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    (0..KEYS, 0..6_usize, any::<usize>()).prop_map(|(key, kind, other)| Edit { key, kind, other })
}

impl ModelState {
    fn execute(&mut self, operation: &Operation) -> OperationResult {
        match operation {
            Operation::SettleAndClaim { settle, claims, .. } => {
                self.settle(settle);
                let settlements = self.settlements.clone();
                let update = self.queue.settle_and_claim(&settlements, claims, self.now);
                let claimed = update.claims.iter().flat_map(|claim| claim.jobs.clone());
                self.claims.extend(claimed);
                OperationResult::Updated(update)
            }
            Operation::ClaimSuspect { batch } => {
                let claimed = self.queue.claim_suspect(*batch);
                self.claims.extend(claimed.clone());
                OperationResult::Claimed(claimed)
            }
            Operation::Import { batch, edits, .. } => {
                apply_edits(&mut self.inputs[*batch], edits);
                OperationResult::Imported(self.queue.import(*batch, &self.inputs[*batch]))
            }
            Operation::InvalidImport { batch, edits, .. } => {
                self.rejected_input.clone_from(&self.inputs[*batch]);
                apply_edits(&mut self.rejected_input, edits);
                OperationResult::Nothing
            }
            Operation::SpoolAndCrash { settle } => {
                self.settle(settle);
                let settlements = self.settlements.clone();
                let update = self.queue.settle_and_claim(&settlements, &[], self.now);
                let settled = settlements.len() as u64 - update.stale;
                OperationResult::Recovered(settled, self.queue.recover())
            }
            Operation::Crash { .. } => OperationResult::Recovered(0, self.queue.recover()),
            Operation::AdvanceClock { millis } => {
                self.now += millis;
                OperationResult::Nothing
            }
            Operation::Retry { batch } => {
                OperationResult::Reopened(self.queue.reopen_failed(*batch))
            }
            Operation::SetDeadline { batch, deadline } => {
                self.deadlines[*batch] = *deadline;
                OperationResult::Nothing
            }
        }
    }

    fn settle(&mut self, settle: &[Settle]) {
        for settle in settle {
            let Some(claim_index) = settle.claim_index.checked_rem(self.claims.len()) else {
                return;
            };
            let mut job = self.claims[claim_index].clone();
            if !settle.keep_claim {
                self.claims.swap_remove(claim_index);
            }
            job.claim_no += i64::from(settle.wrong_claim);
            let later = self.now + settle.number;
            let rule = ["overloaded", "dns", "reset"][settle.number as usize % 3];
            let mut settlement = match settle.kind {
                0 | 1 => done(&job, &format!("answer {}", settle.number)),
                2 | 3 => requeued(&job, rule, later),
                4 => released(&job, later),
                _ => failed(&job, Scope::Request, "too-long"),
            };
            if settle.without_request && !matches!(settlement.outcome, JobOutcome::Done(_)) {
                settlement.requests = 0;
            }
            self.settlements.push(settlement);
        }
    }
}

/// Removes, changes, moves and adds rows of an input.
fn apply_edits(input: &mut Vec<Row>, edits: &[Edit]) {
    for edit in edits {
        let at = input.iter().position(|row| row.key == edit.key);
        match (at, edit.kind) {
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
