//! Detects changes of the queue by other processes, for an engine that waits for work.

use std::time::Duration;

use crate::domain::keyring::KeyIndex;
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError};

use super::keys::EngineKeys;

/// How often to check.
const INTERVAL: Duration = Duration::from_secs(1);

/// The state of the queue when it was last checked.
#[derive(Debug)]
pub(super) struct Changes {
    /// The time of the next check.
    pub(super) poll_at: Timestamp,
    version: i64,
}

impl Changes {
    pub(super) async fn new(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            poll_at: now + INTERVAL,
            version: store.data_version().await?,
        })
    }

    /// Checks the queue, if it is time to. If another process has changed it, returns the keys that
    /// were reset.
    pub(super) async fn poll(
        &mut self,
        store: &Store,
        keys: &mut EngineKeys,
        now: Timestamp,
    ) -> Result<Option<Vec<KeyIndex>>, StoreError> {
        if now < self.poll_at {
            return Ok(None);
        }
        self.poll_at = now + INTERVAL;
        let before = std::mem::replace(&mut self.version, store.data_version().await?);
        if before == self.version {
            return Ok(None);
        }
        keys.take_reset(store).await.map(Some)
    }
}
