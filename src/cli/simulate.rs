//! `promptmill simulate`, and the simulated provider of `run --simulate`.

use std::num::NonZero;
use std::time::Duration;

use crate::simulator::{
    Config, FaultRates, Personality, SAMPLE_KEY, SimulatedLatency, SimulatedLimits, Simulator,
};

use super::args::{GlobalArgs, PersonalityChoice, SimulateArgs};
use super::error::CliError;
use super::exit::Exit;
use super::{console, signals};

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
        CliError::new(
            Exit::Unexpected,
            &what,
            "choose another port with --port; use 0 for any free port",
        )
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
        requests_per_minute: args.rpm.map(NonZero::get),
        request_burst: args.burst.map(NonZero::get),
        tokens_per_minute: args.tpm.map(NonZero::get),
        requests_per_day: args.rpd.map(NonZero::get),
        share_daily_quota: args.rpd_shared.then_some(true),
        ..SimulatedLimits::default()
    };
    let faults = FaultRates {
        server_error: args.error_500,
        unavailable: args.error_503,
        overloaded: args.error_529,
        reset: args.reset,
        hang: args.hang,
        half_body: args.half_body,
        html: args.html,
        error_in_ok: args.error_in_200,
        empty_choices: args.no_choices,
    };
    check(&faults)?;
    let personality = match args.personality {
        PersonalityChoice::Openai => Personality::OpenAi,
        PersonalityChoice::GptApiFree => Personality::GptApiFree,
    };
    let config = Config::default()
        .port(args.port)
        .seed(args.seed)
        .latency(latency);
    let config = config
        .limits(limits)
        .faults(faults)
        .personality(personality);
    Ok(args.accept_key.into_iter().fold(config, Config::key))
}

fn check(faults: &FaultRates) -> Result<(), CliError> {
    let FaultRates {
        server_error,
        unavailable,
        overloaded,
        reset,
        hang,
        half_body,
        html,
        error_in_ok,
        empty_choices,
    } = *faults;
    let rates = [
        server_error,
        unavailable,
        overloaded,
        reset,
        hang,
        half_body,
        html,
        error_in_ok,
        empty_choices,
    ];
    let sum: f64 = rates.iter().sum();
    if rates.iter().all(|rate| (0.0..=1.0).contains(rate)) && sum <= 1.0 {
        return Ok(());
    }
    let what = "fault rates must be between 0 and 1, and their sum must not exceed 1";
    Err(CliError::new(
        Exit::Usage,
        what,
        "use rates such as 0.05, for one request in twenty",
    ))
}
