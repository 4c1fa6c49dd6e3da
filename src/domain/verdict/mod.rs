//! Failure classification: what caused a failure, which rule applies, and what to do about it.
//!
//! [`classify`] is the only place that decides this. Error responses are matched against the table
//! in [`rules`]; the other failures are a closed list, classified in this module.

mod evidence;
pub mod rules;
mod terms;

pub use self::evidence::Condition;
use self::evidence::Evidence;
pub use self::terms::{Action, Context, KeyPenalty, Scope, Verdict};
use self::terms::{NO_HINT, RETRY, RETRY_ONCE, RETRY_TWICE};
use super::failure::{ErrorResponse, Failure, ResponseProblem, TransportErrorKind};

/// The rule and hint for a job rejected by keys that work for other jobs.
pub const REJECTED_BY_EVERY_KEY: (&str, &str) = (
    "refused-by-every-key",
    "Change the prompt of this row, then run `promptmill retry`. The same API keys work for other rows.",
);

/// The rule and hint for a request with more tokens than any key can use per minute.
pub const LARGER_THAN_LIMIT: (&str, &str) = (
    "larger-than-limit",
    "Shorten the prompt, lower max_tokens (--set max_tokens=N) or raise --tpm; then run `promptmill retry`.",
);

/// The rule and hint for a request that must not be retried according to the provider.
const RETRY_DISALLOWED: (&str, &str) = (
    "told-not-to-retry",
    "Change this row. The provider reports that a retry will not succeed.",
);

/// The rule and hint for a row that the user canceled.
pub const CANCELLED: (&str, &str) = (
    "cancelled",
    "Run `promptmill retry BATCH --cause cancelled` to set canceled rows back to pending.",
);

/// The rule and hint for a job that was in flight at five crashes, and was the only one at the
/// last.
pub const CRASH_LOOP: (&str, &str) = (
    "crash-loop",
    "Inspect this row with `promptmill show`, and report the bug. The row seems to crash promptmill.",
);

/// Classifies a failure.
#[must_use]
pub fn classify(failure: &Failure, context: Context<'_>) -> Verdict {
    match failure {
        Failure::ErrorResponse(response) => classify_error_response(response, context),
        Failure::InvalidResponse(response) => classify_invalid_response(response.problem),
        Failure::Transport(error) => classify_transport_error(error.kind),
    }
}

/// Returns the verdict of every rule, in the order of evaluation.
pub fn all_verdicts() -> impl Iterator<Item = Verdict> {
    let table = rules::all().map(|rule| Verdict::new(rule.then.0, rule.id, rule.then.1, rule.hint));
    let invalid = ResponseProblem::ALL
        .into_iter()
        .map(classify_invalid_response);
    let transport = TransportErrorKind::ALL
        .into_iter()
        .map(classify_transport_error);
    let internal = [
        REJECTED_BY_EVERY_KEY,
        LARGER_THAN_LIMIT,
        RETRY_DISALLOWED,
        CANCELLED,
        CRASH_LOOP,
    ];
    let internal = internal
        .into_iter()
        .map(|(rule, hint)| Verdict::new(Scope::Request, rule, Action::FailJob, hint));
    table.chain(invalid).chain(transport).chain(internal)
}

/// Returns the hint of the rule with this ID; empty if there is none.
#[must_use]
pub fn hint_of(rule: &str) -> &'static str {
    all_verdicts()
        .find(|known| known.rule == rule)
        .map_or(NO_HINT, |known| known.hint)
}

fn classify_error_response(response: &ErrorResponse, context: Context<'_>) -> Verdict {
    let rule = rules::first_match(&Evidence::new(response, context));
    let (scope, action) = rule.then;
    let wait = match action {
        Action::Retry { .. } | Action::NextKey(_) => response.retry_after,
        Action::Wait => response.retry_after.max(rules::min_wait(rule.id)),
        Action::FailJob | Action::StopRun => None,
    };
    let no_retry = response.should_retry == Some(false);
    if no_retry && matches!(action, Action::Retry { .. }) {
        let (rule_id, hint) = RETRY_DISALLOWED;
        return Verdict::new(scope, rule_id, Action::FailJob, hint);
    }
    Verdict {
        wait,
        ..Verdict::new(scope, rule.id, action, rule.hint)
    }
}

