//! A simulated provider: an OpenAI-compatible endpoint on a loopback port, with the rate limits,
//! errors and faults of real providers as configured in a [`Config`].
//!
//! `promptmill simulate`, `run --simulate` and the end-to-end tests use it. It speaks HTTP/1.1 over
//! a real socket, so that its clients use the same code as with a real provider. It does not depend
//! on other modules of the crate.

mod chat;
mod config;
mod content;
mod embeddings;
mod error;
mod faults;
mod keys;
mod limits;
mod personality;
mod plan;
mod rate_limit;
mod request_body;
mod request_log;
mod response;
mod rng;
mod route;
mod script;
mod server;
mod structured;
mod thread;
mod token_bucket;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use config::{Config, SimulatedLatency};
pub use faults::{FaultRates, Reaction};
pub use keys::KeyRejection;
pub use limits::SimulatedLimits;
pub use personality::{Personality, SAMPLE_KEY};
pub use request_log::{RequestLog, RequestLogEntry};
pub use script::{IncomingRequest, Script};
pub use thread::{SimulatorThread, start_on_own_thread};

use route::SimulatedProvider;

/// A running simulated provider. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    provider: Arc<SimulatedProvider>,
    addr: SocketAddr,
    /// Stops the accept loop; `None` once it was sent.
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Binds `127.0.0.1:port` and serves on the current tokio runtime, which can be a
    /// `current_thread` runtime shared with the caller. Fails if the port cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let addr = listener.local_addr()?;
        let provider = Arc::new(SimulatedProvider::new(config));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&provider), stopped));
        Ok(Self {
            provider,
            addr,
            stop: Some(stop),
            server,
        })
    }

    /// Returns the listening address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the base URL for clients: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Returns a snapshot of the request log.
    #[must_use]
    pub fn request_log(&self) -> RequestLog {
        self.provider.log.snapshot()
    }

    /// Waits until `count` requests have been received since the start.
    pub async fn wait_for_requests(&self, count: u64) {
        let log = &self.provider.log;
        log.wait_until(|log| log.requests >= count).await;
    }

    /// Waits until `count` responses have been sent since the start. Requests that hang, are reset
    /// or were canceled by the client get none.
    pub async fn wait_for_responses(&self, count: u64) {
        let log = &self.provider.log;
        log.wait_until(|log| log.responses >= count).await;
    }

    /// Holds back all responses and faults until [`release`](Self::release). Requests are still
    /// received and logged.
    pub fn hold(&self) {
        self.provider.gate.close();
    }

    /// Sends the responses that were held back, and stops holding back.
    pub fn release(&self) {
        self.provider.gate.open();
    }

    /// Replaces the script for later requests. The counts of the new script (`nth`,
    /// `first_n_per_prompt`) still include all requests since the start.
    pub fn set_script(&self, script: Script) {
        self.provider.set_script(script);
    }

    /// Stops listening, closes the open connections, and waits until all are closed.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The loop has already ended if its runtime is shutting down.
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
