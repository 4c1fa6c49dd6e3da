//! The domain model: the program's terms and decision rules, as plain values.
//!
//! Nothing here reads a clock, generates random numbers or does I/O; the time and the jitter are
//! arguments, so every rule has table-driven tests. The only dependencies are the standard library,
//! serde, and small crates without I/O.

pub mod attribution;
pub mod circuit_breaker;
pub mod concurrency;
pub mod error_fingerprint;
pub mod failure;
pub mod forecast;
pub mod history;
pub mod job;
pub mod key;
pub mod keyring;
pub mod limits;
pub mod price;
pub mod redact;
pub mod retry;
pub mod retry_after;
pub mod retry_budget;
pub mod run_stats;
pub mod spelling;
pub mod time;
pub mod time_zone;
pub mod tokens;
pub mod verdict;
