//! The judge of failures: whose fault it is, by which rule, and what to do.
//!
//! [`judge`] is the only place that says so. What an endpoint may answer is judged by the table in
//! [`rules`]; what happens without an answer is a closed list and judged right here.

mod evidence;
pub mod rules;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::evidence::Condition;
use self::evidence::Evidence;
use super::failure::{Failure, Problem, Refusal, TransportFault};

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This key only.
    Key,
    /// The account or organisation behind the key: its money, its standing.
    Account,
    /// This key for this model.
    KeyModel,
    /// The model, for every key.
    Model,
    /// The address, the kind of endpoint or a parameter: every job of the run.
    Endpoint,
    /// This row's request.
    Request,
    /// The way to the provider: address, region, firewall, proxy, certificate.
    Network,
    /// A limit that comes back at a time: per minute, per day.
    Quota,
    /// Something that passes.
    Transient,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask again later. Uses one of the job's attempts; `at_most` such failures by this rule fail it.
    Retry {
        /// How many failures by this rule a job may have in all, when fewer than `--max-attempts`.
        at_most: Option<u32>,
    },
    /// Wait for a limit: the key rests for the verdict's `wait`. Uses no attempt.
    Wait,
    /// The attempt is over for this key; the next key has a try. Uses no attempt.
    NextKey(SetAside),
    /// The job fails for good.
    FailJob,
    /// No job can succeed like this: the run stops, the job stays pending.
    StopRun,
}

/// How a key is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetAside {
    /// Nobody knows yet whose fault it is: what other keys get will tell.
    Doubted,
    /// The provider named the key as the cause, in a way that may pass.
    Quarantined,
    /// The account behind it has no money or no quota left.
    Exhausted,
    /// The key is definitely invalid: only a changed key helps.
    Dead,
}

/// What is known besides the failure itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The endpoint's host, lower-case.
    pub host: &'a str,
    /// The model that was asked for.
    pub model: &'a str,
}

/// The judge's word on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose fault it is.
    pub scope: Scope,
    /// The rule that said so: a stable id, shown to people and stored.
    pub rule: &'static str,
    /// What to do.
    pub action: Action,
    /// The least time to wait, where the provider or the rule names one.
    pub wait: Option<Duration>,
    /// What a person should do about it, as a sentence; empty where there is nothing to do.
    pub hint: &'static str,
}

/// The rule and the cure of a job that keys have refused which answer others.
pub const REFUSED_BY_EVERY_KEY: (&str, &str) = (
    "refused-by-every-key",
    "Change the prompt of this row: the same keys answer others. `promptmill retry` asks again.",
);

/// The rule and the cure of a row whose request has more tokens than any key may use in a minute.
pub const LARGER_THAN_LIMIT: (&str, &str) = (
    "larger-than-limit",
    "Shorten the prompt, ask for fewer tokens with --set max_tokens=N, or raise --tpm; then `promptmill retry`.",
);

/// The rule and the cure of a row of which the provider says that asking again is no use.
const TOLD_NOT_TO_RETRY: (&str, &str) = (
    "told-not-to-retry",
    "The provider says that this request will not succeed; change the row.",
);

/// The rule and the cure of a row that a person took out of the queue.
pub const CANCELLED: (&str, &str) = (
    "cancelled",
    "`promptmill retry BATCH --cause cancelled` puts cancelled rows back into the queue.",
);

/// The rule and the cure of a job that was in flight at five crashes, the last time alone.
pub const CRASH_LOOP: (&str, &str) = (
    "crash-loop",
    "This row seems to end the program: look at it with `promptmill show`, and please report it.",
);

/// Judges a failure.
#[must_use]
pub fn judge(failure: &Failure, context: Context<'_>) -> Verdict {
    match failure {
        Failure::Refused(refusal) => refused(refusal, context),
        Failure::NoAnswer(completion) => unanswered(completion.problem),
        Failure::NoResponse(response) => unreached(response.fault),
    }
}

/// Returns every rule with what it says, in the order in which they are asked.
pub fn every() -> impl Iterator<Item = Verdict> {
    let judged = rules::all().map(|rule| verdict(rule.scope, rule.id, rule.action, rule.hint));
    let unanswered = Problem::ALL.into_iter().map(unanswered);
    let unreached = TransportFault::ALL.into_iter().map(unreached);
    let by_us = [
        REFUSED_BY_EVERY_KEY,
        LARGER_THAN_LIMIT,
        TOLD_NOT_TO_RETRY,
        CANCELLED,
        CRASH_LOOP,
    ];
    let by_us = by_us
        .into_iter()
        .map(|(rule, hint)| verdict(Scope::Request, rule, Action::FailJob, hint));
    judged.chain(unanswered).chain(unreached).chain(by_us)
}

