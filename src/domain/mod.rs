//! The words of the program and its decisions, as values.
//!
//! Nothing in here reads a clock, throws dice or does I/O: the time and the jitter are arguments.
//! Only the standard library and serde's derives are used, so every rule can be tested as a table.

pub mod breaker;
pub mod budget;
pub mod civil;
pub mod completion;
pub mod doubt;
pub mod failure;
pub mod fingerprint;
pub mod forecast;
pub mod history;
pub mod job;
pub mod key;
pub mod keyring;
pub mod latency;
pub mod limits;
pub mod price;
pub mod redact;
pub mod request_template;
pub mod retry;
pub mod retry_after;
pub mod run_stats;
pub mod spelling;
pub mod time;
pub mod tokens;
pub mod verdict;
pub mod window;
