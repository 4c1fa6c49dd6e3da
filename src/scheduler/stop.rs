//! How a run is asked to stop.

use crate::domain::run_stats::StopReason;

/// How urgently a run must stop. The level only increases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Continue.
    #[default]
    Run,
    /// Claim no more jobs, and wait for the requests in flight.
    Drain,
    /// Abandon the requests in flight.
    Abort,
}

/// Whether and why a lane stops.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The lane continues.
    Open,
    /// The endpoint seems to reject every request. A success in flight reverts this.
    Tentative(StopReason),
    /// The lane stops when its requests in flight have finished.
    Firm(StopReason),
}
