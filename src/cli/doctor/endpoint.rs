//! The endpoint's part: its address, the proxy before it, whether it answers, its clock, and the
//! list of its models.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

use super::asking::Asking;
use super::report::{Finding, Group, Report};
use crate::cli::environment;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::domain::failure::{Failure, TransportFault};
use crate::domain::verdict::{Scope, Verdict};
use crate::progress::quantity::{Span, Things};
use crate::progress::safe::Excerpt;
use crate::provider::{Attempt, Client, Endpoint};

/// Clocks may differ by so much, in seconds. More makes certificates and waits go wrong.
const SKEW: u64 = 30;

/// The longest message that is shown, in characters.
const MESSAGE: usize = 120;

/// Where the base URL of an API ends, as far as is known; tried when nothing answers at the given one.
const USUAL_PATHS: [&str; 4] = ["/v1", "/api/v1", "/openai/v1", "/api/openai/v1"];

/// What `GET /models` told.
#[derive(Debug)]
pub(super) enum Listed {
    /// The models.
    Models(Vec<String>),
    /// Nothing, though something answered; with whose fault it is.
    Refused(Scope),
    /// There is no way to ask: nothing answers, or something else does.
    Unreachable,
}

/// How long something took, to the millisecond where it was quick.
pub(super) struct Took(pub(super) Duration);

/// Checks the base URL as it was given.
pub(super) fn base_url(text: &str, simulated: bool, report: &mut Report) -> Option<Endpoint> {
    match Endpoint::parse(text) {
        Ok((endpoint, notes)) => {
            let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
            let base = endpoint.display();
            let finding = if simulated {
                Finding::ok("base URL", "the simulated provider inside this program")
            } else if notes.is_empty() {
                Finding::ok("base URL", base)
            } else {
                let text = format!("{base} was made of it: {}", notes.join("; "));
                Finding::warning("base URL", text, &format!("Write --base-url {base}"))
            };
            report.add(Group::Endpoint, finding);
            Some(endpoint)
        }
        Err(error) => {
            let finding = Finding::of("base URL", &CliError::from(error));
            report.add(Group::Endpoint, finding);
            None
        }
    }
}