/// Classifies a success response without a usable completion.
fn classify_invalid_response(problem: ResponseProblem) -> Verdict {
    use ResponseProblem as Problem;
    use Scope::{Endpoint, Network, Request, Transient};
    let (scope, rule, action) = match problem {
        Problem::Empty => (Transient, "answer-empty", RETRY_ONCE),
        Problem::Html => (Network, "answer-web-page", RETRY_ONCE),
        Problem::UnexpectedFormat => (Endpoint, "answer-not-chat", RETRY_ONCE),
        Problem::NoChoices => (Transient, "answer-no-choices", RETRY_ONCE),
        Problem::NoContent => (Transient, "answer-no-content", RETRY_ONCE),
        Problem::NoVector => (Transient, "answer-no-vector", RETRY_ONCE),
        Problem::Declined => (Request, "answer-declined", Action::FailJob),
        Problem::SchemaViolation => (Request, "schema", RETRY_TWICE),
        Problem::TooLarge => (Request, "answer-too-large", Action::FailJob),
    };
    let hint = match problem {
        Problem::Empty | Problem::NoChoices => NO_HINT,
        Problem::Html => {
            "Check the base URL, and check whether a proxy or a login page intercepts the requests."
        }
        Problem::UnexpectedFormat => "Check that the base URL points to an OpenAI-compatible API.",
        Problem::NoContent => "Raise max_tokens. The model may have used all tokens for reasoning.",
        Problem::NoVector => "Choose an embedding model.",
        Problem::Declined => {
            "Change the prompt of this row. The model declined it, or a filter blocked the response."
        }
        Problem::SchemaViolation => {
            "Describe the expected format in the prompt, or simplify the schema."
        }
        Problem::TooLarge => "Ask for a shorter response, or set max_tokens.",
    };
    Verdict::new(scope, rule, action, hint)
}

