//! The model's part: whether the endpoint lists it, which name was meant, whether it answers chats,
//! and within which limits.

use std::fmt::Write as _;

use secrecy::SecretString;

use super::asking::Asking;
use super::endpoint::{self, Listed, or, said};
use super::keys::Told;
use super::report::{Finding, Group, Report};
use crate::cli::exit::Exit;
use crate::domain::failure::Failure;
use crate::domain::spelling::{Difference, knows, nearest};
use crate::domain::verdict::{Scope, Verdict};
use crate::progress::safe::Safe;
use crate::provider::{Other, RateHeaders};

/// The line of the model's name, and that of the endpoint for chats.
const NAME: &str = "model name";
const CHAT: &str = "POST /chat/completions";

/// Models that are named when none is near.
const MAX_NAMED: usize = 12;

/// Looks the model up, and says what the chat calls told of it and of the endpoint.
pub(super) async fn examine(
    asking: &Asking<'_>,
    listed: &Listed,
    told: &Told,
    key: Option<&SecretString>,
    report: &mut Report,
) {
    let models = match listed {
        Listed::Models(models) => Some(models),
        Listed::Refused(_) | Listed::Unreachable => None,
    };
    let is_listed = models.map(|models| knows(models, asking.model));
    let answers = told.answered && asking.spends;
    match (is_listed, models) {
        (Some(true), _) => report.add(
            Group::Model,
            Finding::ok(NAME, format!("{} is listed", asking.model)),
        ),
        (Some(false), Some(models)) => {
            report.add(Group::Model, unlisted(asking, models, answers, told));
        }
        _ if answers => report.add(Group::Model, Finding::ok(NAME, asking.model)),
        _ => {}
    }
    if answers {
        report.add(Group::Endpoint, Finding::ok(CHAT, "answers"));
        limits(told.rate.as_ref(), report);
    } else if asking.spends {
        let Some((failure, verdict)) = &told.failure else {
            return;
        };
        let blame = Blame {
            asking,
            failure,
            verdict,
            is_listed,
        };
        blame.place(listed, key, report).await;
    } else if let Some(finding) = other_base(asking, listed, key).await {
        report.add(Group::Endpoint, finding);
    }
}

/// A name that the endpoint does not list.
fn unlisted(asking: &Asking<'_>, models: &[String], answers: bool, told: &Told) -> Finding {
    let name = asking.model;
    if answers {
        return Finding::warning(NAME, format!("{name} is not listed, but it answers"), "");
    }
    let failed = told.failure.as_ref();
    let refused = failed.filter(|(_, verdict)| verdict.scope != Scope::Transient);
    let refused_words = refused.map_or_else(String::new, |(failure, verdict)| {
        let status = failure.status().unwrap_or_default();
        format!(", and was refused (HTTP {status}, {})", verdict.rule)
    });
    let near = nearest(name, models);
    let meant = near.as_ref().map_or_else(String::new, |near| {
        format!("; did you mean \"{}\"?", near.name)
    });
    let text = format!("\"{name}\" is not listed{refused_words}{meant}");
    let is_wrong = refused.is_some() || near.is_some();
    let hint = near.map_or_else(
        || format!("Choose a listed one: {}.", some_of(models)),
        |near| {
            format!(
                "Write --model {}: {}.",
                Safe(near.name),
                difference(near.difference)
            )
        },
    );
    if is_wrong {
        Finding::wrong(NAME, Exit::Config, text, &hint)
    } else {
        Finding::warning(NAME, text, &hint)
    }
}

fn some_of(models: &[String]) -> String {
    let named: Vec<&str> = models.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = if models.len() > MAX_NAMED { " …" } else { "" };
    format!("{}{more}", named.join(", "))
}

fn difference(difference: Difference) -> String {
    match difference {
        Difference::Case => "upper and lower case matter".to_owned(),
        Difference::Character(odd) => format!(
            "the name holds U+{:04X}, which only looks like what is meant",
            u32::from(odd)
        ),
        Difference::Suffix(suffix) => format!("`{suffix}` makes another model of it"),
        Difference::Maker => {
            "with or without the maker's name in front, as it is listed".to_owned()
        }
        Difference::Letters => "letter by letter as it is listed".to_owned(),
    }
}

