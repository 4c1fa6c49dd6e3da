//! promptmill sends every prompt of a file to an OpenAI-compatible chat endpoint and gets every
//! answer back, whatever happens on the way.
//!
//! The rooms, in reading order; `ARCHITECTURE.md` walks one row through them.

pub mod domain;

pub mod export;
pub mod intake;
pub mod progress;
pub mod provider;
pub mod report;
pub mod runner;
pub mod schema;
pub mod simulator;
pub mod store;
pub mod watch;

pub mod cli;
pub mod clock;
mod failpoint;
