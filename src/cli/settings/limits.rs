//! The limits on the speed and the extent of a run.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::exit::{CliError, Exit};
use crate::cli::values::{concurrency, count, duration, money, time_zone};
use crate::domain::concurrency::Concurrency;
use crate::domain::limits::KeyLimits;
use crate::domain::price::{Cost, Prices};
use crate::domain::time_zone::TimeZone;
use crate::progress::safe::Safe;
use crate::scheduler;

use super::file::FileSettings;

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
struct RateArgs {
    /// Requests per minute per key [default: from response headers]
    /// [example: 60]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env)]
    rpm: Option<NonZeroU32>,
    /// Tokens per minute per key, for prompts and responses [default: from response headers]
    /// [example: 90000]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env)]
    tpm: Option<NonZeroU32>,
    /// Requests per day per key, counted across runs [default: no limit]
    /// [example: 200]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env)]
    rpd: Option<NonZeroU32>,
    /// Time zone of the day of --rpd, like `America/Los_Angeles` or `-08:00` [default: UTC]
    /// [example: Asia/Shanghai]
    #[arg(
        long,
        value_name = "ZONE",
        value_parser = time_zone,
        allow_hyphen_values = true,
        env
    )]
    zone: Option<TimeZone>,
    /// Maximum number of requests in flight
    ///
    /// `auto` tunes the number to the endpoint.
    #[arg(long, value_name = "N|auto", value_parser = concurrency, env, default_value = "16")]
    concurrency: Concurrency,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(in crate::cli) struct LimitArgs {
    #[command(flatten)]
    rates: RateArgs,
    /// Stop with code 4 after N rows have completed or failed [default: no limit]
    /// [example: 100]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env)]
    limit: Option<NonZeroU32>,
    /// Stop with code 4 after N requests [default: no limit]
    /// [example: 1000]
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env)]
    max_requests: Option<NonZeroU32>,
    /// Stop with code 4 after this time [default: no limit]
    /// [example: 2h]
    #[arg(long, value_name = "DURATION", value_parser = duration, env)]
    max_runtime: Option<Duration>,
    /// Maximum cost, like 5usd [default: no limit]
    /// [example: 5usd]
    ///
    /// The run stops with code 4 before it exceeds the maximum. Prices are list prices, or those in
    /// the table `prices` of the settings file.
    #[arg(long, value_name = "AMOUNT", value_parser = money, env)]
    max_cost: Option<Cost>,
    /// Maximum number of attempts per row
    ///
    /// Rate-limit waits and key switches do not count.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, env, default_value = "5")]
    max_attempts: NonZeroU32,
    /// Stop with code 4 if rate limits delay all remaining rows for longer than this [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration, env)]
    pub(in crate::cli) max_wait: Option<Duration>,
    /// Stop with code 69 if the endpoint is unavailable for longer than this [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration, env)]
    pub(in crate::cli) max_outage: Option<Duration>,
    /// Send identical requests once, and reuse the response
    ///
    /// `exact`, or the option without a value, applies to embeddings and to requests with a
    /// temperature of 0; `always` applies to all requests.
    #[arg(
        long,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "exact",
        env,
        default_value = "never"
    )]
    dedupe: Dedupe,
    /// Time for requests in flight to finish after Ctrl-C or SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = duration, env, default_value = "30s")]
    grace: Duration,
}

/// Which identical requests are sent only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Dedupe {
    Never,
    // Those with temperature 0, whose responses would be the same.
    Exact,
    Always,
}

/// Limits of a run.
#[derive(Debug)]
pub(in crate::cli) struct LimitSettings {
    pub(in crate::cli) settings: scheduler::Settings,
    pub(in crate::cli) limits_and_prices: LimitsAndPrices,
    pub(in crate::cli) dedupe: Dedupe,
}

/// Resolves the limits of a run.
pub(in crate::cli) fn limits(args: &LimitArgs, file: &FileSettings) -> LimitSettings {
    let default = scheduler::Settings::default();
    let settings = scheduler::Settings {
        concurrency: args.rates.concurrency,
        max_attempts: args.max_attempts.get(),
        limits: scheduler::RunLimits {
            until: None,
            rows: args.limit.map(|n| n.get().into()),
            requests: args.max_requests.map(|n| n.get().into()),
            cost: args.max_cost,
        },
        max_wait: args.max_wait.unwrap_or(default.max_wait),
        max_outage: args.max_outage.unwrap_or(default.max_outage),
        grace: args.grace,
    };
    let per_key = KeyLimits {
        rpm: args.rates.rpm,
        tpm: args.rates.tpm,
        rpd: args.rates.rpd,
        in_flight: None,
        zone: args.rates.zone.clone().unwrap_or_default(),
    };
    let limits_and_prices = LimitsAndPrices {
        per_key,
        groups: file.tables.groups.clone(),
        prices: file.tables.prices(),
        max_runtime: args.max_runtime,
    };
    LimitSettings {
        settings,
        limits_and_prices,
        dedupe: args.dedupe,
    }
}

/// Limits of keys and groups of keys, prices, and the maximum duration of a run.
#[derive(Debug)]
pub(in crate::cli) struct LimitsAndPrices {
    /// Default limits of a key, or of a group of keys.
    pub(in crate::cli) per_key: KeyLimits,
    pub(in crate::cli) groups: BTreeMap<String, KeyLimits>,
    pub(in crate::cli) prices: Prices,
    pub(in crate::cli) max_runtime: Option<Duration>,
}

impl LimitsAndPrices {
    /// Rejects `--max-cost` for a model without a known price.
    pub(in crate::cli) fn check_price(
        &self,
        max_cost: Option<Cost>,
        model: &str,
    ) -> Result<(), CliError> {
        if max_cost.is_none() || self.prices.get(model).is_some() {
            return Ok(());
        }
        let model = Safe(model);
        let what = format!("cannot enforce --max-cost: the price of \"{model}\" is unknown");
        let hint = format!(
            "set it in promptmill.toml, in US dollars per million tokens:\n  \
             [prices.\"{model}\"]\n  input = 0.15\n  output = 0.60"
        );
        Err(CliError::new(Exit::Config, &what, &hint))
    }
}
