//! The keys' part: where they come from, who may read their files, whose they are by their form,
//! and what the endpoint says to each. Of a key only its label and its print are shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::asking::{Asking, is_accepted};
use super::endpoint::{Listed, Took, or, said};
use super::key_form::{Fit, Maker, fit};
use super::queue::Remembered;
use super::report::{Finding, Group, Report};
use crate::cli::environment;
use crate::cli::exit::Exit;
use crate::cli::key_sources::{KeySources, NamedKey};
use crate::domain::failure::Failure;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Scope, Verdict};
use crate::progress::moment::DateTime;
use crate::progress::quantity::Span;
use crate::progress::safe::Excerpt;
use crate::provider::RateHeaders;

/// The longest reason that is shown, in characters.
const REASON: usize = 80;

/// What to do where a key is needed and none was given.
pub(super) const NO_KEY: &str =
    "Set OPENAI_API_KEY, or use --api-key-file FILE; --simulate tries it without a key.";

/// What the chat calls told besides the keys' own affairs.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// A key got an answer.
    pub(super) answered: bool,
    /// The first failure that was no key's fault.
    pub(super) failure: Option<(Failure, Verdict)>,
    /// What the first response said of its limits.
    pub(super) rate: Option<RateHeaders>,
}

/// One key on its way through the checks.
struct Patient<'a> {
    label: String,
    key: Option<&'a NamedKey>,
    fit: Fit,
}

/// Says where the keys come from, and who may read the files.
pub(super) fn sources(sources: &KeySources, count: usize, report: &mut Report) {
    let (words, files) = origin(sources);
    let plural = if count == 1 { "key" } else { "keys" };
    let text = format!("{count} {plural} from {words}");
    report.add(Group::Keys, Finding::ok("source", text));
    for file in files {
        report.add(Group::Keys, mode(file));
    }
}

fn origin(sources: &KeySources) -> (String, Vec<&Path>) {
    let folder = environment::credentials().map(|folder| folder.join("api-keys"));
    if let Some(path) = &sources.file {
        (path.display().to_string(), vec![path])
    } else if sources.command.is_some() {
        ("the key command".to_owned(), Vec::new())
    } else if folder.is_some_and(|path| path.exists()) {
        ("the credentials of systemd".to_owned(), Vec::new())
    } else if !sources.listed.is_empty() {
        let files = sources.listed.iter();
        let files = files.filter_map(|key| key.file.as_deref()).collect();
        ("[[keys]] of the settings file".to_owned(), files)
    } else if environment::text("PROMPTMILL_API_KEYS").is_some() {
        ("PROMPTMILL_API_KEYS".to_owned(), Vec::new())
    } else {
        ("OPENAI_API_KEY".to_owned(), Vec::new())
    }
}

/// A file with another mode is only read when that was asked for.
fn mode(file: &Path) -> Finding {
    let mode = fs::metadata(file).map_or(0, |data| data.permissions().mode() & 0o777);
    let shown = file.display();
    if mode & 0o077 != 0 {
        let text = format!("others may use {shown} (mode {mode:o})");
        return Finding::warning("key file", text, &format!("chmod 600 {shown}"));
    }
    Finding::ok("key file", format!("only you may read {shown}"))
}

/// Returns the keys that may be sent to the endpoint; one nameless entry where none is needed.
pub(super) fn sendable<'a>(keys: &'a [NamedKey], host: &str) -> Vec<Option<&'a SecretString>> {
    if keys.is_empty() {
        return vec![None];
    }
    let fits = |key: &&NamedKey| !matches!(fit(key.secret.expose_secret(), host), Fit::Foreign(_));
    let fit = keys.iter().filter(fits);
    fit.map(|key| Some(&key.secret)).collect()
}

/// Tries each key with one call.
pub(super) async fn examine(
    asking: &Asking<'_>,
    keys: &[NamedKey],
    listed: &Listed,
    remembered: &Remembered,
    report: &mut Report,
) -> Told {
    let lists = matches!(listed, Listed::Models(_));
    let mut told = Told::default();
    let mut patients = patients(asking, keys, remembered).into_iter();
    while let Some(patient) = patients.next() {
        if let Fit::Foreign(maker) = &patient.fit {
            report.add(Group::Keys, foreign(&patient, maker));
            continue;
        }
        let Err(failure) = call(asking, &patient, &mut told, report).await else {
            recall(asking, &patient, remembered, report);
            continue;
        };
        let verdict = asking.judge(&failure);
        let finding = refused(asking, &patient, (&failure, &verdict), lists);
        report.add(Group::Keys, finding);
        if is_of_key(&verdict) {
            continue;
        }
        told.failure.get_or_insert((failure, verdict));
        let hides_keys = verdict.scope == Scope::Endpoint && !lists;
        if hides_keys || verdict.scope == Scope::Network {
            not_tried(patients.count(), report);
            break;
        }
    }
    told
}

/// Makes the one call of a key, and says so when it is well.
async fn call(
    asking: &Asking<'_>,
    patient: &Patient<'_>,
    told: &mut Told,
    report: &mut Report,
) -> Result<(), Failure> {
    let secret = patient.key.map(|key| &key.secret);
    let (ended, rate, done) = if asking.spends {
        let attempt = asking.chat(secret).await;
        let ended = attempt.outcome.map(|_| attempt.latency);
        (ended, attempt.rate, "answers")
    } else {
        let attempt = asking.models(secret).await;
        let ended = attempt.outcome.map(|_| attempt.latency);
        (
            ended,
            attempt.rate,
            "lists the models (no chat call was made)",
        )
    };
    told.rate.get_or_insert(rate);
    let text = match ended {
        Ok(latency) => format!("{done} after {}", Took(latency)),
        Err(failure) if is_accepted(&failure) => "accepted, with the model".to_owned(),
        Err(failure) => return Err(failure),
    };
    told.answered = true;
    report.add(Group::Keys, Finding::ok(&patient.label, text));
    Ok(())
}

