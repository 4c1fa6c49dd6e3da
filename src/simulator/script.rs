//! The script of a test: which request gets which reaction, whatever the provider would have done.

use std::fmt;
use std::sync::Arc;

use super::faults::Reaction;

/// A request as it arrived, for the rules of a [`Script`] to look at.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The path, such as `/v1/chat/completions`.
    pub path: &'a str,
    /// The API key; empty when there is none.
    pub key: &'a str,
    /// The model that was asked for; empty when there is none.
    pub model: &'a str,
    /// The text of the last user message (of a chat), or the input (of embeddings).
    pub prompt: &'a str,
    /// The body as it came.
    pub body: &'a [u8],
    /// The number of this request, counted from 1 over all requests.
    pub number: u64,
    /// How often this prompt has arrived, this time included; 0 for a request without a prompt.
    pub turn: u64,
    /// How many requests this key has made, this one included.
    pub of_key: u64,
}

/// A rule: what happens to a request, if the rule has a say.
type Rule = Arc<dyn Fn(&Arrival<'_>) -> Option<Reaction> + Send + Sync>;

/// Which request gets which reaction: a list of rules, of which the first that matches is taken.
/// A request that no rule matches is treated as the rest of the configuration says.
#[derive(Clone, Default)]
pub struct Script {
    rules: Vec<Rule>,
}

impl Script {
    /// Makes an empty script.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule in its general form: it returns the reaction, or `None` to pass.
    #[must_use]
    pub fn rule(
        mut self,
        rule: impl Fn(&Arrival<'_>) -> Option<Reaction> + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Arc::new(rule));
        self
    }

    /// Adds a reaction to every request that `matches`.
    #[must_use]
    pub fn on(
        self,
        matches: impl Fn(&Arrival<'_>) -> bool + Send + Sync + 'static,
        reaction: Reaction,
    ) -> Self {
        self.rule(move |arrival| matches(arrival).then(|| reaction.clone()))
    }

    /// Adds a reaction to the request with this number, counted from 1 over all requests.
    #[must_use]
    pub fn nth(self, number: u64, reaction: Reaction) -> Self {
        self.on(move |arrival| arrival.number == number, reaction)
    }

    /// Adds a reaction to the first `count` requests.
    #[must_use]
    pub fn first_n(self, count: u64, reaction: Reaction) -> Self {
        self.on(move |arrival| arrival.number <= count, reaction)
    }

    /// Adds a reaction to the first `count` requests with the same prompt, for each prompt.
    #[must_use]
    pub fn first_n_per_prompt(self, count: u64, reaction: Reaction) -> Self {
        self.on(move |arrival| (1..=count).contains(&arrival.turn), reaction)
    }

    /// Adds a reaction to every request with this key.
    #[must_use]
    pub fn for_key(self, key: impl Into<String>, reaction: Reaction) -> Self {
        let key = key.into();
        self.on(move |arrival| arrival.key == key, reaction)
    }

    /// Adds a reaction to every request that gets this far down the list.
    #[must_use]
    pub fn always(self, reaction: Reaction) -> Self {
        self.on(|_| true, reaction)
    }

    /// Returns the reaction of the first rule that matches.
    pub(super) fn reaction(&self, arrival: &Arrival<'_>) -> Option<Reaction> {
        self.rules.iter().find_map(|rule| rule(arrival))
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
    fn check(script: &Script, number: u64, turn: u64, prompt: &str, expected: Option<u16>) {
        let arrival = Arrival {
            path: "/v1/chat/completions",
            key: "sk-a",
            model: "m",
            prompt,
            body: b"",
            number,
            turn,
            of_key: number,
        };
        let status = script.reaction(&arrival).map(|reaction| match reaction {
            Reaction::Status(status) => status,
            other => panic!("unexpected {other:?}"),
        });
        assert_eq!(status, expected);
    }

    #[test]
    fn the_first_rule_that_matches_is_taken() {
        let script = Script::new()
            .nth(3, Reaction::Status(503))
            .first_n_per_prompt(2, Reaction::Status(500))
            .on(
                |arrival| arrival.prompt.contains("poison"),
                Reaction::Status(403),
            )
            .for_key("sk-b", Reaction::Status(401));
        check(&script, 3, 1, "poison", Some(503));
        check(&script, 4, 2, "poison", Some(500));
        check(&script, 5, 3, "poison", Some(403));
        check(&script, 6, 3, "fine", None);
        check(
            &script.first_n(6, Reaction::Status(502)),
            6,
            3,
            "fine",
            Some(502),
        );
    }
}
