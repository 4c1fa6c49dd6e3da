//! Signals: the first one stops the run after the requests in flight, the second one immediately.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::domain::run_stats::StopReason;
use crate::engine::Shutdown;

/// Ignores SIGXFSZ, so that a write beyond the file-size limit (`ulimit -f`) fails with an error, as
/// on a full disk, instead of terminating the process.
pub(super) fn ignore_file_size_signal() -> io::Result<()> {
    // tokio keeps the handler installed after the listener is dropped.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// The shutdown state, and the task that updates it.
pub(super) type Signals = (Shutdown, JoinHandle<()>);

/// Listens for SIGINT, SIGTERM, and SIGHUP. Before this call, they terminate the process.
pub(super) fn listen() -> io::Result<Signals> {
    let (switch, shutdown) = Shutdown::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let listener = tokio::spawn(async move {
        loop {
            let reason = tokio::select! {
                _ = interrupt.recv() => StopReason::Interrupted,
                _ = terminate.recv() => StopReason::Terminated,
                _ = hang_up.recv() => StopReason::Terminated,
            };
            switch.stop(reason);
        }
    });
    Ok((shutdown, listener))
}