fn foreign(patient: &Patient<'_>, maker: &Maker) -> Finding {
    let text = format!("has the form of a key of {}: it was not sent", maker.name);
    let hint = format!(
        "Use it with --base-url {}, or give a key of this endpoint.",
        maker.base_url
    );
    Finding::wrong(&patient.label, Exit::NoKey, text, &hint)
}

/// The keys that would hear the same.
fn not_tried(count: usize, report: &mut Report) {
    if count > 0 {
        let text = format!("{count} not tried");
        report.add(Group::Keys, Finding::warning("other keys", text, ""));
    }
}

fn patients<'a>(
    asking: &Asking<'_>,
    keys: &'a [NamedKey],
    remembered: &Remembered,
) -> Vec<Patient<'a>> {
    if keys.is_empty() {
        return vec![Patient {
            label: "no key".to_owned(),
            key: None,
            fit: Fit::Unknown,
        }];
    }
    let host = asking.client.endpoint().host();
    let patients = keys.iter().map(|key| Patient {
        label: match print(key, remembered) {
            Some(print) => format!("{} ({print})", key.label),
            None => key.label.clone(),
        },
        key: Some(key),
        fit: fit(key.secret.expose_secret(), host),
    });
    patients.collect()
}

/// The key's print as the queue shows it; `None` while there is no queue to salt it.
fn print(key: &NamedKey, remembered: &Remembered) -> Option<String> {
    let salt = remembered.salt.as_ref()?;
    Some(salt.print(key))
}

/// Whether a failure is the key's own affair.
fn is_of_key(verdict: &Verdict) -> bool {
    matches!(verdict.scope, Scope::Key | Scope::Account | Scope::Quota)
        || verdict.rule == "key-missing"
}

fn refused(
    asking: &Asking<'_>,
    patient: &Patient<'_>,
    (failure, verdict): (&Failure, &Verdict),
    lists: bool,
) -> Finding {
    let label = &patient.label;
    let said = said(failure, verdict);
    match verdict.scope {
        _ if verdict.rule == "key-missing" => {
            let hint = verdict.hint;
            Finding::wrong(
                label,
                Exit::NoKey,
                said,
                if patient.key.is_none() { NO_KEY } else { hint },
            )
        }
        Scope::Key if patient.key.is_none() => Finding::wrong(label, Exit::NoKey, said, NO_KEY),
        Scope::Key => Finding::wrong(label, Exit::NoKey, said, &key_cure(patient, verdict)),
        Scope::Account => Finding::wrong(label, Exit::NoKey, said, verdict.hint),
        Scope::Quota => {
            let wait = verdict.wait.map_or_else(String::new, |wait| {
                format!(
                    "It is back in {}; a run waits for it by itself.",
                    Span(wait)
                )
            });
            let otherwise = or(&wait, "Wait a minute; a run waits by itself.");
            let text = format!("good, but a limit is reached: {said}");
            Finding::warning(label, text, or(verdict.hint, otherwise))
        }
        Scope::KeyModel => {
            let text = format!("may not use {}: {said}", asking.model);
            Finding::wrong(label, Exit::NoKey, text, verdict.hint)
        }
        Scope::Model | Scope::Request => Finding::ok(label, "not refused; the request was"),
        Scope::Endpoint if lists => Finding::ok(label, "not refused; the request was"),
        Scope::Endpoint | Scope::Network | Scope::Transient => {
            Finding::warning(label, "not known: the endpoint did not get to it", "")
        }
    }
}

/// What to do about a refused key: its form may tell more than the endpoint.
fn key_cure(patient: &Patient<'_>, verdict: &Verdict) -> String {
    match &patient.fit {
        Fit::Odd(maker) | Fit::Foreign(maker) => format!(
            "It has the form of a key of {}: use it with --base-url {}, or give a key of this endpoint.",
            maker.name, maker.base_url
        ),
        Fit::NotOf(maker) if maker.name == "OpenAI" => "It does not have the form of a key of OpenAI: \
            give the base URL of whoever gave it out, such as --base-url https://api.chatanywhere.tech/v1 \
            for GPT_API_free."
            .to_owned(),
        Fit::NotOf(maker) => format!(
            "Keys of {} begin with {}: give one, or the base URL of whoever gave this one out.",
            maker.name,
            maker.beginnings()
        ),
        Fit::Own | Fit::Unknown => verdict.hint.to_owned(),
    }
}

/// A key that works may still be out of the rotation, as the queue remembers it.
fn recall(
    asking: &Asking<'_>,
    patient: &Patient<'_>,
    remembered: &Remembered,
    report: &mut Report,
) {
    let Some(key) = patient.key else { return };
    let print = print(key, remembered).unwrap_or_default();
    let base = asking.client.endpoint().display();
    let now: Timestamp = asking.clock.now();
    let held_back = remembered.keys.iter().find(|row| {
        row.is_about(&print, base, asking.model)
            && row.state != "healthy"
            && row.until.is_none_or(|until| until > now)
    });
    let Some(row) = held_back else { return };
    let until = row
        .until
        .map_or_else(String::new, |until| format!(" until {}", DateTime(until)));
    let text = format!(
        "the queue holds it back as {}{until}: {}",
        row.state,
        Excerpt(&row.reason, REASON)
    );
    let hint = format!(
        "`promptmill keys reset {}` lets it be tried again.",
        row.label
    );
    report.add(Group::Keys, Finding::warning(&patient.label, text, &hint));
}
