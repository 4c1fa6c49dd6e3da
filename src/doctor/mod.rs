//! Checks the endpoint, keys, model, and queue, and reports one line per check with the result and
//! a hint: what is wrong, and what to do. It changes nothing.

mod disk;
mod endpoint;
mod key_format;
mod keys;
mod model;
mod probe;
mod queue;
mod report;

use std::io::Write as _;

use crate::clock::Clock;
use crate::progress::Stderr;
use crate::progress::safe::Safe;
use crate::provider::{Client, ClientLimits};
use crate::store::Location;

use self::endpoint::{ListedModels, Variable};
pub(crate) use self::keys::{KeyList, LabeledKey};
use self::probe::ProviderProbe;
use self::queue::QueueState;
pub(crate) use self::report::{DoctorReport, ReportStyle};
use self::report::{Finding, Group};

/// What to check.
#[derive(Debug)]
pub(crate) struct DoctorOptions {
    /// The database, which may not exist yet.
    pub(crate) database: Location,
    /// The configured base URL.
    pub(crate) base_url: String,
    /// Whether it is the base URL of the built-in simulated provider.
    pub(crate) simulated: bool,
    /// Limits of a request.
    pub(crate) limits: ClientLimits,
    /// The API keys.
    pub(crate) keys: KeyList,
    /// The configured model.
    pub(crate) model: Option<String>,
    /// The model to check if none is configured and the queue has no batch.
    pub(crate) default_model: &'static str,
    /// Whether chat requests, which may cost money, are allowed.
    pub(crate) allow_spend: bool,
    /// Whether to print the endpoint before it is checked.
    pub(crate) show_progress: bool,
    /// Reads an environment variable.
    pub(crate) variable: Variable,
}

/// Runs all checks.
pub(crate) async fn examine(options: DoctorOptions) -> DoctorReport {
    let mut report = DoctorReport::default();
    let queue_state = queue::run_checks(&options.database, &mut report).await;
    let model = choose_model(&options, &queue_state, &mut report);
    let endpoint = endpoint::check_base_url(&options.base_url, options.simulated, &mut report);
    let keys = keys::check_source(options.keys, endpoint.as_ref(), &mut report);
    let Some(endpoint) = endpoint else {
        return report;
    };
    endpoint::report_proxy(&endpoint, options.variable, &mut report);
    if options.show_progress {
        let _ = writeln!(Stderr, "checking {} …", Safe(endpoint.display()));
    }
    match Client::new(endpoint, options.limits) {
        Ok(client) => {
            let probe = ProviderProbe {
                client,
                limits: options.limits,
                model: &model,
                clock: Clock::start(),
                allow_spend: options.allow_spend,
            };
            check_endpoint(&probe, keys.as_deref(), &queue_state, &mut report).await;
        }
        Err(error) => {
            report.add(Group::Endpoint, Finding::from_error("connection", error));
        }
    }
    report
}

/// Returns the model to check, and reports its origin unless it is configured.
fn choose_model(
    options: &DoctorOptions,
    queue_state: &QueueState,
    report: &mut DoctorReport,
) -> String {
    let (model, origin) = match (&options.model, &queue_state.model) {
        (Some(model), _) => return model.clone(),
        (None, Some((batch, model))) => (model.as_str(), format!("the model of batch {batch}")),
        (None, None) => {
            let origin = "the default; choose another with --model";
            (options.default_model, origin.to_owned())
        }
    };
    let text = format!("{model}: {origin}");
    report.add(Group::Model, Finding::ok("chosen", text));
    model.to_owned()
}

/// Probes the endpoint with all keys; without a usable key, only checks that it responds.
async fn check_endpoint(
    probe: &ProviderProbe<'_>,
    keys: Option<&[LabeledKey]>,
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
