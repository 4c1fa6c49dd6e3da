//! Checks the model: whether the endpoint lists it, which name was probably meant, whether it
//! responds to chat requests, and its rate limits.

use secrecy::SecretString;

use super::endpoint::{self, ListedModels, describe, hint_or};
use super::keys::ProbeResults;
use super::probe::ProviderProbe;
use super::report::{DoctorReport, Finding, Group};
use crate::domain::failure::Failure;
use crate::domain::spelling::{Difference, is_listed, nearest};
use crate::domain::verdict::{Scope, Verdict};
use crate::exit::Exit;
use crate::progress::safe::Safe;
use crate::provider::{ProbeTarget, RateHeaders};

/// The checks of the model's name and of the chat endpoint.
const NAME_CHECK: &str = "model name";
const CHAT_CHECK: &str = "POST /chat/completions";

/// Maximum number of models that are listed if none has a similar name.
const MAX_NAMED: usize = 12;

/// Reports whether the model is listed, and the results of the chat requests.
pub(super) async fn run_checks(
    probe: &ProviderProbe<'_>,
    models: &ListedModels,
    results: &ProbeResults,
    key: Option<&SecretString>,
    report: &mut DoctorReport,
) {
    let names = match models {
        ListedModels::Models(names) => Some(names),
        ListedModels::Failed(_) | ListedModels::Unreachable => None,
    };
    let is_listed = names.map(|names| is_listed(names, probe.model));
    let responds = results.succeeded && probe.allow_spend;
    match (is_listed, names) {
        (Some(true), _) => {
            let text = format!("{} is listed", probe.model);
            report.add(Group::Model, Finding::ok(NAME_CHECK, text));
        }
        (Some(false), Some(names)) => {
            let finding = unlisted_finding(probe, names, responds, results);
            report.add(Group::Model, finding);
        }
        _ if responds => report.add(Group::Model, Finding::ok(NAME_CHECK, probe.model)),
        _ => {}
    }
    if responds {
        report.add(Group::Endpoint, Finding::ok(CHAT_CHECK, "responds"));
        report_rate_limits(results.rate.as_ref(), report);
    } else if probe.allow_spend {
        let Some((failure, verdict)) = &results.failure else {
            return;
        };
        let failure = ChatFailure {
            probe,
            failure,
            verdict,
            is_listed,
        };
        if let Some((group, finding)) = failure.finding(models, key).await {
            report.add(group, finding);
        }
    } else if let Some(finding) = other_base_url(probe, models, key).await {
        report.add(Group::Endpoint, finding);
    }
}

/// Returns the finding for a model that the endpoint does not list.
fn unlisted_finding(
    probe: &ProviderProbe<'_>,
    models: &[String],
    responds: bool,
    results: &ProbeResults,
) -> Finding {
    let name = probe.model;
    if responds {
        let text = format!("{name} is not listed, but responds");
        return Finding::warning(NAME_CHECK, text, "");
    }
    let failure = results.failure.as_ref();
    let rejected = failure.filter(|(_, verdict)| verdict.scope != Scope::Transient);
    let rejection = rejected.map_or_else(String::new, |(failure, verdict)| {
        let status = failure.status().unwrap_or_default();
        format!(", and was rejected with HTTP {status} ({})", verdict.rule)
    });
    let near = nearest(name, models);
    let meant = near.as_ref().map_or_else(String::new, |near| {
        format!("; did you mean \"{}\"?", near.name)
    });
    let text = format!("\"{name}\" is not listed{rejection}{meant}");
    let is_error = rejected.is_some() || near.is_some();
    let hint = near.map_or_else(
        || format!("Choose one of the listed models: {}", some_of(models)),
        |near| {
            let difference = spelling_hint(near.difference);
            format!("Use --model {}: {difference}.", Safe(near.name))
        },
    );
    if is_error {
        Finding::error(NAME_CHECK, Exit::Config, text, &hint)
    } else {
        Finding::warning(NAME_CHECK, text, &hint)
    }
}

fn some_of(models: &[String]) -> String {
    let named: Vec<&str> = models.iter().take(MAX_NAMED).map(String::as_str).collect();
    let is_complete = models.len() <= MAX_NAMED;
    let more = if is_complete { "." } else { ", …" };
    format!("{}{more}", named.join(", "))
}

fn spelling_hint(difference: Difference) -> String {
    match difference {
        Difference::Case => "model names are case-sensitive".to_owned(),
        Difference::Character(odd) => format!(
            "the name contains U+{:04X}, which only looks like the right character",
            u32::from(odd)
        ),
        Difference::Suffix(suffix) => format!("`{suffix}` makes it a different model"),
        Difference::VendorPrefix => "the vendor prefix must be as listed".to_owned(),
        Difference::Letters => "this is the listed spelling".to_owned(),
    }
}