/// Classifies a request without a complete response.
fn classify_transport_error(kind: TransportErrorKind) -> Verdict {
    use Scope::{Network, Transient};
    use TransportErrorKind as Kind;
    let (scope, rule, action) = match kind {
        Kind::Dns => (Network, "dns", RETRY),
        Kind::Connect => (Network, "connect", RETRY),
        Kind::Certificate => (Network, "certificate", Action::StopRun),
        Kind::Proxy => (Network, "proxy", RETRY),
        Kind::Broken => (Transient, "connection-broken", RETRY),
        Kind::Timeout => (Transient, "timeout", RETRY_ONCE),
        Kind::Panic => (Transient, "panic", RETRY_TWICE),
    };
    let hint = match kind {
        Kind::Dns => "Check the host in the base URL, and check this machine's network connection.",
        Kind::Connect => "Check that the endpoint is running and that no firewall blocks it.",
        Kind::Certificate => {
            "Check the base URL, this machine's clock, and its trusted certificates."
        }
        Kind::Proxy => "Check the proxy set in HTTPS_PROXY, or add the host to NO_PROXY.",
        Kind::Broken => NO_HINT,
        Kind::Timeout => "Raise --timeout, or ask for a shorter response.",
        Kind::Panic => "This is a bug in promptmill. Please report it.",
    };
    Verdict::new(scope, rule, action, hint)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Scope::{Account, Endpoint, Key, Network, Quota, Request, Transient};
    use super::*;
    use crate::domain::failure::{InvalidResponse, TransportError};

    const CONTEXT: Context<'_> = Context {
        host: "api.example.com",
        model: "gpt-4o-mini",
    };

    fn response(status: u16, message: &str) -> ErrorResponse {
        ErrorResponse {
            status,
            message: message.to_owned(),
            ..ErrorResponse::default()
        }
    }

    #[track_caller]
    fn check(failure: &Failure, scope: Scope, rule: &str, action: Action) {
        let verdict = classify(failure, CONTEXT);
        assert_eq!(
            (verdict.scope, verdict.rule, verdict.action),
            (scope, rule, action),
            "{failure:?}"
        );
    }

    #[test]
    fn transport_errors_are_retried_except_for_invalid_certificates() {
        use TransportErrorKind as Kind;
        let thrice = Action::Retry { at_most: Some(3) };
        for (kind, scope, rule, action) in [
            (Kind::Dns, Network, "dns", RETRY),
            (Kind::Connect, Network, "connect", RETRY),
            (Kind::Proxy, Network, "proxy", RETRY),
            (Kind::Broken, Transient, "connection-broken", RETRY),
            (Kind::Timeout, Transient, "timeout", RETRY_ONCE),
            (Kind::Panic, Transient, "panic", thrice),
            (Kind::Certificate, Network, "certificate", Action::StopRun),
        ] {
            let detail = String::new();
            let failure = Failure::Transport(TransportError { kind, detail });
            check(&failure, scope, rule, action);
        }
    }

    #[test]
    fn success_responses_without_a_completion_are_retried() {
        use ResponseProblem::{
            Declined, Empty, Html, NoChoices, NoContent, NoVector, SchemaViolation, TooLarge,
            UnexpectedFormat,
        };
        let thrice = Action::Retry { at_most: Some(3) };
        for (problem, scope, rule, action) in [
            (Empty, Transient, "answer-empty", RETRY_ONCE),
            (Html, Network, "answer-web-page", RETRY_ONCE),
            (UnexpectedFormat, Endpoint, "answer-not-chat", RETRY_ONCE),
            (NoChoices, Transient, "answer-no-choices", RETRY_ONCE),
            (NoContent, Transient, "answer-no-content", RETRY_ONCE),
            (NoVector, Transient, "answer-no-vector", RETRY_ONCE),
            (Declined, Request, "answer-declined", Action::FailJob),
            (SchemaViolation, Request, "schema", thrice),
            (TooLarge, Request, "answer-too-large", Action::FailJob),
        ] {
            let response = InvalidResponse {
                problem,
                excerpt: String::new(),
                request_id: String::new(),
            };
            check(&Failure::InvalidResponse(response), scope, rule, action);
        }
    }

    #[test]
    fn should_retry_applies_unless_a_more_specific_rule_matches() {
        let exhausted = Action::NextKey(KeyPenalty::Exhausted);
        let dead = Action::NextKey(KeyPenalty::Dead);
        let (fail, no_balance) = (Action::FailJob, "Insufficient balance");
        for (status, message, should_retry, (scope, rule, action)) in [
            (400, "odd", true, (Transient, "told-to-retry", RETRY)),
            (403, "odd", true, (Transient, "told-to-retry", RETRY)),
            (500, "odd", false, (Transient, "told-not-to-retry", fail)),
            (429, "slow", false, (Quota, "rate-limit", Action::Wait)),
            (429, no_balance, true, (Account, "balance", exhausted)),
            (401, "invalid api key", true, (Key, "key-invalid", dead)),
        ] {
            let response = ErrorResponse {
                should_retry: Some(should_retry),
                ..response(status, message)
            };
            check(&Failure::ErrorResponse(response), scope, rule, action);
        }
    }

    #[test]
    fn every_status_has_a_verdict() {
        for status in 0..=1000 {
            let verdict = classify(&Failure::ErrorResponse(response(status, "")), CONTEXT);
            assert!(!verdict.rule.is_empty(), "{status}");
        }
    }

    #[test]
    fn the_wait_is_at_least_that_of_the_provider_and_of_the_rule() {
        let wait = |message: &str, retry_after| {
            let response = ErrorResponse {
                retry_after,
                ..response(429, message)
            };
            classify(&Failure::ErrorResponse(response), CONTEXT).wait
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(wait("", None), None);
        assert_eq!(wait("", second), second);
        assert_eq!(wait("limited to 200 requests per day", second), second);
        let half_hour = Some(Duration::from_mins(30));
        assert_eq!(wait("limited to 200 requests per day", None), half_hour);
    }
}
