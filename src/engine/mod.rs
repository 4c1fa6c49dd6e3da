//! The engine executes what the scheduler decides: it claims jobs, sends their requests, and stores
//! the results of several batches at the same time.
//!
//! Each batch is a lane. All lanes share the client, the keys and the limits. `run` is an engine
//! with one lane, `work` one with a lane per batch.

mod actions;
mod changes;
mod core;
mod flights;
mod keys;
mod lane;
mod rate_headers;
mod reactor;
mod recorder;
mod salvage;
mod shutdown;

pub use self::core::{Deps, Engine, Step};
pub use keys::EngineKey;
pub use lane::{Lane, LaneOptions, LaneResult, Reuse};
pub use salvage::RunError;
pub use shutdown::{Shutdown, ShutdownSwitch};
