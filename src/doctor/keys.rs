//! Checks the API keys: their source, the mode of key files, the key format, and whether the
//! endpoint accepts each key. Only the label and the fingerprint of a key are shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::endpoint::{ListedModels, ResponseTime, describe, hint_or};
use super::key_format::{FormatMatch, KnownProvider, match_format};
use super::probe::{ProviderProbe, is_accepted};
use super::queue::QueueState;
use super::report::{DoctorReport, Finding, Group};
use crate::domain::failure::Failure;
use crate::domain::key::state_text;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Scope, Verdict};
use crate::exit::{CliError, Exit};
use crate::progress::moment::DateTime;
use crate::progress::quantity::HumanDuration;
use crate::progress::safe::Truncated;
use crate::provider::{Endpoint, RateHeaders};

/// Maximum number of characters of a reason that are shown.
const MAX_REASON_CHARS: usize = 80;

/// Hint for an endpoint that requires a key when there is none.
const NO_KEY: &str = "Set OPENAI_API_KEY or pass --api-key-file FILE. To try promptmill without a key, use --simulate.";

/// Results of the requests that do not concern a single key.
#[derive(Debug, Default)]
pub(super) struct ProbeResults {
    /// Whether any key was accepted.
    pub(super) succeeded: bool,
    /// The first failure that was not caused by a key.
    pub(super) failure: Option<(Failure, Verdict)>,
    /// The rate-limit headers of the first response.
    pub(super) rate: Option<RateHeaders>,
}

/// The configured API keys.
#[derive(Debug)]
pub(crate) struct KeyList {
    /// The source of the keys, if it is to be reported.
    pub(crate) source: Option<String>,
    /// The files that contain them.
    pub(crate) files: Vec<PathBuf>,
    /// The keys, or the reason why they cannot be read.
    pub(crate) keys: Result<Vec<LabeledKey>, CliError>,
}

/// An API key with its label.
#[derive(Debug)]
pub(crate) struct LabeledKey {
    pub(crate) label: String,
    pub(crate) secret: SecretString,
}

/// A key to check.
struct KeyCheck<'a> {
    label: String,
    key: Option<&'a LabeledKey>,
    format_match: FormatMatch,
}

/// Reports the source of the keys and the modes of their files. Returns `None` if there are no keys
/// to try; an endpoint on localhost needs none.
pub(super) fn check_source(
    sources: KeyList,
    endpoint: Option<&Endpoint>,
    report: &mut DoctorReport,
) -> Option<Vec<LabeledKey>> {
    let keys = match sources.keys {
        Ok(keys) => keys,
        Err(error) => {
            report.add(Group::Keys, Finding::from_error("source", error));
            return None;
        }
    };
    if keys.is_empty() {
        if endpoint.is_some_and(Endpoint::is_loopback) {
            return Some(keys);
        }
        let finding = Finding::error("source", Exit::NoKey, "no API key found", NO_KEY);
        report.add(Group::Keys, finding);
        return None;
    }
    if let Some(source) = sources.source {
        let plural = if keys.len() == 1 { "key" } else { "keys" };
        let text = format!("{} {plural} from {source}", keys.len());
        report.add(Group::Keys, Finding::ok("source", text));
    }
    for file in &sources.files {
        report.add(Group::Keys, check_file_mode(file));
    }
    Some(keys)
}

/// A key file that others can access is only read with `--insecure-key-file`.
fn check_file_mode(file: &Path) -> Finding {
    let mode = fs::metadata(file).map_or(0, |data| data.permissions().mode() & 0o777);
    let shown = file.display();
    if mode & 0o077 != 0 {
        let text = format!("other users can access {shown} (mode {mode:o})");
        return Finding::warning("key file", text, &format!("Run `chmod 600 {shown}`."));
    }
    Finding::ok("key file", format!("only you can read {shown}"))
}

/// Returns the keys that can be sent to the endpoint, or a single `None` if there are no keys.
pub(super) fn sendable<'a>(keys: &'a [LabeledKey], host: &str) -> Vec<Option<&'a SecretString>> {
    if keys.is_empty() {
        return vec![None];
    }
    let is_allowed = |key: &&LabeledKey| {
        let format_match = match_format(key.secret.expose_secret(), host);
        !matches!(format_match, FormatMatch::OtherProvider(_))
    };
    let allowed = keys.iter().filter(is_allowed);
    allowed.map(|key| Some(&key.secret)).collect()
}