fn report_rate_limits(rate: Option<&RateHeaders>, report: &mut DoctorReport) {
    let Some(rate) = rate else { return };
    let window = |what: &str, [limit, left, reset]: [&Option<String>; 3]| {
        let words = match (limit, left) {
            (None, None) => return None,
            (Some(limit), None) => format!("{limit} {what}"),
            (None, Some(left)) => format!("{left} {what} remaining"),
            (Some(limit), Some(left)) => format!("{left} of {limit} {what} remaining"),
        };
        let reset = reset.as_ref();
        let reset = reset.map(|reset| format!(" (resets in {reset})"));
        Some(words + &reset.unwrap_or_default())
    };
    let requests = [
        &rate.limit_requests,
        &rate.remaining_requests,
        &rate.reset_requests,
    ];
    let tokens = [
        &rate.limit_tokens,
        &rate.remaining_tokens,
        &rate.reset_tokens,
    ];
    let windows = [window("requests", requests), window("tokens", tokens)];
    let text = match windows.into_iter().flatten().collect::<Vec<_>>() {
        words if words.is_empty() => "not reported by the endpoint".to_owned(),
        words => words.join(", "),
    };
    report.add(Group::Model, Finding::ok("limits", text));
}

/// A failure of a chat request that was not caused by a key.
struct ChatFailure<'a> {
    probe: &'a ProviderProbe<'a>,
    failure: &'a Failure,
    verdict: &'a Verdict,
    is_listed: Option<bool>,
}

impl ChatFailure<'_> {
    /// Returns the finding for the failure, unless another one covers it.
    async fn finding(
        &self,
        models: &ListedModels,
        key: Option<&SecretString>,
    ) -> Option<(Group, Finding)> {
        let description = describe(self.failure, self.verdict);
        let hint = self.verdict.hint;
        Some(match self.verdict.scope {
            // The finding about the unlisted name covers it.
            Scope::Model | Scope::KeyModel | Scope::Endpoint if self.is_listed == Some(false) => {
                return None;
            }
            Scope::Model | Scope::Endpoint if self.is_listed == Some(true) => {
                let finding = self.wrong_endpoint_finding(&description, key).await;
                (Group::Model, finding)
            }
            Scope::Model => {
                let finding = Finding::error(NAME_CHECK, Exit::Config, description, hint);
                (Group::Model, finding)
            }
            Scope::Endpoint => {
                let other = other_base_url(self.probe, models, key).await;
                let finding = other.unwrap_or_else(|| {
                    let text = format!("wrong endpoint: {description}");
                    Finding::error(CHAT_CHECK, Exit::Config, text, hint)
                });
                (Group::Endpoint, finding)
            }
            Scope::Request => (Group::Model, Finding::warning("request", description, hint)),
            Scope::Network | Scope::Transient => {
                (Group::Endpoint, self.outage_finding(&description))
            }
            Scope::Key | Scope::Account | Scope::KeyModel | Scope::Quota => return None,
        })
    }

    /// Returns the finding for a model that is listed but does not support chat requests.
    async fn wrong_endpoint_finding(
        &self,
        description: &str,
        key: Option<&SecretString>,
    ) -> Finding {
        let model = self.probe.model;
        for target in [ProbeTarget::Embeddings, ProbeTarget::Completions] {
            if self.probe.serves(target, key).await {
                let path = target.path();
                let text = format!("{model} does not support chat requests, only {path}");
                let hint = match target {
                    ProbeTarget::Embeddings => {
                        "Choose a chat model, or use `run --endpoint embeddings`."
                    }
                    ProbeTarget::Completions => {
                        "Choose a chat model: promptmill sends requests to /chat/completions."
                    }
                };
                return Finding::error("chat", Exit::Config, text, hint);
            }
        }
        let text = format!("rejected: {description}");
        Finding::error("chat", Exit::Config, text, self.verdict.hint)
    }

    fn outage_finding(&self, description: &str) -> Finding {
        let exit = match (self.failure, self.verdict.scope) {
            (Failure::ErrorResponse(_), Scope::Network) => Exit::Config,
            _ => Exit::Unavailable,
        };
        let otherwise = "Try again later; a run retries automatically.";
        let hint = hint_or(self.verdict.hint, otherwise);
        Finding::error(CHAT_CHECK, exit, description, hint)
    }
}

/// Returns a finding if the API is not at the base URL, but elsewhere on the same host.
async fn other_base_url(
    probe: &ProviderProbe<'_>,
    models: &ListedModels,
    key: Option<&SecretString>,
) -> Option<Finding> {
    let ListedModels::Failed(Scope::Endpoint | Scope::Network) = models else {
        return None;
    };
    let found = endpoint::find_base_url(probe, key).await?;
    let base = probe.client.endpoint().display();
    let text = format!("no API found at {base}; found one at {found}");
    let hint = format!("Use --base-url {found}");
    Some(Finding::error("base URL", Exit::Config, text, &hint))
}
