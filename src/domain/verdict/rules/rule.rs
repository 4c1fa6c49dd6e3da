//! A rule for error responses, and the actions, phrases and hints that several rules share.

pub(super) use crate::domain::verdict::evidence::Condition;
pub(super) use crate::domain::verdict::terms::{
    Action, KeyPenalty, NO_HINT, RETRY, RETRY_ONCE, Scope,
};

/// A rule for error responses.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The ID. It is displayed and stored, so it never changes.
    pub id: &'static str,
    /// The providers that return this error, with issue threads. Without a thread, the rule has not
    /// been verified against a source.
    pub seen: &'static str,
    /// The conditions, all of which must hold.
    pub when: &'static [Condition],
    /// What caused the error, and what to do.
    pub then: (Scope, Action),
    /// What the user can do about it; empty if nothing.
    pub hint: &'static str,
}

/// Phrases that identify a daily limit.
pub(super) const DAILY: &[&str] = &[
    "per day", "per-day", "perday", "byday", "daily", "/day", "/ day", "86400s", "24 hours",
    "每日", "每天", "今日", "当日", "当天", "单日",
];

pub(super) const PROBATION: Action = Action::NextKey(KeyPenalty::Probation);
pub(super) const QUARANTINED: Action = Action::NextKey(KeyPenalty::Quarantined);
pub(super) const EXHAUSTED: Action = Action::NextKey(KeyPenalty::Exhausted);
pub(super) const DEAD: Action = Action::NextKey(KeyPenalty::Dead);

pub(super) const TOP_UP: &str =
    "Add credits to this account, or use an API key from another account.";
pub(super) const CHECK_MODEL: &str =
    "Check the model name against the provider's list. Spelling and case must match exactly.";
pub(super) const REQUEST_ACCESS: &str = "Request access to the model in the provider's console, or choose a model that this API key can use.";
pub(super) const REPLACE_KEY: &str = "Replace this API key with a valid one.";
pub(super) const CONTACT_PROVIDER: &str =
    "Check the account in the provider's console, or contact the provider's support.";
pub(super) const CHANGE_PROMPT: &str =
    "Change the prompt of this row. The provider's content filter blocked it.";
pub(super) const SHORTEN: &str = "Shorten the prompt of this row, or lower max_tokens.";
pub(super) const OTHER_NETWORK: &str =
    "Run from a country and a network that the provider serves, or use another endpoint.";
pub(super) const CHECK_BASE_URL: &str =
    "Check the base URL. It usually ends in /v1, without /chat/completions.";
