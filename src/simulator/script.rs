//! Scripts, which determine the reaction to particular requests in tests.

use std::fmt;
use std::sync::Arc;

use super::faults::Reaction;

/// A request, as the rules of a [`Script`] see it.
#[derive(Clone, Copy, Debug)]
pub struct IncomingRequest<'a> {
    /// The path, such as `/v1/chat/completions`.
    pub path: &'a str,
    /// The API key; empty without one.
    pub key: &'a str,
    /// The model; empty without one.
    pub model: &'a str,
    /// The text of the last user message (of a chat), or the input (of embeddings).
    pub prompt: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The number of this request among all requests, starting at 1.
    pub number: u64,
    /// The number of requests with this prompt, including this one; 0 without a prompt.
    pub prompt_count: u64,
    /// The number of requests with this key, including this one.
    pub key_count: u64,
}

/// Returns the reaction to a request, or `None` if the rule does not apply.
type Rule = Arc<dyn Fn(&IncomingRequest<'_>) -> Option<Reaction> + Send + Sync>;

/// A list of rules. The first rule that applies to a request determines the reaction; if none
/// applies, the rest of the configuration does.
#[derive(Clone, Default)]
pub struct Script {
    rules: Vec<Rule>,
}

impl Script {
    /// Creates an empty script.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule that returns the reaction, or `None` if it does not apply.
    #[must_use]
    pub fn rule(
        mut self,
        rule: impl Fn(&IncomingRequest<'_>) -> Option<Reaction> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Arc::new(rule));
        self
    }

    /// Adds a reaction to every request that `matches`.
    #[must_use]
    pub fn on(
        self,
        matches: impl Fn(&IncomingRequest<'_>) -> bool + Send + Sync + 'static,
        reaction: Reaction,
    ) -> Self {
        self.rule(move |request| matches(request).then(|| reaction.clone()))
    }

    /// Adds a reaction to the request with this number among all requests, starting at 1.
    #[must_use]
    pub fn nth(self, number: u64, reaction: Reaction) -> Self {
        self.on(move |request| request.number == number, reaction)
    }

    /// Adds a reaction to the first `count` requests.
    #[must_use]
    pub fn first_n(self, count: u64, reaction: Reaction) -> Self {
        self.on(move |request| request.number <= count, reaction)
    }

    /// Adds a reaction to the first `count` requests with the same prompt, for each prompt.
    #[must_use]
    pub fn first_n_per_prompt(self, count: u64, reaction: Reaction) -> Self {
        let range = 1..=count;
        self.on(
            move |request| range.contains(&request.prompt_count),
            reaction,
        )
    }

    /// Adds a reaction to every request with this key.
    #[must_use]
    pub fn for_key(self, key: impl Into<String>, reaction: Reaction) -> Self {
        let key = key.into();
        self.on(move |request| request.key == key, reaction)
    }

    /// Adds a reaction to all requests to which no earlier rule applies.
    #[must_use]
    pub fn always(self, reaction: Reaction) -> Self {
        self.on(|_| true, reaction)
    }

    /// Returns the reaction of the first rule that applies.
    pub(super) fn reaction(&self, request: &IncomingRequest<'_>) -> Option<Reaction> {
        self.rules.iter().find_map(|rule| rule(request))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Script({} rules)", self.rules.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &Script, number: u64, prompt_count: u64, prompt: &str, expected: Option<u16>) {
        let request = IncomingRequest {
            path: "/v1/chat/completions",
            key: "sk-a",
            model: "m",
            prompt,
            body: b"",
            number,
            prompt_count,
            key_count: number,
        };
        let status = script.reaction(&request).map(|reaction| match reaction {
            Reaction::Status(status) => status,
            other => panic!("unexpected {other:?}"),
        });
        assert_eq!(status, expected);
    }

    #[test]
    fn the_first_rule_that_applies_determines_the_reaction() {
        let poisoned = |request: &IncomingRequest<'_>| request.prompt.contains("poison");
        let script = Script::new()
            .nth(3, Reaction::Status(503))
            .first_n_per_prompt(2, Reaction::Status(500))
            .on(poisoned, Reaction::Status(403))
            .for_key("sk-b", Reaction::Status(401));
        check(&script, 3, 1, "poison", Some(503));
        check(&script, 4, 2, "poison", Some(500));
        check(&script, 5, 3, "poison", Some(403));
        check(&script, 6, 3, "fine", None);
        let script = script.first_n(6, Reaction::Status(502));
        check(&script, 6, 3, "fine", Some(502));
    }
}
