//! Chat completions and the list of models.

use serde_json::{Value, json};

use super::request_body::{RequestBody, tokens_of};
use super::response::{self, SimulatedResponse};
use super::rng::{combine, digest};
use super::structured;

/// Maximum bytes of the prompt that a response quotes.
const QUOTED_BYTES: usize = 40;

/// The `system_fingerprint` of completions.
const FINGERPRINT: &str = "fp_simulated";

/// The values that determine a completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompletionParams {
    /// The seed of the configuration.
    pub(super) seed: u64,
    /// The hash of the prompt.
    pub(super) prompt: u64,
    /// The number of requests with this prompt so far.
    pub(super) prompt_count: u64,
    /// Seconds since 1970.
    pub(super) created: i64,
}

/// Builds the completion of a request. The same request always gets the same content.
pub(super) fn complete(request: &RequestBody<'_>, params: CompletionParams) -> SimulatedResponse {
    let prompt = request.prompt().unwrap_or_default();
    let model = digest(request.model().as_bytes());
    let hash = combine(combine(params.seed, params.prompt), model) & 0xff_ffff;
    let text = format!(
        "Simulated answer to \"{}\" ({hash:06x}).",
        first_words(prompt)
    );
    let structured = request
        .response_format()
        .and_then(|format| structured::generate(format, &text));
    complete_with_text(request, params, structured.as_deref().unwrap_or(&text))
}

/// Builds a completion with this text, truncated to the maximum tokens of the request.
pub(super) fn complete_with_text(
    request: &RequestBody<'_>,
    params: CompletionParams,
    text: &str,
) -> SimulatedResponse {
    let (content, finish_reason) = match truncate(text, request.max_tokens()) {
        Some(start) => (start, "length"),
        None => (text, "stop"),
    };
    let choices = json!([{
        "index": 0,
        "message": { "role": "assistant", "content": content, "refusal": null },
        "logprobs": null,
        "finish_reason": finish_reason,
    }]);
    completion(request, params, &choices, tokens_of(content.len()))
}

/// Builds a completion without choices.
pub(super) fn complete_without_choices(
    request: &RequestBody<'_>,
    params: CompletionParams,
) -> SimulatedResponse {
    completion(request, params, &json!([]), 0)
}

/// Builds the list of models.
pub(super) fn models<'a>(names: impl Iterator<Item = &'a str>, created: i64) -> SimulatedResponse {
    let model = |id| {
        json!({
            "id": id, "object": "model", "created": created, "owned_by": "simulator",
        })
    };
    let data: Vec<_> = names.map(model).collect();
    response::json(200, &json!({ "object": "list", "data": data }))
}

fn completion(
    request: &RequestBody<'_>,
    params: CompletionParams,
    choices: &Value,
    completion_tokens: u64,
) -> SimulatedResponse {
    let id = combine(combine(params.seed, params.prompt), params.prompt_count);
    let prompt_tokens = request.tokens();
    let usage = json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    });
    let completion = json!({
        "id": format!("chatcmpl-{id:016x}"),
        "object": "chat.completion",
        "created": params.created,
        "model": request.model(),
        "choices": choices,
        "usage": usage,
        "system_fingerprint": FINGERPRINT,
    });
    response::json(200, &completion)
}

/// Returns the first words of a prompt on one line, with an ellipsis if it is longer.
fn first_words(prompt: &str) -> String {
    let mut quoted = String::with_capacity(QUOTED_BYTES + 4);
    for word in prompt.split_whitespace() {
        let gap = usize::from(!quoted.is_empty());
        if quoted.len() + gap + word.len() > QUOTED_BYTES {
            // Text without spaces is one long word: quote its start.
            if quoted.is_empty() {
                quoted.push_str(&word[..word.floor_char_boundary(QUOTED_BYTES)]);
            }
            quoted.push('…');
            break;
        }
        if gap == 1 {
            quoted.push(' ');
        }
        quoted.push_str(word);
    }
    quoted
}

/// Returns the first `max_tokens` tokens of `text` if it has more.
fn truncate(text: &str, max_tokens: Option<u64>) -> Option<&str> {
    let bytes = usize::try_from(max_tokens?.saturating_mul(4)).unwrap_or(usize::MAX);
    (bytes < text.len()).then(|| &text[..text.floor_char_boundary(bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prompt: &str, expected: &str) {
        assert_eq!(first_words(prompt), expected);
    }

    #[test]
    fn a_response_quotes_the_first_words_on_one_line() {
        check("", "");
        check("Hello", "Hello");
        check("Hello,\n\tworld", "Hello, world");
        check(
            "Write a haiku about a queue that never forgets a job",
            "Write a haiku about a queue that never…",
        );
        check(&"字".repeat(20), &format!("{}…", "字".repeat(13)));
    }

    #[test]
    fn a_response_is_truncated_between_characters() {
        assert_eq!(truncate("abcdefgh", None), None);
        assert_eq!(truncate("abcdefgh", Some(2)), None);
        assert_eq!(truncate("abcdefgh", Some(1)), Some("abcd"));
        assert_eq!(truncate("字字字", Some(1)), Some("字"));
        assert_eq!(truncate("abc", Some(u64::MAX)), None);
    }
}
