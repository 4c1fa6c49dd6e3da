//! The gate that holds back every response until it is opened, so that a test can act at a known
//! moment.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A gate before the responses; open at first.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// Closes the gate.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Opens the gate and wakes who waits before it.
    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    /// Waits until the gate is open.
    pub(super) async fn pass(&self) {
        while self.closed.load(Ordering::SeqCst) {
            // Listens before it looks again, so that an opening in between is not missed.
            let opened = self.opened.notified();
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}