/// Says which proxy requests go through.
pub(super) fn proxy(endpoint: &Endpoint, report: &mut Report) {
    let finding = if endpoint.is_loopback() {
        Finding::ok("proxy", "none: the endpoint is this machine")
    } else if let Some((name, value)) =
        first_set(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
    {
        let except = first_set(["NO_PROXY", "no_proxy"]);
        let except = except.map_or_else(String::new, |(name, hosts)| {
            format!(", except for {name}={}", Excerpt(&hosts, MESSAGE))
        });
        // What stands before the `@` is a user and a password.
        let host = value.rsplit('@').next().unwrap_or_default();
        let host = host.rsplit("://").next().unwrap_or_default();
        Finding::ok(
            "proxy",
            format!("{} (from {name}){except}", Excerpt(host, MESSAGE)),
        )
    } else {
        Finding::ok("proxy", "none")
    };
    report.add(Group::Endpoint, finding);
}

fn first_set<const N: usize>(names: [&'static str; N]) -> Option<(&'static str, String)> {
    let mut names = names.into_iter();
    names.find_map(|name| Some((name, environment::text(name)?)))
}

/// Connects, asks for the list of models with the first key that is let in, and says what came.
pub(super) async fn connect(
    asking: &Asking<'_>,
    keys: &[Option<&SecretString>],
    report: &mut Report,
) -> Listed {
    let mut attempt = asking.models(keys.first().copied().flatten()).await;
    if attempt.status.is_none() {
        unreachable(asking, &attempt, report);
        return Listed::Unreachable;
    }
    let tls = if asking.client.endpoint().is_https() {
        ", its certificate is trusted"
    } else {
        ""
    };
    let text = format!("something answers after {}{tls}", Took(attempt.latency));
    report.add(Group::Endpoint, Finding::ok("connection", text));
    clock(attempt.clock_ahead, report);
    for key in keys.iter().skip(1).take(2) {
        let is_key = |failure| asking.judge(failure).scope == Scope::Key;
        if !attempt.outcome.as_ref().is_err_and(is_key) {
            break;
        }
        attempt = asking.models(*key).await;
    }
    listed(asking, attempt.outcome, report)
}

fn unreachable(asking: &Asking<'_>, attempt: &Attempt<Vec<String>>, report: &mut Report) {
    let Err(failure) = &attempt.outcome else {
        return;
    };
    let certificate =
        matches!(failure, Failure::NoResponse(what) if what.fault == TransportFault::Certificate);
    let exit = if certificate {
        Exit::Config
    } else {
        Exit::Unavailable
    };
    let verdict = asking.judge(failure);
    let text = format!(
        "{} cannot be reached: {} ({})",
        asking.client.endpoint().host(),
        Excerpt(&failure.message(), MESSAGE),
        verdict.rule
    );
    let hint = or(
        verdict.hint,
        "Try again; if it stays so, look at the network.",
    );
    report.add(
        Group::Endpoint,
        Finding::wrong("connection", exit, text, hint),
    );
}

fn clock(ahead: Option<i64>, report: &mut Report) {
    let Some(ahead) = ahead else {
        let text = "not compared: the endpoint tells no time";
        report.add(Group::Endpoint, Finding::ok("clock", text));
        return;
    };
    let apart = Duration::from_millis(ahead.unsigned_abs());
    let finding = if apart.as_secs() < SKEW {
        Finding::ok("clock", "agrees with the endpoint's")
    } else {
        let side = if ahead > 0 { "behind" } else { "ahead of" };
        let text = format!("this machine is {} {side} the endpoint", Span(apart));
        Finding::warning("clock", text, "Set this machine's clock, best by NTP.")
    };
    report.add(Group::Endpoint, finding);
}

fn listed(
    asking: &Asking<'_>,
    outcome: Result<Vec<String>, Failure>,
    report: &mut Report,
) -> Listed {
    let failure = match outcome {
        Ok(models) => {
            let text = format!("{} listed", Things(models.len() as u64, "model"));
            report.add(Group::Endpoint, Finding::ok("GET /models", text));
            return Listed::Models(models);
        }
        Err(failure) => failure,
    };
    let verdict = asking.judge(&failure);
    if verdict.rule == "redirect" {
        report.add(Group::Endpoint, redirected(&failure, &verdict));
        return Listed::Unreachable;
    }
    // A refused key has a line of its own.
    if !matches!(verdict.scope, Scope::Key | Scope::Account) && verdict.rule != "key-missing" {
        let rest = if asking.spends {
            "going by the chat call alone"
        } else {
            "and no chat call is made that could tell more"
        };
        let text = format!("{}; {rest}", said(&failure, &verdict));
        report.add(Group::Endpoint, Finding::warning("GET /models", text, ""));
    }
    Listed::Refused(verdict.scope)
}

fn redirected(failure: &Failure, verdict: &Verdict) -> Finding {
    let to = match failure {
        Failure::Refused(refusal) if !refusal.redirect_to.is_empty() => &refusal.redirect_to,
        _ => "somewhere else",
    };
    let text = format!("it redirects to {to}, and no key is sent after a redirect");
    Finding::wrong("redirect", Exit::Config, text, verdict.hint)
}

/// Says what was refused, how, and by which rule.
pub(super) fn said(failure: &Failure, verdict: &Verdict) -> String {
    let status = failure
        .status()
        .filter(|_| matches!(failure, Failure::Refused(_)))
        .map_or_else(String::new, |status| format!("HTTP {status}, "));
    let message = failure.message();
    format!("{} ({status}{})", Excerpt(&message, MESSAGE), verdict.rule)
}

/// Looks for the API at the usual paths of the same host.
pub(super) async fn find_base(asking: &Asking<'_>, key: Option<&SecretString>) -> Option<String> {
    let base = asking.client.endpoint().display();
    let start = base.find("://")? + 3;
    let path = base[start..].find('/').map_or(base.len(), |at| start + at);
    let mut bases: Vec<String> = vec![format!("{base}/v1")];
    // What follows the version is no part of a base URL.
    bases.extend(base.find("/v1/").map(|at| base[..at + 3].to_owned()));
    bases.extend(USUAL_PATHS.map(|usual| format!("{}{usual}", &base[..path])));
    for candidate in bases.into_iter().filter(|candidate| candidate != base) {
        let Ok((endpoint, _)) = Endpoint::parse(&candidate) else {
            continue;
        };
        let Ok(client) = Client::new(endpoint, asking.limits) else {
            continue;
        };
        let attempt = client.models(key, asking.clock.now()).await;
        let found = match &attempt.outcome {
            Ok(_) => true,
            Err(failure) => asking.judge(failure).scope == Scope::Key,
        };
        if found {
            return Some(candidate);
        }
    }
    None
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            Span(self.0).fmt(f)
        }
    }
}

/// The cure of a rule, or one for when it has none.
pub(super) fn or<'a>(hint: &'a str, otherwise: &'a str) -> &'a str {
    if hint.is_empty() { otherwise } else { hint }
}
