//! Options that limit the speed and the extent of a run.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::cli::values::{concurrency, count, duration, money, time_zone};
use crate::domain::concurrency::Concurrency;
use crate::domain::price::Cost;
use crate::domain::time_zone::TimeZone;

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(in crate::cli) struct LimitArgs {
    /// Requests per minute per key [default: from response headers]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_RPM")]
    pub(in crate::cli) rpm: Option<NonZeroU32>,
    /// Tokens per minute per key, for prompts and responses [default: from response headers]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_TPM")]
    pub(in crate::cli) tpm: Option<NonZeroU32>,
    /// Requests per day per key, counted across runs [default: no limit]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_RPD")]
    pub(in crate::cli) rpd: Option<NonZeroU32>,
    /// Time zone of the day of --rpd, like `America/Los_Angeles` or `-08:00` [default: UTC]
    #[arg(
        long,
        value_name = "ZONE",
        value_parser = time_zone,
        allow_hyphen_values = true,
        env = "PROMPTMILL_ZONE"
    )]
    pub(in crate::cli) zone: Option<TimeZone>,
    /// Maximum number of requests in flight [default: 16]
    ///
    /// `auto` tunes the number to the endpoint.
    #[arg(
        long,
        value_name = "N|auto",
        value_parser = concurrency,
        env = "PROMPTMILL_CONCURRENCY"
    )]
    pub(in crate::cli) concurrency: Option<Concurrency>,
    /// Stop with code 4 after N rows have completed or failed [default: no limit]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env = "PROMPTMILL_LIMIT")]
    pub(in crate::cli) limit: Option<NonZeroU32>,
    /// Stop with code 4 after N requests [default: no limit]
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU32>,
        env = "PROMPTMILL_MAX_REQUESTS"
    )]
    pub(in crate::cli) max_requests: Option<NonZeroU32>,
    /// Stop with code 4 after this time [default: no limit]
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        env = "PROMPTMILL_MAX_RUNTIME"
    )]
    pub(in crate::cli) max_runtime: Option<Duration>,
    /// Maximum cost, like 5usd [default: no limit]
    ///
    /// The run stops with code 4 before it exceeds the maximum. Prices are list prices, or those in
    /// the table `prices` of the settings file.
    #[arg(long, value_name = "AMOUNT", value_parser = money, env = "PROMPTMILL_MAX_COST")]
    pub(in crate::cli) max_cost: Option<Cost>,
    /// Maximum number of attempts per row [default: 5]
    ///
    /// Rate-limit waits and key switches do not count.
    #[arg(
        long,
        value_name = "N",
        value_parser = count::<NonZeroU32>,
        env = "PROMPTMILL_MAX_ATTEMPTS"
    )]
    pub(in crate::cli) max_attempts: Option<NonZeroU32>,
    /// Stop with code 4 if rate limits delay all remaining rows for longer than this [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "PROMPTMILL_MAX_WAIT")]
    pub(in crate::cli) max_wait: Option<Duration>,
    /// Stop with code 69 if the endpoint is unavailable for longer than this [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "PROMPTMILL_MAX_OUTAGE")]
    pub(in crate::cli) max_outage: Option<Duration>,
    /// Send identical requests once, and reuse the response [default: never]
    ///
    /// `exact`, or the option without a value, applies to embeddings and to requests with a
    /// temperature of 0; `always` applies to all requests.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "exact",
        env = "PROMPTMILL_DEDUPE"
    )]
    pub(in crate::cli) dedupe: Option<Dedupe>,
    /// Time for requests in flight to finish after Ctrl-C or SIGTERM [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "PROMPTMILL_GRACE")]
    pub(in crate::cli) grace: Option<Duration>,
}

/// Which identical requests are sent only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Dedupe {
    Never,
    // Those with temperature 0, whose responses would be the same.
    Exact,
    Always,
}
