//! `promptmill doctor`: tries endpoint, keys, model and queue one by one, and says in one line each
//! what is well, what is not, and what to do. It changes nothing.

mod asking;
mod disk;
mod endpoint;
mod key_form;
mod keys;
mod model;
mod queue;
mod report;

use std::io::{self, IsTerminal};
use std::time::Duration;

use secrecy::SecretString;

use super::args::{ColorChoice, DoctorArgs, Global};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::key_sources::NamedKey;
use super::settings::{self, EndpointSettings};
use super::{environment, screen, simulate};
use crate::clock::Clock;
use crate::progress::safe::Safe;
use crate::provider::{Client, Endpoint};
use crate::simulator::{SAMPLE_KEY, Simulator};
use asking::Asking;
use endpoint::Listed;
use queue::Remembered;
use report::{Finding, Group, Look, Report};

/// How long one request may take when nobody says: nobody waits minutes for a check.
const PATIENCE: Duration = Duration::from_mins(1);

/// `promptmill doctor`.
pub(super) async fn command(
    global: &Global,
    args: DoctorArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let patience = args.endpoint.timeout.or(file.timeout).unwrap_or(PATIENCE);
    let given = args.model.or(file.model.clone());
    let mut settings = settings::endpoint(args.endpoint, file);
    settings.limits.total_timeout = patience;
    let mut report = Report::default();
    let remembered = queue::examine(&database, &mut report).await;
    let (model, origin) = choose_model(given, &remembered);
    if !origin.is_empty() {
        let text = format!("{model}: {origin}");
        report.add(Group::Model, Finding::ok("chosen", text));
    }
    outside(&settings, &model, !args.no_spend, &remembered, &mut report).await?;
    if global.json {
        screen::print(&format!("{}\n", report.json()))?;
    } else {
        let (color, quiet) = (stdout_color(global.color), global.quiet);
        screen::print(&report.text(Look { color, quiet }))?;
    }
    Ok(report.exit())
}

/// The model that a run would use, and why, when nobody named one.
fn choose_model(given: Option<String>, remembered: &Remembered) -> (String, String) {
    match (given, &remembered.model) {
        (Some(model), _) => (model, String::new()),
        (None, Some((batch, model))) => (model.clone(), format!("that of the batch {batch}")),
        (None, None) => {
            let origin = "the default; --model names another".to_owned();
            (settings::MODEL.to_owned(), origin)
        }
    }
}

/// Checks all that is outside of this machine.
async fn outside(
    settings: &EndpointSettings,
    model: &str,
    spends: bool,
    remembered: &Remembered,
    report: &mut Report,
) -> Result<(), CliError> {
    let simulator = if settings.simulate {
        Some(simulate::start_inside().await?)
    } else {
        None
    };
    let url = simulator
        .as_ref()
        .map_or_else(|| settings.base_url.clone(), Simulator::base_url);
    let endpoint = endpoint::base_url(&url, settings.simulate, report);
    let keys = read_keys(settings, endpoint.as_ref(), report).await;
    if let Some(endpoint) = endpoint {
        endpoint::proxy(&endpoint, report);
        announce(&endpoint);
        match Client::new(endpoint, settings.limits) {
            Ok(client) => {
                let (limits, clock) = (settings.limits, Clock::start());
                let asking = Asking {
                    client,
                    limits,
                    model,
                    clock,
                    spends,
                };
                ask(&asking, keys.as_deref(), remembered, report).await;
            }
            Err(error) => {
                let finding = Finding::of("connection", &CliError::from(error));
                report.add(Group::Endpoint, finding);
            }
        }
    }
    if let Some(simulator) = simulator {
        simulator.shutdown().await;
    }
    Ok(())
}

/// Asks the endpoint with all keys; without keys that may be tried, only whether it is there.
async fn ask(
    asking: &Asking<'_>,
    keys: Option<&[NamedKey]>,
    remembered: &Remembered,
    report: &mut Report,
) {
    let host = asking.client.endpoint().host();
    let sendable = keys.map_or_else(|| vec![None], |keys| keys::sendable(keys, host));
    let listed = endpoint::connect(asking, &sendable, report).await;
    let Some(keys) = keys.filter(|_| !matches!(listed, Listed::Unreachable)) else {
        return;
    };
    let told = keys::examine(asking, keys, &listed, remembered, report).await;
    let key = sendable.first().copied().flatten();
    model::examine(asking, &listed, &told, key, report).await;
}

/// Reads the keys; `None` when there are none that could be tried. An endpoint on this machine
/// needs none.
async fn read_keys(
    settings: &EndpointSettings,
    endpoint: Option<&Endpoint>,
    report: &mut Report,
) -> Option<Vec<NamedKey>> {
    if settings.simulate {
        let (label, secret) = ("simulated key".to_owned(), SecretString::from(SAMPLE_KEY));
        return Some(vec![NamedKey::new(label, secret)]);
    }
    let keys = match settings.keys.read().await {
        Ok(keys) => keys,
        Err(error) => {
            report.add(Group::Keys, Finding::of("source", &error));
            return None;
        }
    };
    if keys.is_empty() {
        if endpoint.is_some_and(Endpoint::is_loopback) {
            return Some(keys);
        }
        let finding = Finding::wrong("source", Exit::NoKey, "no key was given", keys::NO_KEY);
        report.add(Group::Keys, finding);
        return None;
    }
    keys::sources(&settings.keys, keys.len(), report);
    Some(keys)
}

/// Says at once what is waited for, where somebody sits before it.
fn announce(endpoint: &Endpoint) {
    if io::stderr().is_terminal() && io::stdout().is_terminal() {
        screen::say(&format!("asking {} …\n", Safe(endpoint.display())));
    }
}

fn stdout_color(choice: Option<ColorChoice>) -> bool {
    match choice.unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => io::stdout().is_terminal() && !environment::is_plain(),
    }
}
