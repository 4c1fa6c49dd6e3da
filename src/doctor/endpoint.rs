//! Checks the endpoint: base URL, proxy, connection, clock, and the list of models.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

use super::probe::ProviderProbe;
use super::report::{DoctorReport, Finding, Group};
use crate::domain::failure::{Failure, TransportErrorKind};
use crate::domain::verdict::{Scope, Verdict};
use crate::exit::Exit;
use crate::progress::quantity::{HumanDuration, Plural};
use crate::progress::safe::Truncated;
use crate::provider::{Client, Endpoint, Exchange};

/// Clock skew, in seconds, above which certificates and waits may fail.
const MAX_CLOCK_SKEW: u64 = 30;

/// Maximum number of characters of a message that are shown.
const MAX_MESSAGE_CHARS: usize = 120;

/// Common paths of base URLs; tried if there is no API at the configured one.
const COMMON_PATHS: [&str; 4] = ["/v1", "/api/v1", "/openai/v1", "/api/openai/v1"];

/// Result of `GET /models`.
#[derive(Debug)]
pub(super) enum ListedModels {
    /// The names of the models.
    Models(Vec<String>),
    /// The endpoint responded, but not with a list. Contains the scope of the failure.
    Failed(Scope),
    /// Nothing responded, or it redirected elsewhere.
    Unreachable,
}

/// Reads an environment variable.
pub(crate) type Variable = fn(&str) -> Option<String>;

/// Displays a response time, in milliseconds below one second.
pub(super) struct ResponseTime(pub(super) Duration);

/// Parses and checks the configured base URL.
pub(super) fn check_base_url(
    text: &str,
    simulated: bool,
    report: &mut DoctorReport,
) -> Option<Endpoint> {
    match Endpoint::parse(text) {
        Ok((endpoint, notes)) => {
            let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
            let base = endpoint.display();
            let finding = if simulated {
                Finding::ok("base URL", "the built-in simulated provider")
            } else if notes.is_empty() {
                Finding::ok("base URL", base)
            } else {
                let text = format!("corrected to {base}: {}", notes.join("; "));
                Finding::warning("base URL", text, &format!("Use --base-url {base}"))
            };
            report.add(Group::Endpoint, finding);
            Some(endpoint)
        }
        Err(error) => {
            report.add(Group::Endpoint, Finding::from_error("base URL", error));
            None
        }
    }
}

/// Reports which proxy is used.
pub(super) fn report_proxy(endpoint: &Endpoint, variable: Variable, report: &mut DoctorReport) {
    let finding = if endpoint.is_loopback() {
        Finding::ok("proxy", "none: the endpoint is on localhost")
    } else if let Some((name, value)) = first_set(
        variable,
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
    ) {
        let except = first_set(variable, ["NO_PROXY", "no_proxy"]);
        let except = except.map_or_else(String::new, |(name, hosts)| {
            let hosts = Truncated(&hosts, MAX_MESSAGE_CHARS);
            format!(", except for {name}={hosts}")
        });
        // User and password precede the `@`.
        let host = value.rsplit('@').next().unwrap_or_default();
        let host = host.rsplit("://").next().unwrap_or_default();
        let host = Truncated(host, MAX_MESSAGE_CHARS);
        Finding::ok("proxy", format!("{host} (from {name}){except}"))
    } else {
        Finding::ok("proxy", "none")
    };
    report.add(Group::Endpoint, finding);
}

