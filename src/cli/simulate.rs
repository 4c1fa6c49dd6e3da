//! Serves the simulated provider: on a port for trials, or inside a run.

use std::num::NonZero;
use std::time::Duration;

use crate::simulator::{
    Config, FaultRates, Latency, Personality, SAMPLE_KEY, SimulatedLimits, Simulator,
};

use super::args::{Global, PersonalityChoice, SimulateArgs};
use super::error::CliError;
use super::exit::Exit;
use super::{screen, signals};

/// How long an answer of the simulated provider takes inside a run: enough to see it work.
const MEDIAN: Duration = Duration::from_millis(40);
/// The same for one answer in a hundred.
const P99: Duration = Duration::from_millis(250);

/// `promptmill simulate`.
pub(super) async fn command(global: &Global, args: SimulateArgs) -> Result<Exit, CliError> {
    let port = args.port;
    // It refuses a request without a key, as a real provider does.
    let key = args.accept_key.first().cloned();
    let key = key.unwrap_or_else(|| SAMPLE_KEY.to_owned());
    let simulator = Simulator::start(config(args)?).await.map_err(|error| {
        let what = format!("cannot serve on 127.0.0.1:{port}: {error}");
        CliError::new(
            Exit::Unexpected,
            &what,
            "name another port with --port; 0 takes a free one",
        )
    })?;
    if !global.quiet {
        let url = simulator.base_url();
        screen::say(&format!(
            "simulating a provider at {url}  (Ctrl-C ends it)\n\
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
pub(super) async fn start_inside() -> Result<Simulator, CliError> {
    let latency = Latency::LogNormal {
        median: MEDIAN,
        p99: P99,
    };
    Ok(Simulator::start(Config::default().latency(latency)).await?)
}

fn config(args: SimulateArgs) -> Result<Config, CliError> {
    let latency = match (args.latency, args.latency_p99) {
        (Some(median), Some(p99)) => Latency::LogNormal { median, p99 },
        (Some(time), None) => Latency::Constant(time),
        (None, _) => Latency::None,
    };
    let limits = SimulatedLimits {
        requests_per_minute: args.rpm.map(NonZero::get),
        request_burst: args.burst.map(NonZero::get),
        tokens_per_minute: args.tpm.map(NonZero::get),
        requests_per_day: args.rpd.map(NonZero::get),
        day_shared: args.rpd_shared.then_some(true),
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
    let what = "the shares of faults must each be from 0 to 1, and not more than 1 together";
    Err(CliError::new(
        Exit::Usage,
        what,
        "for one request in twenty write 0.05",
    ))
}
