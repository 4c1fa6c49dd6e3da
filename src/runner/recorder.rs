//! The recorder: gathers what has come back, and writes it in one transaction with the next claim.
//!
//! There is no window to wait for: while a commit is on its way, results gather, and the next
//! commit takes them all. A quiet run writes each at once, a busy one in large groups.

use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;
use crate::store::{Claim, Settlement, Store, StoreError, Turn};

/// The most results in one transaction: enough that durability costs next to nothing, few enough
/// that the commit stays short.
pub(super) const MAX_GROUP: usize = 256;

/// Results that are not written yet, with what is to be told when they are.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    settlements: Vec<Settlement>,
    events: Vec<RunEvent>,
}

impl Recorder {
    /// Takes a settlement, and what is to be told once it is on disk.
    pub(super) fn take(&mut self, settlement: Settlement, event: Option<RunEvent>) {
        self.settlements.push(settlement);
        self.events.extend(event);
    }

    /// Hands out what could not be written; nothing is told of it.
    pub(super) fn spill(&mut self) -> Vec<Settlement> {
        self.events.clear();
        std::mem::take(&mut self.settlements)
    }

    /// Tells whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.settlements.is_empty()
    }

    /// Writes what has gathered and claims, in one transaction; then tells of it. When it returns,
    /// the results are on disk and the claims are committed.
    pub(super) async fn turn(
        &mut self,
        store: &Store,
        claim: Claim,
        now: Timestamp,
        on_event: &mut dyn FnMut(&RunEvent),
    ) -> Result<Turn, StoreError> {
        let turn = store.turn(&self.settlements, claim, now).await?;
        if turn.stale > 0 {
            tracing::info!(
                stale = turn.stale,
                "answers came for rows that were changed meanwhile"
            );
        }
        self.settlements.clear();
        self.events.drain(..).for_each(|event| on_event(&event));
        Ok(turn)
    }
}
