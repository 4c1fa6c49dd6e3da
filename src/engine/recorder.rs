//! The recorder collects results, and writes them in one transaction with the next claim.
//!
//! There is no fixed batching interval: results that arrive during a commit are written by the next
//! one. A slow run commits results one by one, a busy run in large groups.

use crate::domain::time::Timestamp;
use crate::progress::event::RunEvent;
use crate::store::{Claim, ClaimResult, Settlement, Store, StoreError};

/// The maximum number of results per transaction: large enough to make the cost of a commit
/// negligible, small enough to keep it short.
pub(super) const MAX_GROUP: usize = 256;

/// The maximum size of the results per transaction, unless a single one is larger.
const MAX_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// Results to be written, with the events to emit afterwards.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    settlements: Vec<Settlement>,
    /// The event of each settlement, if any.
    events: Vec<Option<RunEvent>>,
}

impl Recorder {
    /// Adds a settlement, and the event to emit once it is on disk.
    pub(super) fn push(&mut self, settlement: Settlement, event: Option<RunEvent>) {
        self.settlements.push(settlement);
        self.events.push(event);
    }

    /// Removes the settlements that could not be written, and drops their events.
    pub(super) fn take_unwritten(&mut self) -> Vec<Settlement> {
        self.events.clear();
        std::mem::take(&mut self.settlements)
    }

    /// Returns whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.settlements.is_empty()
    }

    /// Returns the number of settlements in the next transaction. SQLite limits the size of a
    /// statement to about 1 GB.
    fn group_len(&self) -> usize {
        let mut bytes = 0;
        let fits = |settlement: &&Settlement| {
            let is_first = bytes == 0;
            bytes += settlement.size() + 1;
            is_first || bytes <= MAX_GROUP_BYTES
        };
        self.settlements.iter().take_while(fits).count()
    }

    /// Writes settlements and claims jobs in one transaction, then emits the events. On success,
    /// the results are on disk and the claims are committed.
    pub(super) async fn settle_and_claim(
        &mut self,
        store: &Store,
        claims: &[Claim],
        now: Timestamp,
        on_event: &mut dyn FnMut(&RunEvent),
    ) -> Result<Vec<ClaimResult>, StoreError> {
        let group = self.group_len();
        let update = store
            .settle_and_claim(&self.settlements[..group], claims, now)
            .await?;
        if update.stale > 0 {
            tracing::info!(
                stale = update.stale,
                "discarded results of rows that have changed in the meantime"
            );
        }
        self.settlements.drain(..group);
        let events = self.events.drain(..group).flatten();
        events.for_each(|event| on_event(&event));
        Ok(update.claims)
    }
}
