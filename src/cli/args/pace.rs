//! How fast and how long: the flags of the pace.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;

use crate::cli::values::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Pace")]
pub(in crate::cli) struct PaceArgs {
    /// The most requests in flight [default: 16].
    #[arg(
        long,
        value_name = "N",
        env = "PROMPTMILL_CONCURRENCY",
        hide_env_values = true
    )]
    pub(in crate::cli) concurrency: Option<NonZeroU32>,
    /// Requests a minute for each key [default: no limit].
    #[arg(long, value_name = "N", env = "PROMPTMILL_RPM", hide_env_values = true)]
    pub(in crate::cli) rpm: Option<NonZeroU32>,
    /// The most attempts for a row; waiting for a limit and changing the key are none [default: 5].
    #[arg(
        long,
        value_name = "N",
        env = "PROMPTMILL_MAX_ATTEMPTS",
        hide_env_values = true
    )]
    pub(in crate::cli) max_attempts: Option<NonZeroU32>,
    /// End with code 4 when all that is left waits longer than this for a limit [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_MAX_WAIT", hide_env_values = true)]
    pub(in crate::cli) max_wait: Option<Duration>,
    /// End with code 69 when the endpoint has been down for longer than this [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_MAX_OUTAGE", hide_env_values = true)]
    pub(in crate::cli) max_outage: Option<Duration>,
    /// How long the first Ctrl-C or SIGTERM lets requests in flight go on [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_GRACE", hide_env_values = true)]
    pub(in crate::cli) grace: Option<Duration>,
}