/// Returns what a person should do about failures by a rule, for summaries of what is stored; empty
/// where there is nothing to do.
#[must_use]
pub fn hint_of(rule: &str) -> &'static str {
    every()
        .find(|known| known.rule == rule)
        .map_or(NO_HINT, |known| known.hint)
}

fn refused(refusal: &Refusal, context: Context<'_>) -> Verdict {
    let rule = rules::first(&Evidence::new(refusal, context));
    let wait = match rule.action {
        Action::Retry { .. } | Action::NextKey(_) => refusal.hint,
        Action::Wait => refusal.hint.max(rules::least_wait(rule.id)),
        Action::FailJob | Action::StopRun => None,
    };
    let told_not_to = refusal.should_retry == Some(false);
    if told_not_to && matches!(rule.action, Action::Retry { .. }) {
        let (rule_id, hint) = TOLD_NOT_TO_RETRY;
        return verdict(rule.scope, rule_id, Action::FailJob, hint);
    }
    Verdict {
        wait,
        ..verdict(rule.scope, rule.id, rule.action, rule.hint)
    }
}

/// Judges a success that holds no answer.
fn unanswered(problem: Problem) -> Verdict {
    use Scope::{Endpoint, Network, Request, Transient};
    match problem {
        Problem::Empty => verdict(Transient, "answer-empty", TWICE, NO_HINT),
        Problem::Html => verdict(
            Network,
            "answer-web-page",
            TWICE,
            "Check the base URL, and whether a proxy or a sign-in page stands before the endpoint.",
        ),
        Problem::NotChat => verdict(
            Endpoint,
            "answer-not-chat",
            TWICE,
            "Check that the base URL is that of an OpenAI-compatible API.",
        ),
        Problem::NoChoices => verdict(Transient, "answer-no-choices", TWICE, NO_HINT),
        Problem::NoContent => verdict(
            Transient,
            "answer-no-content",
            TWICE,
            "Raise max_tokens if the model spends them all on reasoning.",
        ),
        Problem::NoVector => verdict(
            Transient,
            "answer-no-vector",
            TWICE,
            "Choose a model for embeddings.",
        ),
        Problem::Declined => verdict(
            Request,
            "answer-declined",
            Action::FailJob,
            "The model refused or a filter took the answer; change the prompt of this row.",
        ),
        Problem::SchemaViolation => verdict(
            Request,
            "schema",
            Action::Retry { at_most: Some(3) },
            "Say in the prompt what is wanted, or ask less of the answer in the schema.",
        ),
        Problem::TooLarge => verdict(
            Request,
            "answer-too-large",
            Action::FailJob,
            "Ask for a shorter answer or set max_tokens.",
        ),
    }
}

/// Judges a request that got no complete response.
fn unreached(fault: TransportFault) -> Verdict {
    use Scope::{Network, Transient};
    match fault {
        TransportFault::Dns => verdict(
            Network,
            "dns",
            RETRY,
            "Check the host in the base URL and this machine's network.",
        ),
        TransportFault::Connect => verdict(
            Network,
            "connect",
            RETRY,
            "Check that the endpoint is up and that a firewall lets you reach it.",
        ),
        TransportFault::Certificate => verdict(
            Network,
            "certificate",
            Action::StopRun,
            "Check the base URL, this machine's clock and its certificates.",
        ),
        TransportFault::Proxy => verdict(
            Network,
            "proxy",
            RETRY,
            "Check the proxy named in HTTPS_PROXY, or add the host to NO_PROXY.",
        ),
        TransportFault::Broken => verdict(Transient, "connection-broken", RETRY, NO_HINT),
        TransportFault::Timeout => verdict(
            Transient,
            "timeout",
            TWICE,
            "Raise the time limit of a request, or ask for a shorter answer.",
        ),
        TransportFault::Panic => verdict(
            Transient,
            "panic",
            Action::Retry { at_most: Some(3) },
            "This is a bug in promptmill; please report it.",
        ),
    }
}

const RETRY: Action = Action::Retry { at_most: None };
const TWICE: Action = Action::Retry { at_most: Some(2) };
const NO_HINT: &str = "";

