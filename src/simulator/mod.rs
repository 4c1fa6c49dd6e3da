//! A simulated provider: an OpenAI-compatible endpoint on a loopback port, with the limits, the
//! refusals and the faults of real ones, all of them openly asked for in a [`Config`].
//!
//! It stands behind `promptmill simulate`, `run --simulate` and the end-to-end tests. It speaks
//! HTTP/1.1 over a real socket, so whoever talks to it takes the same way as to a real provider,
//! and it knows nothing of the other rooms.

mod bucket;
mod chat;
mod config;
mod embeddings;
mod faults;
mod gate;
mod keys;
mod ledger;
mod limits;
mod personality;
mod question;
mod react;
mod refusal;
mod reply;
mod route;
mod script;
mod seed;
mod server;
mod structured;
mod text;
mod thread;
mod throttle;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use config::{Config, Latency};
pub use faults::{FaultRates, Reaction};
pub use keys::KeyRefusal;
pub use ledger::{Entry, Ledger};
pub use limits::SimulatedLimits;
pub use personality::{Personality, SAMPLE_KEY};
pub use script::{Arrival, Script};
pub use thread::{SimulatorThread, start_on_own_thread};

use route::Provider;

/// A running simulated provider. It ends when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    provider: Arc<Provider>,
    addr: SocketAddr,
    /// Tells the accept loop to end; `None` once it was told.
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Binds `127.0.0.1:port` and serves on the current tokio runtime, which may be a
    /// `current_thread` one that the caller uses too. Fails when the port cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let addr = listener.local_addr()?;
        let provider = Arc::new(Provider::new(config));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&provider), stopped));
        Ok(Self {
            provider,
            addr,
            stop: Some(stop),
            server,
        })
    }

    /// Returns the address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the base URL to give to a client: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Returns a copy of the ledger as it stands.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.provider.ledger.snapshot()
    }

    /// Waits until `count` requests have been seen since the start, answered or not.
    pub async fn wait_for(&self, count: u64) {
        self.provider
            .ledger
            .until(|ledger| ledger.requests >= count)
            .await;
    }

    /// Waits until `count` responses have been given since the start. A request that hangs, is
    /// reset or was given up by the client has none.
    pub async fn wait_for_answered(&self, count: u64) {
        self.provider
            .ledger
            .until(|ledger| ledger.answered >= count)
            .await;
    }

    /// Holds back every response, and every fault, from now on until [`release`](Self::release).
    /// Requests are still read and seen.
    pub fn hold(&self) {
        self.provider.gate.close();
    }

    /// Lets go what was held back, and all that follows.
    pub fn release(&self) {
        self.provider.gate.open();
    }

    /// Replaces the script, for the requests that arrive from now on. What the new script counts
    /// (`nth`, `first_n_per_prompt`) still counts from the start of the simulator.
    pub fn set_script(&self, script: Script) {
        self.provider.set_script(script);
    }

    /// Stops listening, breaks the open connections and waits until all of it is gone.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The loop may have ended already, when its runtime is shutting down.
            let _ = stop.send(());
        }
        let _ = (&mut self.server).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
