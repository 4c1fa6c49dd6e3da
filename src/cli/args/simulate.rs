//! The flags of the simulated provider.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::values::{count, duration};

/// The simulated provider's flags.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill simulate --port 8181
  promptmill simulate --port 8181 --rpm 60 --error-500 0.05 --hang 0.01
  promptmill simulate --port 8181 --personality gpt-api-free")]
pub(in crate::cli) struct SimulateArgs {
    /// The port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 8181)]
    pub(in crate::cli) port: u16,
    /// What the latencies and faults are drawn from.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// The time to an answer; with --latency-p99 the median.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(in crate::cli) latency: Option<Duration>,
    /// The time that one answer in a hundred takes.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "latency")]
    pub(in crate::cli) latency_p99: Option<Duration>,
    /// Requests a minute for each key.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(in crate::cli) rpm: Option<NonZeroU32>,
    /// Requests a key may send at once before --rpm counts.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, requires = "rpm")]
    pub(in crate::cli) burst: Option<NonZeroU32>,
    /// Tokens a minute for each key.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(in crate::cli) tpm: Option<NonZeroU32>,
    /// Requests a day for each key.
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    pub(in crate::cli) rpd: Option<NonZeroU32>,
    /// The daily requests are for all keys together.
    #[arg(long, requires = "rpd")]
    pub(in crate::cli) rpd_shared: bool,
    /// Whom to play; gpt-api-free has the models, limits and refusals of those free keys.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) personality: PersonalityChoice,
    /// A key that is accepted; without any, all are. May be repeated.
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) accept_key: Vec<String>,
    /// Share of requests, 0 to 1, that end in a 500.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) error_500: f64,
    /// Share that ends in a 503.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) error_503: f64,
    /// Share that ends in a 529.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) error_529: f64,
    /// Share whose connection is reset.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) reset: f64,
    /// Share that never gets an answer.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) hang: f64,
    /// Share whose answer breaks off.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) half_body: f64,
    /// Share that gets a web page.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) html: f64,
    /// Share that gets an error inside a 200.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) error_in_200: f64,
    /// Share that gets an answer without choices.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(in crate::cli) no_choices: f64,
}

/// Whom the simulated provider plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PersonalityChoice {
    // A provider in OpenAI's manner.
    #[default]
    Openai,
    // The free API of GPT_API_free: its models, its limits and its 403.
    GptApiFree,
}