const fn verdict(scope: Scope, rule: &'static str, action: Action, hint: &'static str) -> Verdict {
    Verdict {
        scope,
        rule,
        action,
        wait: None,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{NoAnswer, NoResponse};

    const CONTEXT: Context<'_> = Context {
        host: "api.example.com",
        model: "gpt-4o-mini",
    };

    fn refusal(status: u16, message: &str) -> Refusal {
        Refusal {
            status,
            message: message.to_owned(),
            ..Refusal::default()
        }
    }

    #[track_caller]
    fn check(failure: &Failure, scope: Scope, rule: &str, action: Action) {
        let verdict = judge(failure, CONTEXT);
        assert_eq!(
            (verdict.scope, verdict.rule, verdict.action),
            (scope, rule, action),
            "{failure:?}"
        );
    }

    #[test]
    fn what_breaks_on_the_way_is_retried_unless_it_cannot_pass() {
        let thrice = Action::Retry { at_most: Some(3) };
        for (fault, scope, rule, action) in [
            (TransportFault::Dns, Scope::Network, "dns", RETRY),
            (TransportFault::Connect, Scope::Network, "connect", RETRY),
            (TransportFault::Proxy, Scope::Network, "proxy", RETRY),
            (
                TransportFault::Broken,
                Scope::Transient,
                "connection-broken",
                RETRY,
            ),
            (TransportFault::Timeout, Scope::Transient, "timeout", TWICE),
            (TransportFault::Panic, Scope::Transient, "panic", thrice),
            (
                TransportFault::Certificate,
                Scope::Network,
                "certificate",
                Action::StopRun,
            ),
        ] {
            let detail = String::new();
            check(
                &Failure::NoResponse(NoResponse { fault, detail }),
                scope,
                rule,
                action,
            );
        }
    }

    #[test]
    fn a_success_without_an_answer_is_tried_once_more() {
        for (problem, scope, rule, action) in [
            (Problem::Empty, Scope::Transient, "answer-empty", TWICE),
            (Problem::Html, Scope::Network, "answer-web-page", TWICE),
            (Problem::NotChat, Scope::Endpoint, "answer-not-chat", TWICE),
            (
                Problem::NoChoices,
                Scope::Transient,
                "answer-no-choices",
                TWICE,
            ),
            (
                Problem::NoContent,
                Scope::Transient,
                "answer-no-content",
                TWICE,
            ),
            (
                Problem::NoVector,
                Scope::Transient,
                "answer-no-vector",
                TWICE,
            ),
            (
                Problem::Declined,
                Scope::Request,
                "answer-declined",
                Action::FailJob,
            ),
            (
                Problem::SchemaViolation,
                Scope::Request,
                "schema",
                Action::Retry { at_most: Some(3) },
            ),
            (
                Problem::TooLarge,
                Scope::Request,
                "answer-too-large",
                Action::FailJob,
            ),
        ] {
            let (excerpt, request_id) = (String::new(), String::new());
            let completion = NoAnswer {
                problem,
                excerpt,
                request_id,
            };
            check(&Failure::NoAnswer(completion), scope, rule, action);
        }
    }

    #[test]
    fn the_providers_word_on_retrying_counts_where_the_body_says_nothing_else() {
        let told = |status, message: &str, word| {
            let should_retry = Some(word);
            Failure::Refused(Refusal {
                should_retry,
                ..refusal(status, message)
            })
        };
        check(
            &told(400, "odd", true),
            Scope::Transient,
            "told-to-retry",
            RETRY,
        );
        check(
            &told(403, "odd", true),
            Scope::Transient,
            "told-to-retry",
            RETRY,
        );
        check(
            &told(500, "odd", false),
            Scope::Transient,
            "told-not-to-retry",
            Action::FailJob,
        );
        check(
            &told(429, "slow", false),
            Scope::Quota,
            "rate-limit",
            Action::Wait,
        );
        let exhausted = Action::NextKey(SetAside::Exhausted);
        check(
            &told(429, "Insufficient balance", true),
            Scope::Account,
            "balance",
            exhausted,
        );
        let dead = Action::NextKey(SetAside::Dead);
        check(
            &told(401, "invalid api key", true),
            Scope::Key,
            "key-invalid",
            dead,
        );
    }

    #[test]
    fn every_status_has_a_verdict() {
        for status in 0..=1000 {
            let verdict = judge(&Failure::Refused(refusal(status, "")), CONTEXT);
            assert!(!verdict.rule.is_empty(), "{status}");
        }
    }

    #[test]
    fn a_wait_is_the_hint_or_what_the_rule_asks_for_at_least() {
        let wait = |message: &str, hint| {
            let refusal = Refusal {
                hint,
                ..refusal(429, message)
            };
            judge(&Failure::Refused(refusal), CONTEXT).wait
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(wait("", None), None);
        assert_eq!(wait("", second), second);
        assert_eq!(wait("limited to 200 requests per day", second), second);
        let half_hour = Some(Duration::from_mins(30));
        assert_eq!(wait("limited to 200 requests per day", None), half_hour);
    }
}