fn limits(rate: Option<&RateHeaders>, report: &mut Report) {
    let Some(rate) = rate else { return };
    let window =
        |what: &str, limit: &Option<String>, left: &Option<String>, reset: &Option<String>| {
            let mut words = match (limit, left) {
                (None, None) => return None,
                (Some(limit), None) => format!("{limit} {what}"),
                (None, Some(left)) => format!("{left} {what} left"),
                (Some(limit), Some(left)) => format!("{left} of {limit} {what} left"),
            };
            if let Some(reset) = reset {
                let _ = write!(words, " (all back in {reset})");
            }
            Some(words)
        };
    let requests = window(
        "requests",
        &rate.limit_requests,
        &rate.remaining_requests,
        &rate.reset_requests,
    );
    let tokens = window(
        "tokens",
        &rate.limit_tokens,
        &rate.remaining_tokens,
        &rate.reset_tokens,
    );
    let words: Vec<String> = requests.into_iter().chain(tokens).collect();
    let text = if words.is_empty() {
        "the endpoint tells none".to_owned()
    } else {
        words.join(", ")
    };
    report.add(Group::Model, Finding::ok("limits", text));
}

/// A failure that was no key's fault, on the way to its place in the report.
struct Blame<'a> {
    asking: &'a Asking<'a>,
    failure: &'a Failure,
    verdict: &'a Verdict,
    is_listed: Option<bool>,
}

impl Blame<'_> {
    async fn place(&self, listed: &Listed, key: Option<&SecretString>, report: &mut Report) {
        let said = said(self.failure, self.verdict);
        match self.verdict.scope {
            // The line of the name has said it.
            Scope::Model | Scope::KeyModel | Scope::Endpoint if self.is_listed == Some(false) => {}
            Scope::Model | Scope::Endpoint if self.is_listed == Some(true) => {
                report.add(Group::Model, self.not_for_chat(&said, key).await);
            }
            Scope::Model => {
                report.add(
                    Group::Model,
                    Finding::wrong(NAME, Exit::Config, said, self.verdict.hint),
                );
            }
            Scope::Endpoint => {
                let other = other_base(self.asking, listed, key).await;
                let finding = other.unwrap_or_else(|| {
                    let text = format!("wrong endpoint: {said}");
                    Finding::wrong(CHAT, Exit::Config, text, self.verdict.hint)
                });
                report.add(Group::Endpoint, finding);
            }
            Scope::Request => {
                report.add(
                    Group::Model,
                    Finding::warning("request", said, self.verdict.hint),
                );
            }
            Scope::Network | Scope::Transient => report.add(Group::Endpoint, self.down(&said)),
            Scope::Key | Scope::Account | Scope::KeyModel | Scope::Quota => {}
        }
    }

    /// The model is there, but chats are refused: another endpoint may be its own.
    async fn not_for_chat(&self, said: &str, key: Option<&SecretString>) -> Finding {
        let model = self.asking.model;
        for other in [Other::Embeddings, Other::Completions] {
            if self.asking.serves(other, key).await {
                let text = format!(
                    "wrong endpoint for {model}: it answers at {} only",
                    other.path()
                );
                let hint = match other {
                    Other::Embeddings => "Choose a chat model, or run with --endpoint embeddings.",
                    Other::Completions => "Choose a chat model: promptmill asks /chat/completions.",
                };
                return Finding::wrong("chat", Exit::Config, text, hint);
            }
        }
        Finding::wrong(
            "chat",
            Exit::Config,
            format!("refused: {said}"),
            self.verdict.hint,
        )
    }

    fn down(&self, said: &str) -> Finding {
        let exit = match (self.failure, self.verdict.scope) {
            (Failure::Refused(_), Scope::Network) => Exit::Config,
            _ => Exit::Unavailable,
        };
        let hint = or(
            self.verdict.hint,
            "Try again in a while; a run does so by itself.",
        );
        Finding::wrong(CHAT, exit, said, hint)
    }
}

/// Where nothing of the API is at the base URL, it may be elsewhere on the same host.
async fn other_base(
    asking: &Asking<'_>,
    listed: &Listed,
    key: Option<&SecretString>,
) -> Option<Finding> {
    let Listed::Refused(Scope::Endpoint | Scope::Network) = listed else {
        return None;
    };
    let found = endpoint::find_base(asking, key).await?;
    let base = asking.client.endpoint().display();
    let text = format!("wrong endpoint: no API is at {base}, but one is at {found}");
    let hint = format!("Write --base-url {found}");
    Some(Finding::wrong("base URL", Exit::Config, text, &hint))
}
