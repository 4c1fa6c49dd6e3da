//! A simulator with its own thread and runtime, for tests of the built binary, which have no
//! runtime.

use std::io;
use std::ops::Deref;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Config, Simulator};

/// A [`Simulator`] on its own thread. Dropping it stops the simulator and joins the thread.
#[derive(Debug)]
pub struct SimulatorThread {
    simulator: Simulator,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a simulator on its own thread. Fails if the thread or its runtime cannot be started, or
/// the port cannot be bound.
pub fn start_on_own_thread(config: Config) -> io::Result<SimulatorThread> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let simulator = runtime.block_on(Simulator::start(config))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = thread::Builder::new()
        .name("simulator".to_owned())
        .spawn(move || {
            // An error means that the sender was dropped, which also ends the thread.
            let _ = runtime.block_on(stopped);
        })?;
    Ok(SimulatorThread {
        simulator,
        runtime: handle,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl SimulatorThread {
    /// Blocks until `count` requests have been received; returns `false` after the timeout. Must
    /// not be called within a runtime.
    #[must_use]
    pub fn wait_for_requests(&self, count: u64, limit: Duration) -> bool {
        let received = self.simulator.wait_for_requests(count);
        self.runtime
            .block_on(async { timeout(limit, received).await })
            .is_ok()
    }

    /// Blocks until `count` responses have been sent; returns `false` after the timeout. Must not
    /// be called within a runtime.
    #[must_use]
    pub fn wait_for_responses(&self, count: u64, limit: Duration) -> bool {
        let sent = self.simulator.wait_for_responses(count);
        self.runtime
            .block_on(async { timeout(limit, sent).await })
            .is_ok()
    }
}

impl Deref for SimulatorThread {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}

impl Drop for SimulatorThread {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // Its panic has already been printed; another one would hide that of the test.
            let _ = thread.join();
        }
    }
}
