//! How fast and how long: the flags of the pace.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::cli::values::{concurrency, count, duration, money, zone};
use crate::domain::limits::Zone;
use crate::domain::price::Cost;
use crate::domain::window::Concurrency;

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(in crate::cli) struct LimitArgs {
    /// The most requests in flight, or auto to find out how many the endpoint takes well
    /// [default: 16].
    #[arg(long, value_name = "N|auto", value_parser = concurrency, env = "PROMPTMILL_CONCURRENCY", hide_env_values = true)]
    pub(in crate::cli) concurrency: Option<Concurrency>,
    /// Requests a minute for each key [default: no limit].
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_RPM", hide_env_values = true)]
    pub(in crate::cli) rpm: Option<NonZeroU32>,
    /// Tokens a minute for each key, those of prompts and answers together [default: no limit].
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_TPM", hide_env_values = true)]
    pub(in crate::cli) tpm: Option<NonZeroU32>,
    /// Requests a day for each key, all runs of the day together [default: no limit].
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_RPD", hide_env_values = true)]
    pub(in crate::cli) rpd: Option<NonZeroU32>,
    /// Where the day of --rpd begins at midnight: UTC, or ahead of it like +08:00 [default: UTC].
    #[arg(long, value_name = "ZONE", value_parser = zone, env = "PROMPTMILL_ZONE", hide_env_values = true)]
    pub(in crate::cli) zone: Option<Zone>,
    /// End with code 4 when this many rows were answered or failed for good [default: no bound].
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU32>,
        env = "PROMPTMILL_LIMIT",
        hide_env_values = true
    )]
    pub(in crate::cli) limit: Option<NonZeroU32>,
    /// End with code 4 when this many requests were sent [default: no bound].
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU32>,
        env = "PROMPTMILL_MAX_REQUESTS",
        hide_env_values = true
    )]
    pub(in crate::cli) max_requests: Option<NonZeroU32>,
    /// End with code 4 when the run has lasted this long [default: no bound].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_MAX_RUNTIME", hide_env_values = true)]
    pub(in crate::cli) max_runtime: Option<Duration>,
    /// End with code 4 before the run costs more than this, like 5usd; prices are list prices, or
    /// those of [prices] in the settings file [default: no bound].
    #[arg(long, value_name = "MONEY", value_parser = money, env = "PROMPTMILL_MAX_COST", hide_env_values = true)]
    pub(in crate::cli) max_cost: Option<Cost>,
    /// The most attempts for a row; waiting for a limit and changing the key are none [default: 5].
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU32>,
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
    /// Ask rows with the same request once, and copy the answer: where their temperature is 0, or
    /// always [default: ask each row].
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "exact",
        env = "PROMPTMILL_DEDUPE",
        hide_env_values = true
    )]
    pub(in crate::cli) dedupe: Option<Dedupe>,
    /// How long the first Ctrl-C or SIGTERM lets requests in flight go on [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_GRACE", hide_env_values = true)]
    pub(in crate::cli) grace: Option<Duration>,
}

/// Which rows with the same request are asked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Dedupe {
    // None: each row is asked.
    Never,
    // Those whose temperature is 0, so that they would get the same answer.
    Exact,
    // All.
    Always,
}
