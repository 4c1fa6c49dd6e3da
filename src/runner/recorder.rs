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

/// The most bytes of answers in one transaction, unless a single one is larger.
const MAX_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// Results that are not written yet, with what is to be told when they are.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    settlements: Vec<Settlement>,
    /// What is to be told of each, if anything.
    events: Vec<Option<RunEvent>>,
}

impl Recorder {
    /// Takes a settlement, and what is to be told once it is on disk.
    pub(super) fn take(&mut self, settlement: Settlement, event: Option<RunEvent>) {
        self.settlements.push(settlement);
        self.events.push(event);
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

    /// Returns how many go into the next transaction: SQLite takes no gigabyte in one statement.
    fn group(&self) -> usize {
        let mut bytes = 0;
        let fits = |settlement: &&Settlement| {
            let is_first = bytes == 0;
            bytes += settlement.size() + 1;
            is_first || bytes <= MAX_GROUP_BYTES
        };
        self.settlements.iter().take_while(fits).count()
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
        let group = self.group();
        let turn = store.turn(&self.settlements[..group], claim, now).await?;
        if turn.stale > 0 {
            tracing::info!(
                stale = turn.stale,
                "answers came for rows that were changed meanwhile"
            );
        }
        self.settlements.drain(..group);
        let events = self.events.drain(..group).flatten();
        events.for_each(|event| on_event(&event));
        Ok(turn)
    }
}
