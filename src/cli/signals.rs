//! Signals: the first one drains the run, the second one ends it at once. The one for a file that
//! has grown too large ends nothing: the write fails, and that is dealt with where it failed.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::domain::run_stats::StopReason;
use crate::runner::Shutdown;

/// Lets a write beyond the limit on the size of files (`ulimit -f`) fail as one on a full disk does,
/// instead of ending the program.
pub(super) fn outlive_file_limit() -> io::Result<()> {
    // The handler stays when the listener goes.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}
/// The word to stop, and the task that listens for it.
pub(super) type Signals = (Shutdown, JoinHandle<()>);

/// Listens for SIGINT, SIGTERM and SIGHUP from now on; until then they end the program as ever.
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