/// Checks each key with one request.
pub(super) async fn run_checks(
    probe: &ProviderProbe<'_>,
    keys: &[LabeledKey],
    models: &ListedModels,
    queue_state: &QueueState,
    report: &mut DoctorReport,
) -> ProbeResults {
    let lists = matches!(models, ListedModels::Models(_));
    let mut results = ProbeResults::default();
    let mut key_checks = key_checks(probe, keys, queue_state).into_iter();
    while let Some(check) = key_checks.next() {
        if let FormatMatch::OtherProvider(provider) = &check.format_match {
            report.add(Group::Keys, other_provider_finding(&check, provider));
            continue;
        }
        let Err(failure) = try_key(probe, &check, &mut results, report).await else {
            report_stored_state(probe, &check, queue_state, report);
            continue;
        };
        let verdict = probe.classify(&failure);
        let finding = failure_finding(probe, &check, (&failure, &verdict), lists);
        report.add(Group::Keys, finding);
        if is_key_failure(&verdict) {
            continue;
        }
        results.failure.get_or_insert((failure, verdict));
        let affects_all_keys = verdict.scope == Scope::Endpoint && !lists;
        if affects_all_keys || verdict.scope == Scope::Network {
            report_skipped(key_checks.count(), report);
            break;
        }
    }
    results
}

/// Sends one request with a key, and reports success.
async fn try_key(
    probe: &ProviderProbe<'_>,
    check: &KeyCheck<'_>,
    results: &mut ProbeResults,
    report: &mut DoctorReport,
) -> Result<(), Failure> {
    let secret = check.key.map(|key| &key.secret);
    let (outcome, rate, done) = if probe.allow_spend {
        let attempt = probe.chat(secret).await;
        let outcome = attempt.outcome.map(|_| attempt.latency);
        (outcome, attempt.rate, "responded")
    } else {
        let attempt = probe.models(secret).await;
        let outcome = attempt.outcome.map(|_| attempt.latency);
        let done = "listed the models (no chat request was sent)";
        (outcome, attempt.rate, done)
    };
    results.rate.get_or_insert(rate);
    let text = match outcome {
        Ok(latency) => format!("{done} after {}", ResponseTime(latency)),
        Err(failure) if is_accepted(&failure) => "accepted for this model".to_owned(),
        Err(failure) => return Err(failure),
    };
    results.succeeded = true;
    report.add(Group::Keys, Finding::ok(&check.label, text));
    Ok(())
}

fn other_provider_finding(check: &KeyCheck<'_>, provider: &KnownProvider) -> Finding {
    let text = format!("not sent: it looks like a key for {}", provider.name);
    let hint = format!(
        "Use this key with --base-url {}, or use a key for this endpoint.",
        provider.base_url
    );
    Finding::error(&check.label, Exit::NoKey, text, &hint)
}

/// Reports keys that were not tried because they would get the same response.
fn report_skipped(count: usize, report: &mut DoctorReport) {
    if count > 0 {
        let text = format!("{count} not tried");
        report.add(Group::Keys, Finding::warning("other keys", text, ""));
    }
}

fn key_checks<'a>(
    probe: &ProviderProbe<'_>,
    keys: &'a [LabeledKey],
    queue_state: &QueueState,
) -> Vec<KeyCheck<'a>> {
    if keys.is_empty() {
        return vec![KeyCheck {
            label: "no key".to_owned(),
            key: None,
            format_match: FormatMatch::Unknown,
        }];
    }
    let host = probe.client.endpoint().host();
    let key_checks = keys.iter().map(|key| KeyCheck {
        label: match fingerprint(key, queue_state) {
            Some(fingerprint) => format!("{} ({fingerprint})", key.label),
            None => key.label.clone(),
        },
        key: Some(key),
        format_match: match_format(key.secret.expose_secret(), host),
    });
    key_checks.collect()
}

/// Returns the fingerprint of a key as stored in the database, or `None` if there is no database.
fn fingerprint(key: &LabeledKey, queue_state: &QueueState) -> Option<String> {
    let salt = queue_state.salt.as_ref()?;
    Some(salt.fingerprint(&key.secret))
}

