//! `promptmill simulate`, and the simulated provider of `run --simulate`.

use std::num::{NonZero, NonZeroU32};
use std::time::Duration;

use clap::Args;

use crate::simulator::{
    Config, FaultRates, Personality, SAMPLE_KEY, SimulatedLatency, SimulatedLimits, Simulator,
};

use super::exit::{CliError, Exit};
use super::settings::GlobalArgs;
use super::values::{choice, count, duration};
use super::{console, signals};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill simulate --port 8181
  promptmill simulate --port 8181 --rpm 60 --error-500 0.05 --hang 0.01
  promptmill simulate --port 8181 --personality gpt-api-free")]
pub(super) struct SimulateArgs {
    /// Port on 127.0.0.1; 0 for any
    #[arg(long, default_value_t = 8181)]
    port: u16,
    /// Seed for latencies and faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Latency; the median if --latency-p99 is set
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    latency: Option<Duration>,
    /// 99th percentile of the latency
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "latency")]
    latency_p99: Option<Duration>,
    #[command(flatten)]
    limits: SimulatedLimitArgs,
    /// Provider to simulate
    ///
    /// `gpt-api-free` has the models, limits, and error responses of the free keys of GPT_API_free.
    #[arg(long, value_name = "NAME", value_parser = choice(&PERSONALITIES), default_value = "openai")]
    personality: Personality,
    /// Key to accept; can be repeated [default: any]
    #[arg(long, value_name = "KEY")]
    accept_key: Vec<String>,
    #[command(flatten)]
    faults: FaultArgs,
}

#[derive(Args, Debug)]
struct SimulatedLimitArgs {
    /// Requests per minute per key
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    rpm: Option<NonZeroU32>,
    /// Burst size of --rpm
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>, requires = "rpm")]
    burst: Option<NonZeroU32>,
    /// Tokens per minute per key
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    tpm: Option<NonZeroU32>,
    /// Requests per day per key
    #[arg(long, value_name = "N", value_parser = count::<NonZeroU32>)]
    rpd: Option<NonZeroU32>,
    /// Apply --rpd to all keys together
    #[arg(long, requires = "rpd")]
    rpd_shared: bool,
}

#[derive(Args, Debug)]
struct FaultArgs {
    /// Rate of responses with status 500
    ///
    /// Rates are numbers from 0 to 1.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    error_500: f64,
    /// Rate of responses with status 503
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    error_503: f64,
    /// Rate of responses with status 529
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    error_529: f64,
    /// Rate of reset connections
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    reset: f64,
    /// Rate of requests without a response
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    hang: f64,
    /// Rate of truncated responses
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    half_body: f64,
    /// Rate of HTML responses
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    html: f64,
    /// Rate of errors with status 200
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    error_in_200: f64,
    /// Rate of responses without choices
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    no_choices: f64,
}

const PERSONALITIES: [(&str, Personality); 2] = [
    ("openai", Personality::OpenAi),
    ("gpt-api-free", Personality::GptApiFree),
];

/// Median latency of the simulated provider in a run, long enough to see the progress.
const MEDIAN: Duration = Duration::from_millis(40);
/// 99th percentile of its latency.
const P99: Duration = Duration::from_millis(250);

/// Runs `promptmill simulate`.
pub(super) async fn command(global: &GlobalArgs, args: SimulateArgs) -> Result<Exit, CliError> {
    let port = args.port;
    // Requests without a key are rejected, as by a real provider.
    let key = args.accept_key.first().cloned();
    let key = key.unwrap_or_else(|| SAMPLE_KEY.to_owned());
    let simulator = Simulator::start(config(args)?).await.map_err(|error| {
        let what = format!("cannot listen on 127.0.0.1:{port}: {error}");
        let hint = "choose another port with --port; use 0 for any free port";
        CliError::new(Exit::Unexpected, &what, hint)
    })?;
    if !global.quiet {
        let url = simulator.base_url();
        console::eprint(&format!(
            "simulating a provider at {url}  (press Ctrl-C to stop)\n\
             try: OPENAI_API_KEY={key} promptmill run jobs.example.csv -o results.csv \
             --base-url {url}\n"
        ));
    }
    let (mut shutdown, listener) = signals::listen()?;
    shutdown.changed().await;
    listener.abort();
    simulator.shutdown().await;
    Ok(Exit::Done)
}

/// Starts the provider of `run --simulate`.
pub(super) async fn start_in_process() -> Result<Simulator, CliError> {
    let latency = SimulatedLatency::LogNormal {
        median: MEDIAN,
        p99: P99,
    };
    Ok(Simulator::start(Config::default().latency(latency)).await?)
}

fn config(args: SimulateArgs) -> Result<Config, CliError> {
    let latency = match (args.latency, args.latency_p99) {
        (Some(median), Some(p99)) => SimulatedLatency::LogNormal { median, p99 },
        (Some(time), None) => SimulatedLatency::Constant(time),
        (None, _) => SimulatedLatency::None,
    };
    let limits = SimulatedLimits {
        requests_per_minute: args.limits.rpm.map(NonZero::get),
        request_burst: args.limits.burst.map(NonZero::get),
        tokens_per_minute: args.limits.tpm.map(NonZero::get),
        requests_per_day: args.limits.rpd.map(NonZero::get),
        share_daily_quota: args.limits.rpd_shared.then_some(true),
        ..SimulatedLimits::default()
    };
    let faults = FaultRates {
        server_error: args.faults.error_500,
        unavailable: args.faults.error_503,
        overloaded: args.faults.error_529,
        reset: args.faults.reset,
        hang: args.faults.hang,
        half_body: args.faults.half_body,
        html: args.faults.html,
        error_in_ok: args.faults.error_in_200,
        empty_choices: args.faults.no_choices,
    };
    if !faults.are_valid() {
        let what = "fault rates must be between 0 and 1, and their sum must not exceed 1";
        let hint = "use rates such as 0.05, for one request in twenty";
        return Err(CliError::new(Exit::Usage, what, hint));
    }
    let config = Config::default()
        .port(args.port)
        .seed(args.seed)
        .latency(latency);
    let config = config
        .limits(limits)
        .faults(faults)
        .personality(args.personality);
    Ok(args.accept_key.into_iter().fold(config, Config::key))
}
