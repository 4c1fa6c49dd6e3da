//! A gate that can hold back all responses, so that tests can act at a known moment.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A gate in front of the responses, initially open.
#[derive(Debug, Default)]
pub(super) struct ResponseGate {
    closed: AtomicBool,
    opened: Notify,
}

impl ResponseGate {
    /// Holds back responses from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets the waiting and all later responses pass.
    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    /// Waits until the gate is open.
    pub(super) async fn pass(&self) {
        while self.closed.load(Ordering::SeqCst) {
            // Subscribe before checking again, or an opening in between would be missed.
            let opened = self.opened.notified();
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}
