//! The rules for error responses. The first rule whose conditions all hold applies.
//!
//! Groups are ordered by how specific their evidence is: web pages and firewalls, messages of one
//! provider, error codes, messages in general, and the bare status. Each new rule needs a fixture
//! in `tests/fixtures/refusals/`.

mod codes;
mod known;
mod messages;
mod pages;
mod statuses;

use std::time::Duration;

use super::evidence::Evidence;
use super::{Action, Condition, KeyPenalty, Scope};

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
    /// What caused the error.
    pub scope: Scope,
    /// What to do.
    pub action: Action,
    /// What the user can do about it; empty if nothing.
    pub hint: &'static str,
}

const GROUPS: [&[Rule]; 5] = [
    pages::RULES,
    known::RULES,
    codes::RULES,
    messages::RULES,
    statuses::RULES,
];

/// Minimum waits for daily limits, for providers that report no reset time or only that of the
/// per-minute limit.
const MIN_WAITS: [(&str, Duration); 2] = [
    ("daily-quota", Duration::from_mins(30)),
    ("gemini-daily-quota", Duration::from_mins(15)),
];

/// Phrases that identify a daily limit.
const DAILY: &[&str] = &[
    "per day", "per-day", "perday", "byday", "daily", "/day", "/ day", "86400s", "24 hours",
    "每日", "每天", "今日", "当日", "当天", "单日",
];

const RETRY: Action = Action::Retry { at_most: None };
const RETRY_ONCE: Action = Action::Retry { at_most: Some(2) };
const PROBATION: Action = Action::NextKey(KeyPenalty::Probation);
const QUARANTINED: Action = Action::NextKey(KeyPenalty::Quarantined);
const EXHAUSTED: Action = Action::NextKey(KeyPenalty::Exhausted);
const DEAD: Action = Action::NextKey(KeyPenalty::Dead);

const NO_HINT: &str = "";
const TOP_UP: &str = "Add credits to this account, or use an API key from another account.";
const CHECK_MODEL: &str =
    "Check the model name against the provider's list. Spelling and case must match exactly.";
const REQUEST_ACCESS: &str = "Request access to the model in the provider's console, or choose a model that this API key can use.";
const REPLACE_KEY: &str = "Replace this API key with a valid one.";
const CONTACT_PROVIDER: &str =
    "Check the account in the provider's console, or contact the provider's support.";
const CHANGE_PROMPT: &str =
    "Change the prompt of this row. The provider's content filter blocked it.";
const SHORTEN: &str = "Shorten the prompt of this row, or lower max_tokens.";
const OTHER_NETWORK: &str =
    "Run from a country and a network that the provider serves, or use another endpoint.";
const CHECK_BASE_URL: &str =
    "Check the base URL. It usually ends in /v1, without /chat/completions.";

/// Returns all rules in the order of evaluation.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    GROUPS.into_iter().flatten()
}

/// Returns the first rule that applies. The last rule of the table has no conditions.
pub(super) fn first_match(evidence: &Evidence<'_>) -> &'static Rule {
    let holds = |rule: &&Rule| rule.when.iter().all(|condition| evidence.meets(condition));
    all().find(holds).unwrap_or(&statuses::LAST)
}

/// Returns the minimum wait of a rule, if it has one.
pub(super) fn min_wait(id: &str) -> Option<Duration> {
    let found = MIN_WAITS.iter().find(|(rule, _)| *rule == id);
    found.map(|(_, wait)| *wait)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_in_kebab_case() {
        let mut ids = HashSet::new();
        for rule in all() {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(rule.id.chars().all(kebab), "{}", rule.id);
            assert!(ids.insert(rule.id), "duplicate rule {}", rule.id);
            assert!(!rule.seen.is_empty(), "{} has no source", rule.id);
        }
        for (id, _) in MIN_WAITS {
            assert!(ids.contains(id), "unknown rule {id}");
        }
    }

    #[test]
    fn phrases_are_lowercase_and_hints_are_sentences() {
        for rule in all() {
            let texts = rule.when.iter().flat_map(|condition| match *condition {
                Condition::Near(first, second) => [first, second],
                Condition::Contains(texts)
                | Condition::Excludes(texts)
                | Condition::Code(texts)
                | Condition::Type(texts)
                | Condition::Host(texts) => [texts, &[]],
                _ => [&[][..], &[]],
            });
            for text in texts.flatten() {
                assert_eq!(*text, text.to_ascii_lowercase(), "{}", rule.id);
                assert!(!text.is_empty(), "{}", rule.id);
            }
            assert!(
                rule.hint.is_empty() || rule.hint.ends_with('.'),
                "{}",
                rule.id
            );
            let needs_hint = matches!(rule.action, Action::StopRun | Action::FailJob);
            assert!(
                !needs_hint || !rule.hint.is_empty(),
                "{} has no hint",
                rule.id
            );
        }
    }
}
