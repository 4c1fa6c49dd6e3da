//! What the rules look at: a refusal in lower case, and the conditions that can be put to it.

use std::ops::Range;

use super::Context;
use crate::domain::failure::{BodyForm, Refusal};

/// How far apart two words may stand and still speak of each other, in bytes: enough for the name
/// of a model between them.
const NEAR: usize = 96;

/// Something that a rule asks of a refusal. Every text in it is lower-case.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    /// The status is one of these.
    Status(&'static [u16]),
    /// The status lies between these two, both included.
    Between(u16, u16),
    /// The status is a 4xx, or the 502 that stands for an error inside a success. In any other 5xx
    /// a relay may be speaking of its own keys and its own money.
    Direct,
    /// The endpoint's host is one of these or below one.
    Host(&'static [&'static str]),
    /// The body is a web page.
    Page,
    /// The error's code, or a word among its details, is one of these.
    Code(&'static [&'static str]),
    /// The error's type is one of these.
    Type(&'static [&'static str]),
    /// The message or the details contain one of these.
    Says(&'static [&'static str]),
    /// The message and the details contain none of these.
    Lacks(&'static [&'static str]),
    /// One of the first is followed by one of the second, near and in the same sentence.
    Near(&'static [&'static str], &'static [&'static str]),
    /// The message or the details name the model that was asked for.
    NamesModel,
    /// The provider says how long to wait.
    Hinted,
    /// The provider asks for a retry.
    ToldToRetry,
}

/// A refusal, ready to be looked at.
pub(super) struct Evidence<'a> {
    refusal: &'a Refusal,
    host: &'a str,
    /// Everything below in lower case, one after the other: the only allocation of the judge.
    text: String,
    code: Range<usize>,
    kind: Range<usize>,
    said: Range<usize>,
    details: Range<usize>,
    model: Range<usize>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(refusal: &'a Refusal, context: Context<'a>) -> Self {
        let parts = [
            &refusal.code,
            &refusal.kind,
            &refusal.message,
            &refusal.details,
            context.model,
        ];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        let [code, kind, message, details, model] = parts.map(|part| {
            let start = text.len();
            text.push_str(part);
            text.push('\n');
            start..text.len() - 1
        });
        text.make_ascii_lowercase();
        Self {
            refusal,
            host: context.host,
            text,
            code,
            kind,
            said: message.start..details.end,
            details,
            model,
        }
    }

    /// Whether a condition holds.
    pub(super) fn meets(&self, condition: &Condition) -> bool {
        let status = self.refusal.status;
        match *condition {
            Condition::Status(statuses) => statuses.contains(&status),
            Condition::Between(first, last) => (first..=last).contains(&status),
            Condition::Direct => matches!(status, 400..=499 | 502),
            Condition::Host(hosts) => hosts.iter().any(|host| self.is_at(host)),
            Condition::Page => self.refusal.form == BodyForm::Html,
            Condition::Code(codes) => self.has_code(codes),
            Condition::Type(types) => types.contains(&&self.text[self.kind.clone()]),
            Condition::Says(phrases) => self.says(phrases),
            Condition::Lacks(phrases) => !self.says(phrases),
            Condition::Near(first, second) => near(self.said(), first, second),
            Condition::NamesModel => self.names_model(),
            Condition::Hinted => self.refusal.hint.is_some(),
            Condition::ToldToRetry => self.refusal.should_retry == Some(true),
        }
    }

    fn said(&self) -> &str {
        &self.text[self.said.clone()]
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let said = self.said();
        phrases.iter().any(|phrase| said.contains(phrase))
    }

    fn is_at(&self, host: &str) -> bool {
        let above = self.host.strip_suffix(host);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        let details = &self.text[self.details.clone()];
        codes.contains(&&self.text[self.code.clone()])
            || details
                .split_ascii_whitespace()
                .any(|word| codes.contains(&word))
    }

    /// Providers leave out the part before the slash, as in `openai/gpt-4o`.
    fn names_model(&self) -> bool {
        let model = &self.text[self.model.clone()];
        let name = model.rsplit('/').next().unwrap_or(model);
        name.len() > 2 && self.said().contains(name)
    }
}

fn near(text: &str, first: &[&str], second: &[&str]) -> bool {
    first.iter().any(|word| {
        text.match_indices(word).any(|(at, word)| {
            let rest = &text[at + word.len()..];
            let rest = &rest[..rest.floor_char_boundary(NEAR)];
            let end = sentence_end(rest);
            second.iter().any(|word| rest[..end].contains(word))
        })
    })
}

fn sentence_end(text: &str) -> usize {
    let ends = [". ", "\n", "。", "; "];
    let found = ends.iter().filter_map(|end| text.find(end));
    found.min().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(condition: Condition, expected: bool) {
        let refusal = Refusal {
            status: 403,
            code: "403 FORBIDDEN".to_owned(),
            kind: "Relay_Error".to_owned(),
            message: "Your Key for GPT-4o was disabled. The account is fine".to_owned(),
            details: "reason API_KEY_INVALID".to_owned(),
            ..Refusal::default()
        };
        let context = Context {
            host: "api.example.com",
            model: "openai/GPT-4o",
        };
        let met = Evidence::new(&refusal, context).meets(&condition);
        assert_eq!(met, expected, "{condition:?}");
    }

    #[test]
    fn conditions_hold_in_any_case() {
        check(Condition::Status(&[401, 403]), true);
        check(Condition::Between(404, 499), false);
        check(Condition::Code(&["403 forbidden"]), true);
        check(Condition::Code(&["api_key_invalid"]), true);
        check(Condition::Code(&["api_key"]), false);
        check(Condition::Type(&["relay_error"]), true);
        check(Condition::Says(&["key for"]), true);
        check(Condition::Says(&["relay_error"]), false);
        check(Condition::Lacks(&["key for"]), false);
        check(Condition::NamesModel, true);
        check(Condition::Page, false);
        check(Condition::Hinted, false);
        check(Condition::ToldToRetry, false);
    }

    #[test]
    fn a_host_is_met_by_what_lies_below_it() {
        check(Condition::Host(&["example.com"]), true);
        check(Condition::Host(&["api.example.com"]), true);
        check(Condition::Host(&["ample.com"]), false);
    }

    #[test]
    fn near_ends_with_the_sentence() {
        check(Condition::Near(&["key"], &["disabled"]), true);
        check(Condition::Near(&["disabled"], &["key"]), false);
        check(Condition::Near(&["disabled"], &["fine"]), false);
    }
}
