//! The table that refusals are judged by: the first rule whose conditions all hold has the word.
//!
//! The chapters stand in the order of their evidence: web pages and firewalls, sentences known from
//! one provider, codes, what messages say in general, and at last the bare status. A new rule is
//! a row in its chapter and a fixture in `tests/fixtures/refusals/`.

mod codes;
mod known;
mod messages;
mod pages;
mod statuses;

use std::time::Duration;

use super::evidence::Evidence;
use super::{Action, Condition, Scope, SetAside};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name: shown to people and stored, so it never changes.
    pub id: &'static str,
    /// Whose answer it is written for, with the issue thread where one is known. Without one it
    /// was not checked against a source.
    pub seen: &'static str,
    /// What must hold, all of it.
    pub when: &'static [Condition],
    /// Whose fault it is.
    pub scope: Scope,
    /// What to do.
    pub action: Action,
    /// What a person should do about it; empty where there is nothing to do.
    pub hint: &'static str,
}

const CHAPTERS: [&[Rule]; 5] = [
    pages::RULES,
    known::RULES,
    codes::RULES,
    messages::RULES,
    statuses::RULES,
];

/// Least waits for limits that are asked again too early otherwise: the provider names no time, or
/// one that belongs to its limit per minute.
const LEAST_WAITS: [(&str, Duration); 2] = [
    ("daily-quota", Duration::from_mins(30)),
    ("gemini-daily-quota", Duration::from_mins(15)),
];

/// How a limit says that it counts days.
const DAILY: &[&str] = &[
    "per day", "per-day", "perday", "byday", "daily", "/day", "/ day", "86400s", "24 hours",
    "每日", "每天", "今日", "当日", "当天", "单日",
];

const RETRY: Action = Action::Retry { at_most: None };
const TWICE: Action = Action::Retry { at_most: Some(2) };
const DOUBT: Action = Action::NextKey(SetAside::Doubted);
const QUARANTINE: Action = Action::NextKey(SetAside::Quarantined);
const EXHAUSTED: Action = Action::NextKey(SetAside::Exhausted);
const DEAD: Action = Action::NextKey(SetAside::Dead);

const NO_HINT: &str = "";
const TOP_UP: &str = "Add money or credits to this account, or use a key of another account.";
const FIX_MODEL: &str =
    "Check the model's name, letter by letter and in lower case, against the provider's list.";
const ASK_ACCESS: &str =
    "Ask for access to the model in the provider's console, or choose a model this key may use.";
const NEW_KEY: &str = "Replace this key with a valid one.";
const CALL_PROVIDER: &str =
    "Look into the provider's console, or ask its support about the account.";
const CHANGE_PROMPT: &str = "Change the prompt of this row: the provider's content filter took it.";
const SHORTEN: &str = "Shorten the prompt of this row, or lower max_tokens.";
const OTHER_NETWORK: &str =
    "Run it from a place or an address that the provider serves, or use another endpoint.";
const FIX_ENDPOINT: &str =
    "Check the base URL: it ends before /chat/completions, with most providers in /v1.";

/// Returns all rules in the order they are asked.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    CHAPTERS.into_iter().flatten()
}

/// The first rule that holds. The last rule of the table has no condition.
pub(super) fn first(evidence: &Evidence<'_>) -> &'static Rule {
    let holds = |rule: &&Rule| rule.when.iter().all(|condition| evidence.meets(condition));
    all().find(holds).unwrap_or(&statuses::LAST)
}

/// What a rule waits at least, where it says so.
pub(super) fn least_wait(id: &str) -> Option<Duration> {
    let found = LEAST_WAITS.iter().find(|(rule, _)| *rule == id);
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
            assert!(ids.insert(rule.id), "{} stands twice", rule.id);
            assert!(!rule.seen.is_empty(), "{} was seen nowhere", rule.id);
        }
        for (id, _) in LEAST_WAITS {
            assert!(ids.contains(id), "{id} is no rule");
        }
    }

    #[test]
    fn texts_are_lower_case_and_cures_are_sentences() {
        for rule in all() {
            let texts = rule.when.iter().flat_map(|condition| match *condition {
                Condition::Near(first, second) => [first, second],
                Condition::Says(texts)
                | Condition::Lacks(texts)
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
            let needs_a_person = matches!(rule.action, Action::StopRun | Action::FailJob);
            assert!(
                !needs_a_person || !rule.hint.is_empty(),
                "{} has no cure",
                rule.id
            );
        }
    }
}
