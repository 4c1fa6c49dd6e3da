//! Detects changes of the queue by other processes, for an engine that waits for work.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError};

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

    /// Returns whether another process has changed the queue since the last check, if it is time to
    /// check.
    pub(super) async fn poll(&mut self, store: &Store, now: Timestamp) -> Result<bool, StoreError> {
        if now < self.poll_at {
            return Ok(false);
        }
        self.poll_at = now + INTERVAL;
        let before = std::mem::replace(&mut self.version, store.data_version().await?);
        Ok(before != self.version)
    }
}
