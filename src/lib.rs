//! A resumable batch processor: sends the prompts of a file to an OpenAI-compatible API and stores
//! the responses.
//!
//! `ARCHITECTURE.md` describes the modules and follows a row through them.

pub mod domain;

pub mod api;
pub mod engine;

pub mod export;
pub mod intake;
pub mod progress;
pub mod provider;
pub mod report;
pub mod scheduler;
pub mod schema;
pub mod simulator;
pub mod store;
pub mod watch;

pub mod cli;
pub mod clock;
mod doctor;
mod exit;
mod failpoint;
