//! The rules for error responses. The first rule whose conditions all hold applies.
//!
//! Groups are ordered by how specific their evidence is: web pages and firewalls, messages of one
//! provider, error codes, messages in general, and the bare status. Each new rule needs a fixture
//! in `tests/fixtures/refusals/`.

mod codes;
mod known;
mod messages;
mod pages;
mod rule;
mod statuses;

use std::time::Duration;

pub use self::rule::Rule;
use super::evidence::Evidence;

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
    use crate::domain::verdict::{Action, Condition};

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
            let needs_hint = matches!(rule.then.1, Action::StopRun | Action::FailJob);
            assert!(
                !needs_hint || !rule.hint.is_empty(),
                "{} has no hint",
                rule.id
            );
        }
    }
}
