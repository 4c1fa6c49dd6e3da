//! `promptmill doctor`: checks the endpoint, keys, model, and queue, and prints one line per
//! check with the result and a hint. It changes nothing.

mod disk;
mod endpoint;
mod key_format;
mod keys;
mod model;
mod probe;
mod queue;
mod report;

use std::io::{self, IsTerminal};
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::progress::safe::Safe;
use crate::provider::{Client, Endpoint};
use crate::simulator::{SAMPLE_KEY, Simulator};

use super::doctor_args::DoctorArgs;
use super::error::CliError;
use super::exit::Exit;
use super::key_sources::NamedKey;
use super::settings::{self, ColorChoice, EndpointSettings, FileSettings, GlobalArgs};
use super::{console, environment, simulate};
use endpoint::ListedModels;
use probe::ProviderProbe;
use queue::QueueState;
use report::{DoctorReport, Finding, Group, ReportStyle};

/// Default timeout of one request, shorter than that of a run.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs `promptmill doctor`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: DoctorArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global);
    let timeout = args.endpoint.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let requested = args.model;
    let mut settings = settings::endpoint(args.endpoint, file);
    settings.limits.total_timeout = timeout;
    let mut report = DoctorReport::default();
    let queue_state = queue::run_checks(&database, &mut report).await;
    let (model, origin) = choose_model(requested, &queue_state);
    if !origin.is_empty() {
        let text = format!("{model}: {origin}");
        report.add(Group::Model, Finding::ok("chosen", text));
    }
    check_provider(&settings, &model, !args.no_spend, &queue_state, &mut report).await?;
    if global.json {
        console::print(&format!("{}\n", report.json()))?;
    } else {
        let (color, quiet) = (stdout_color(global.color), global.quiet);
        console::print(&report.text(ReportStyle { color, quiet }))?;
    }
    Ok(report.exit())
}

/// Returns the model to check and the origin of its name, which is empty for a configured model.
fn choose_model(requested: Option<String>, queue_state: &QueueState) -> (String, String) {
    match (requested, &queue_state.model) {
        (Some(model), _) => (model, String::new()),
        (None, Some((batch, model))) => (model.clone(), format!("the model of batch {batch}")),
        (None, None) => {
            let origin = "the default; choose another with --model".to_owned();
            (settings::DEFAULT_MODEL.to_owned(), origin)
        }
    }
}

/// Checks the endpoint, the keys, and the model.
async fn check_provider(
    settings: &EndpointSettings,
    model: &str,
    allow_spend: bool,
    queue_state: &QueueState,
    report: &mut DoctorReport,
) -> Result<(), CliError> {
    let simulator = if settings.simulate {
        Some(simulate::start_in_process().await?)
    } else {
        None
    };
    let url = simulator
        .as_ref()
        .map_or_else(|| settings.base_url.clone(), Simulator::base_url);
    let endpoint = endpoint::check_base_url(&url, settings.simulate, report);
    let keys = read_keys(settings, endpoint.as_ref(), report).await;
    if let Some(endpoint) = endpoint {
        endpoint::report_proxy(&endpoint, report);
        print_progress(&endpoint);
        match Client::new(endpoint, settings.limits) {
            Ok(client) => {
                let (limits, clock) = (settings.limits, Clock::start());
                let probe = ProviderProbe {
                    client,
                    limits,
                    model,
                    clock,
                    allow_spend,
                };
                check_endpoint(&probe, keys.as_deref(), queue_state, report).await;
            }
            Err(error) => {
                let finding = Finding::from_error("connection", &CliError::from(error));
                report.add(Group::Endpoint, finding);
            }
        }
    }
    if let Some(simulator) = simulator {
        simulator.shutdown().await;
    }
    Ok(())
}

/// Probes the endpoint with all keys; without a usable key, only checks that it responds.
async fn check_endpoint(
    probe: &ProviderProbe<'_>,
    keys: Option<&[NamedKey]>,
    queue_state: &QueueState,
    report: &mut DoctorReport,
) {
    let host = probe.client.endpoint().host();
    let sendable = keys.map_or_else(|| vec![None], |keys| keys::sendable(keys, host));
    let listed = endpoint::connect(probe, &sendable, report).await;
    let Some(keys) = keys.filter(|_| !matches!(listed, ListedModels::Unreachable)) else {
        return;
    };
    let results = keys::run_checks(probe, keys, &listed, queue_state, report).await;
    let key = sendable.first().copied().flatten();
    model::run_checks(probe, &listed, &results, key, report).await;
}

/// Reads the keys; returns `None` if there are none to try. An endpoint on localhost needs none.
async fn read_keys(
    settings: &EndpointSettings,
    endpoint: Option<&Endpoint>,
    report: &mut DoctorReport,
) -> Option<Vec<NamedKey>> {
    if settings.simulate {
        let (label, secret) = ("simulated key".to_owned(), SecretString::from(SAMPLE_KEY));
        return Some(vec![NamedKey::new(label, secret)]);
    }
    let keys = match settings.keys.read().await {
        Ok(keys) => keys,
        Err(error) => {
            report.add(Group::Keys, Finding::from_error("source", &error));
            return None;
        }
    };
    if keys.is_empty() {
        if endpoint.is_some_and(Endpoint::is_loopback) {
            return Some(keys);
        }
        let finding = Finding::error("source", Exit::NoKey, "no API key found", keys::NO_KEY);
        report.add(Group::Keys, finding);
        return None;
    }
    keys::report_source(&settings.keys, keys.len(), report);
    Some(keys)
}

/// Prints which endpoint is being checked, if attached to a terminal.
fn print_progress(endpoint: &Endpoint) {
    if io::stderr().is_terminal() && io::stdout().is_terminal() {
        console::eprint(&format!("checking {} …\n", Safe(endpoint.display())));
    }
}

fn stdout_color(choice: Option<ColorChoice>) -> bool {
    match choice.unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => io::stdout().is_terminal() && !environment::disables_color(),
    }
}