/// Returns whether a failure concerns only the key that was used.
fn is_key_failure(verdict: &Verdict) -> bool {
    matches!(verdict.scope, Scope::Key | Scope::Account | Scope::Quota)
        || verdict.rule == "key-missing"
}

fn failure_finding(
    probe: &ProviderProbe<'_>,
    check: &KeyCheck<'_>,
    (failure, verdict): (&Failure, &Verdict),
    lists: bool,
) -> Finding {
    let label = &check.label;
    let description = describe(failure, verdict);
    let is_missing = verdict.rule == "key-missing";
    let unusable = || {
        let hint = match check.key {
            None => NO_KEY.to_owned(),
            Some(_) if is_missing => verdict.hint.to_owned(),
            Some(_) => rejected_key_hint(check, verdict),
        };
        Finding::error(label, Exit::NoKey, &*description, &hint)
    };
    let not_rejected = || Finding::ok(label, "not rejected; the request failed for another reason");
    match verdict.scope {
        _ if is_missing => unusable(),
        Scope::Key => unusable(),
        Scope::Account => Finding::error(label, Exit::NoKey, &*description, verdict.hint),
        Scope::Quota => {
            let wait = verdict.wait.map_or_else(String::new, |wait| {
                let wait = HumanDuration(wait);
                format!("The limit resets in {wait}; a run waits automatically.")
            });
            let otherwise = hint_or(&wait, "Wait a minute; a run waits automatically.");
            let text = format!("accepted, but a rate limit or quota is reached: {description}");
            Finding::warning(label, text, hint_or(verdict.hint, otherwise))
        }
        Scope::KeyModel => {
            let text = format!("no access to {}: {description}", probe.model);
            Finding::error(label, Exit::NoKey, text, verdict.hint)
        }
        Scope::Model | Scope::Request => not_rejected(),
        Scope::Endpoint if lists => not_rejected(),
        Scope::Endpoint | Scope::Network | Scope::Transient => {
            Finding::warning(label, "not checked: the endpoint failed first", "")
        }
    }
}

/// Returns the hint for a rejected key; its format may reveal more than the endpoint's message.
fn rejected_key_hint(check: &KeyCheck<'_>, verdict: &Verdict) -> String {
    match &check.format_match {
        FormatMatch::UnknownHost(provider) | FormatMatch::OtherProvider(provider) => format!(
            "This looks like a key for {}: use it with --base-url {}, or use a key for this endpoint.",
            provider.name, provider.base_url
        ),
        FormatMatch::Mismatch(provider) if provider.name == "OpenAI" => {
            "This does not look like an OpenAI key: \
            pass the base URL of its provider, such as --base-url https://api.chatanywhere.tech/v1 \
            for GPT_API_free."
                .to_owned()
        }
        FormatMatch::Mismatch(provider) => format!(
            "Keys for {} begin with {}: use such a key, or pass the base URL of this key's provider.",
            provider.name,
            provider.prefix_list()
        ),
        FormatMatch::Match | FormatMatch::Unknown => verdict.hint.to_owned(),
    }
}

/// Reports that a key works now, although it is disabled or throttled in the database.
fn report_stored_state(
    probe: &ProviderProbe<'_>,
    check: &KeyCheck<'_>,
    queue_state: &QueueState,
    report: &mut DoctorReport,
) {
    let Some(key) = check.key else { return };
    let fingerprint = fingerprint(key, queue_state).unwrap_or_default();
    let base = probe.client.endpoint().display();
    let now: Timestamp = probe.clock.now();
    let disabled = queue_state.keys.iter().find(|row| {
        row.applies_to(&fingerprint, base, probe.model)
            && row.state != "healthy"
            && row.until.is_none_or(|until| until > now)
    });
    let Some(row) = disabled else { return };
    let until = row
        .until
        .map_or_else(String::new, |until| format!(" until {}", DateTime(until)));
    let state = state_text(&row.state);
    let reason = Truncated(&row.reason, MAX_REASON_CHARS);
    let text = format!("an earlier run recorded it as {state}{until}: {reason}");
    let label = &row.label;
    let hint = format!("Run `promptmill keys reset {label}` to use the key again.");
    report.add(Group::Keys, Finding::warning(&check.label, text, &hint));
}
