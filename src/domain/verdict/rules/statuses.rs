//! Last group: the bare status, when nothing else identifies the cause.

use super::rule::Condition::{Between, Host, ShouldRetry, Status};
use super::rule::{
    Action, CHECK_BASE_URL, EXHAUSTED, NO_HINT, OTHER_NETWORK, PROBATION, QUARANTINED, RETRY,
    RETRY_ONCE, Rule, SHORTEN, Scope, TOP_UP,
};

// Formatted by hand, to keep the table short.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "told-to-retry",
        seen: "OpenAI and Anthropic `x-should-retry: true`",
        when: &[ShouldRetry, Between(400, 428)],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "together-length",
        seen: "Together 403: prompt and max_tokens exceed the context",
        when: &[Status(&[403]), Host(&["together.xyz", "together.ai"])],
        then: (Scope::Request, Action::FailJob),
        hint: SHORTEN,
    },
    Rule {
        id: "redirect",
        seen: "307 on a trailing slash, 301 to another host",
        when: &[Between(300, 399)],
        then: (Scope::Endpoint, Action::StopRun),
        hint: "Set the base URL to the address that the endpoint redirects to.",
    },
    Rule {
        id: "bad-request",
        seen: "any 400",
        when: &[Status(&[400])],
        then: (Scope::Request, Action::FailJob),
        hint: "Read the provider's message; it says what is wrong with the request of this row.",
    },
    Rule {
        id: "unauthorized",
        seen: "Mistral 401, Perplexity 401 page, vLLM 401",
        when: &[Status(&[401])],
        then: (Scope::Key, QUARANTINED),
        hint: "Check this API key, and check that the base URL belongs to the same provider.",
    },
    Rule {
        id: "payment-required",
        seen: "any 402",
        when: &[Status(&[402])],
        then: (Scope::Account, EXHAUSTED),
        hint: TOP_UP,
    },
    Rule {
        id: "forbidden",
        seen: "any 403 with an unknown message",
        when: &[Status(&[403])],
        then: (Scope::Key, PROBATION),
        hint:
            "Read the provider's message, or run `promptmill doctor` to check the endpoint, the model, and each API key.",
    },
    Rule {
        id: "not-found",
        seen: "any 404",
        when: &[Status(&[404])],
        then: (Scope::Endpoint, Action::StopRun),
        hint: CHECK_BASE_URL,
    },
    Rule {
        id: "proxy-sign-in",
        seen: "any 407",
        when: &[Status(&[407])],
        then: (Scope::Network, Action::StopRun),
        hint: "Set the user name and password of the proxy in HTTPS_PROXY.",
    },
    Rule {
        id: "wrong-request-form",
        seen: "405, 406, 410, 411, 414, 415, 421, 426, 431",
        when: &[Status(&[405, 406, 410, 411, 414, 415, 421, 426, 431])],
        then: (Scope::Endpoint, Action::StopRun),
        hint: CHECK_BASE_URL,
    },
    Rule {
        id: "request-timeout",
        seen: "any 408",
        when: &[Status(&[408])],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "conflict",
        seen: "any 409",
        when: &[Status(&[409])],
        then: (Scope::Transient, RETRY_ONCE),
        hint: NO_HINT,
    },
    Rule {
        id: "too-large",
        seen: "any 413",
        when: &[Status(&[413])],
        then: (Scope::Request, Action::FailJob),
        hint: SHORTEN,
    },
    Rule {
        id: "unprocessable",
        seen: "any 422, Groq 424",
        when: &[Status(&[422, 424])],
        then: (Scope::Request, Action::FailJob),
        hint: "Read the provider's message; it says what is wrong with the request of this row.",
    },
    Rule {
        id: "too-early",
        seen: "any 425",
        when: &[Status(&[425])],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "rate-limit",
        seen: "any 429",
        when: &[Status(&[429])],
        then: (Scope::Quota, Action::Wait),
        hint: NO_HINT,
    },
    Rule {
        id: "legal-reasons",
        seen: "any 451",
        when: &[Status(&[451])],
        then: (Scope::Network, Action::StopRun),
        hint: OTHER_NETWORK,
    },
    Rule {
        id: "capacity",
        seen: "Groq 498 (flex), nginx 499",
        when: &[Status(&[498, 499])],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    Rule {
        id: "refused",
        seen: "any other 4xx",
        when: &[Between(400, 499)],
        then: (Scope::Request, Action::FailJob),
        hint: "Read the provider's message; it says what is wrong with the request of this row.",
    },
    Rule {
        id: "not-implemented",
        seen: "501, 505",
        when: &[Status(&[501, 505])],
        then: (Scope::Endpoint, Action::StopRun),
        hint: CHECK_BASE_URL,
    },
    Rule {
        id: "sign-in-page",
        seen: "511",
        when: &[Status(&[511])],
        then: (Scope::Network, Action::StopRun),
        hint: "Sign in to this network first.",
    },
    Rule {
        id: "server-error",
        seen: "5xx, Cloudflare 520 to 524, Anthropic 529",
        when: &[Between(500, 599)],
        then: (Scope::Transient, RETRY),
        hint: NO_HINT,
    },
    LAST,
];

/// The fallback for statuses that are not HTTP errors.
pub(super) const LAST: Rule = Rule {
    id: "odd-status",
    seen: "not seen yet",
    when: &[],
    then: (Scope::Endpoint, RETRY_ONCE),
    hint: CHECK_BASE_URL,
};
