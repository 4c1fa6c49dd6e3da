//! Evaluates the conditions of rules against an error response, ignoring case.

use std::ops::Range;

use super::terms::Context;
use crate::domain::failure::{BodyFormat, ErrorResponse};

/// The maximum distance between two phrases that refer to each other, in bytes. It leaves space for
/// a model name between them.
const NEAR: usize = 96;

/// A condition on an error response. All texts are in lowercase.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    /// The status is one of these.
    Status(&'static [u16]),
    /// The status is in this inclusive range.
    Between(u16, u16),
    /// The status is a 4xx, or the 502 assigned to an error inside a success response. Other 5xx
    /// responses can report problems with a relay's own keys or account.
    Direct,
    /// The endpoint's host is one of these, or a subdomain of one.
    Host(&'static [&'static str]),
    /// The body is a web page.
    WebPage,
    /// The error code, or a word of the details, is one of these.
    Code(&'static [&'static str]),
    /// The error type is one of these.
    Type(&'static [&'static str]),
    /// The message or the details contain one of these.
    Contains(&'static [&'static str]),
    /// The message and the details contain none of these.
    Excludes(&'static [&'static str]),
    /// One of the first list is followed by one of the second, nearby and in the same sentence.
    Near(&'static [&'static str], &'static [&'static str]),
    /// The message or the details contain the name of the requested model.
    MentionsModel,
    /// The response specifies how long to wait.
    HasRetryAfter,
    /// The response asks for a retry.
    ShouldRetry,
}

/// An error response, prepared for evaluation.
pub(super) struct Evidence<'a> {
    response: &'a ErrorResponse,
    host: &'a str,
    /// The text that the ranges below refer to, in lowercase. This is the only allocation per
    /// classification.
    text: String,
    code: Range<usize>,
    kind: Range<usize>,
    error_text: Range<usize>,
    details: Range<usize>,
    model: Range<usize>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(response: &'a ErrorResponse, context: Context<'a>) -> Self {
        let parts = [
            &response.code,
            &response.kind,
            &response.message,
            &response.details,
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
            response,
            host: context.host,
            text,
            code,
            kind,
            error_text: message.start..details.end,
            details,
            model,
        }
    }

    /// Returns whether a condition holds.
    pub(super) fn meets(&self, condition: &Condition) -> bool {
        let status = self.response.status;
        match *condition {
            Condition::Status(statuses) => statuses.contains(&status),
            Condition::Between(first, last) => (first..=last).contains(&status),
            Condition::Direct => matches!(status, 400..=499 | 502),
            Condition::Host(hosts) => hosts.iter().any(|host| self.is_host(host)),
            Condition::WebPage => self.response.format == BodyFormat::Html,
            Condition::Code(codes) => self.has_code(codes),
            Condition::Type(types) => types.contains(&&self.text[self.kind.clone()]),
            Condition::Contains(phrases) => self.contains(phrases),
            Condition::Excludes(phrases) => !self.contains(phrases),
            Condition::Near(first, second) => near(self.error_text(), first, second),
            Condition::MentionsModel => self.mentions_model(),
            Condition::HasRetryAfter => self.response.retry_after.is_some(),
            Condition::ShouldRetry => self.response.should_retry == Some(true),
        }
    }

    fn error_text(&self) -> &str {
        &self.text[self.error_text.clone()]
    }

    fn contains(&self, phrases: &[&str]) -> bool {
        let error_text = self.error_text();
        phrases.iter().any(|phrase| error_text.contains(phrase))
    }

    fn is_host(&self, host: &str) -> bool {
        let subdomain = self.host.strip_suffix(host);
        subdomain.is_some_and(|subdomain| subdomain.is_empty() || subdomain.ends_with('.'))
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        let details = &self.text[self.details.clone()];
        codes.contains(&&self.text[self.code.clone()])
            || details
                .split_ascii_whitespace()
                .any(|word| codes.contains(&word))
    }

    /// Providers omit the part of a model name before the slash, as in `openai/gpt-4o`.
    fn mentions_model(&self) -> bool {
        let model = &self.text[self.model.clone()];
        let name = model.rsplit('/').next().unwrap_or(model);
        name.len() > 2 && self.error_text().contains(name)
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
        let response = ErrorResponse {
            status: 403,
            code: "403 FORBIDDEN".to_owned(),
            kind: "Relay_Error".to_owned(),
            message: "Your Key for GPT-4o was disabled. The account is fine".to_owned(),
            details: "reason API_KEY_INVALID".to_owned(),
            ..ErrorResponse::default()
        };
        let context = Context {
            host: "api.example.com",
            model: "openai/GPT-4o",
        };
        let met = Evidence::new(&response, context).meets(&condition);
        assert_eq!(met, expected, "{condition:?}");
    }

    #[test]
    fn conditions_ignore_case() {
        check(Condition::Status(&[401, 403]), true);
        check(Condition::Between(404, 499), false);
        check(Condition::Code(&["403 forbidden"]), true);
        check(Condition::Code(&["api_key_invalid"]), true);
        check(Condition::Code(&["api_key"]), false);
        check(Condition::Type(&["relay_error"]), true);
        check(Condition::Contains(&["key for"]), true);
        check(Condition::Contains(&["relay_error"]), false);
        check(Condition::Excludes(&["key for"]), false);
        check(Condition::MentionsModel, true);
        check(Condition::WebPage, false);
        check(Condition::HasRetryAfter, false);
        check(Condition::ShouldRetry, false);
    }

    #[test]
    fn a_host_matches_its_subdomains() {
        check(Condition::Host(&["example.com"]), true);
        check(Condition::Host(&["api.example.com"]), true);
        check(Condition::Host(&["ample.com"]), false);
    }

    #[test]
    fn near_does_not_cross_sentences() {
        check(Condition::Near(&["key"], &["disabled"]), true);
        check(Condition::Near(&["disabled"], &["key"]), false);
        check(Condition::Near(&["disabled"], &["fine"]), false);
    }
}
