//! Arguments of `simulate`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::values::{count, duration};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill simulate --port 8181
  promptmill simulate --port 8181 --rpm 60 --error-500 0.05 --hang 0.01
  promptmill simulate --port 8181 --personality gpt-api-free")]
pub(in crate::cli) struct SimulateArgs {
    /// Port on 127.0.0.1; 0 for any
    #[arg(long, default_value_t = 8181)]
    pub(in crate::cli) port: u16,
    /// Seed for latencies and faults
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Latency; the median if --latency-p99 is set
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) latency: Option<Duration>,
    /// 99th percentile of the latency
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "latency")]
    pub(in crate::cli) latency_p99: Option<Duration>,
    /// Requests per minute per key
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(in crate::cli) rpm: Option<NonZeroU32>,
    /// Burst size of --rpm
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, requires = "rpm")]
    pub(in crate::cli) burst: Option<NonZeroU32>,
    /// Tokens per minute per key
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(in crate::cli) tpm: Option<NonZeroU32>,
    /// Requests per day per key
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(in crate::cli) rpd: Option<NonZeroU32>,
    /// Apply --rpd to all keys together
    #[arg(long, requires = "rpd")]
    pub(in crate::cli) rpd_shared: bool,
    /// Provider to simulate
    ///
    /// `gpt-api-free` has the models, limits, and error responses of the free keys of GPT_API_free.
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(in crate::cli) personality: PersonalityChoice,
    /// Key to accept; can be repeated [default: any]
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) accept_key: Vec<String>,
    /// Rate of responses with status 500
    ///
    /// Rates are numbers from 0 to 1.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) error_500: f64,
    /// Rate of responses with status 503
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) error_503: f64,
    /// Rate of responses with status 529
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) error_529: f64,
    /// Rate of reset connections
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) reset: f64,
    /// Rate of requests without a response
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) hang: f64,
    /// Rate of truncated responses
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) half_body: f64,
    /// Rate of HTML responses
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) html: f64,
    /// Rate of errors with status 200
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) error_in_200: f64,
    /// Rate of responses without choices
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub(in crate::cli) no_choices: f64,
}

/// The provider to simulate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PersonalityChoice {
    #[default]
    Openai,
    // The free API of GPT_API_free.
    GptApiFree,
}
