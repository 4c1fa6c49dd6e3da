//! Complete runs against an endpoint that returns errors. The tests check how many requests, keys
//! and rows an error costs if it is caused by a key, a row, the network or the configuration. They
//! use the engine with a real database and real sockets, but without the command line.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed setup fails the test, and --nocapture shows the cost of each run"
)]

mod fixture;
mod key_states;
mod midrun_changes;
mod outages;
mod random_scripts;
mod refusals;