fn first_set<const N: usize>(
    variable: Variable,
    names: [&'static str; N],
) -> Option<(&'static str, String)> {
    let mut names = names.into_iter();
    names.find_map(|name| Some((name, variable(name)?)))
}

/// Connects, and lists the models with the first of up to three keys that is not rejected.
pub(super) async fn connect(
    probe: &ProviderProbe<'_>,
    keys: &[Option<&SecretString>],
    report: &mut DoctorReport,
) -> ListedModels {
    let mut attempt = probe.models(keys.first().copied().flatten()).await;
    if attempt.status.is_none() {
        report_unreachable(probe, &attempt, report);
        return ListedModels::Unreachable;
    }
    let tls = if probe.client.endpoint().is_https() {
        "; the certificate is valid"
    } else {
        ""
    };
    let time = ResponseTime(attempt.latency);
    let text = format!("connected; first response after {time}{tls}");
    report.add(Group::Endpoint, Finding::ok("connection", text));
    check_clock(attempt.clock_ahead, report);
    for key in keys.iter().skip(1).take(2) {
        let is_key = |failure| probe.classify(failure).scope == Scope::Key;
        if !attempt.outcome.as_ref().is_err_and(is_key) {
            break;
        }
        attempt = probe.models(*key).await;
    }
    report_models(probe, attempt.outcome, report)
}

fn report_unreachable(
    probe: &ProviderProbe<'_>,
    attempt: &Exchange<Vec<String>>,
    report: &mut DoctorReport,
) {
    let Err(failure) = &attempt.outcome else {
        return;
    };
    let exit = match failure {
        Failure::Transport(what) if what.kind == TransportErrorKind::Certificate => Exit::Config,
        _ => Exit::Unavailable,
    };
    let verdict = probe.classify(failure);
    let (host, description) = (probe.client.endpoint().host(), describe(failure, &verdict));
    let text = format!("cannot reach {host}: {description}");
    let otherwise = "Try again later; if the error persists, check the network connection.";
    let finding = Finding::error("connection", exit, text, hint_or(verdict.hint, otherwise));
    report.add(Group::Endpoint, finding);
}

fn check_clock(ahead: Option<i64>, report: &mut DoctorReport) {
    let Some(ahead) = ahead else {
        let text = "not checked: the endpoint sends no Date header";
        report.add(Group::Endpoint, Finding::ok("clock", text));
        return;
    };
    let skew = Duration::from_millis(ahead.unsigned_abs());
    let finding = if skew.as_secs() < MAX_CLOCK_SKEW {
        Finding::ok("clock", "in sync with the endpoint")
    } else {
        let side = if ahead > 0 { "behind" } else { "ahead of" };
        let skew = HumanDuration(skew);
        let text = format!("this machine's clock is {skew} {side} the endpoint's");
        let hint = "Synchronize this machine's clock, preferably with NTP.";
        Finding::warning("clock", text, hint)
    };
    report.add(Group::Endpoint, finding);
}

fn report_models(
    probe: &ProviderProbe<'_>,
    outcome: Result<Vec<String>, Failure>,
    report: &mut DoctorReport,
) -> ListedModels {
    let failure = match outcome {
        Ok(models) => {
            let text = format!("{} listed", Plural(models.len() as u64, "model"));
            report.add(Group::Endpoint, Finding::ok("GET /models", text));
            return ListedModels::Models(models);
        }
        Err(failure) => failure,
    };
    let verdict = probe.classify(&failure);
    if verdict.rule == "redirect" {
        report.add(Group::Endpoint, redirect_finding(&failure, &verdict));
        return ListedModels::Unreachable;
    }
    // A rejected key has its own line.
    if !matches!(verdict.scope, Scope::Key | Scope::Account) && verdict.rule != "key-missing" {
        let rest = if probe.allow_spend {
            "relying on the chat request alone"
        } else {
            "no chat request is sent because of --no-spend"
        };
        let text = format!("{}; {rest}", describe(&failure, &verdict));
        report.add(Group::Endpoint, Finding::warning("GET /models", text, ""));
    }
    ListedModels::Failed(verdict.scope)
}

fn redirect_finding(failure: &Failure, verdict: &Verdict) -> Finding {
    let to = match failure {
        Failure::ErrorResponse(response) if !response.redirect_to.is_empty() => {
            &response.redirect_to
        }
        _ => "another URL",
    };
    let text = format!("the endpoint redirects to {to}; keys are not sent to redirect targets");
    Finding::error("redirect", Exit::Config, text, verdict.hint)
}

/// Formats the message, status, and rule of a failure.
pub(super) fn describe(failure: &Failure, verdict: &Verdict) -> String {
    let status = failure
        .status()
        .filter(|_| matches!(failure, Failure::ErrorResponse(_)))
        .map_or_else(String::new, |status| format!("HTTP {status}, "));
    let message = failure.message();
    let message = Truncated(&message, MAX_MESSAGE_CHARS);
    format!("{message} ({status}{})", verdict.rule)
}

/// Searches for the API at common paths of the same host.
pub(super) async fn find_base_url(
    probe: &ProviderProbe<'_>,
    key: Option<&SecretString>,
) -> Option<String> {
    let endpoint = probe.client.endpoint();
    let base = endpoint.path();
    let mut paths: Vec<String> = vec![format!("{base}/v1")];
    // Anything after the version does not belong to a base URL.
    paths.extend(base.find("/v1/").map(|at| base[..at + 3].to_owned()));
    paths.extend(COMMON_PATHS.map(str::to_owned));
    for path in paths.into_iter().filter(|path| path != base) {
        let Ok(client) = Client::new(endpoint.with_path(&path), probe.limits) else {
            continue;
        };
        let attempt = client.models(key, probe.clock.now()).await;
        let found = match &attempt.outcome {
            Ok(_) => true,
            Err(failure) => probe.classify(failure).scope == Scope::Key,
        };
        if found {
            return Some(client.endpoint().display().to_owned());
        }
    }
    None
}

impl fmt::Display for ResponseTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            HumanDuration(self.0).fmt(f)
        }
    }
}

/// Returns the hint of a rule, or `otherwise` if it has none.
pub(super) fn hint_or<'a>(hint: &'a str, otherwise: &'a str) -> &'a str {
    if hint.is_empty() { otherwise } else { hint }
}
