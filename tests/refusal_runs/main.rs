//! Whole runs against an endpoint that refuses: what it costs in requests, keys and jobs when a
//! key, a row, the place or the set-up is at fault. The program's own command line is tested
//! elsewhere; here the runner works on a real queue and real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and --nocapture shows what each run cost"
)]

mod bench;
mod outages;
mod refused;
mod remembered;
mod shifts;
mod table;
mod whatever;
