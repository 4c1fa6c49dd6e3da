//! A simulator on a thread and a runtime of its own, for tests that run the built binary and have
//! no runtime themselves.

use std::io;
use std::ops::Deref;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Config, Simulator};

/// A [`Simulator`] on a thread of its own. When it is dropped, the simulator ends and the thread
/// is joined.
#[derive(Debug)]
pub struct SimulatorThread {
    simulator: Simulator,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a simulator on a thread of its own. Fails when the thread or its runtime cannot be
/// started, or the port cannot be bound.
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
            // Either the stop was sent or its sender is gone: both mean the end.
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
    /// Blocks until `count` requests have been seen since the start, and returns whether that
    /// came about within `patience`. Not to be called from within a runtime.
    #[must_use]
    pub fn wait_for(&self, count: u64, patience: Duration) -> bool {
        self.runtime
            .block_on(async { timeout(patience, self.simulator.wait_for(count)).await })
            .is_ok()
    }

    /// Blocks until `count` responses have been given since the start, and returns whether that
    /// came about within `patience`. Not to be called from within a runtime.
    #[must_use]
    pub fn wait_for_answered(&self, count: u64, patience: Duration) -> bool {
        self.runtime
            .block_on(async { timeout(patience, self.simulator.wait_for_answered(count)).await })
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
            // A panic of the thread was printed by itself; a panic here would hide the test's own.
            let _ = thread.join();
        }
    }
}
