//! The fields of a request body that the simulated provider uses.

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use super::content::{EmbeddingInput, TextContent};
use super::error::{self, SimulatedError};

/// Maximum `temperature`.
const MAX_TEMPERATURE: f64 = 2.0;

/// A request body of any endpoint.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RequestBody<'a> {
    #[serde(borrow, default)]
    model: Option<TextContent<'a>>,
    #[serde(borrow, default)]
    messages: Option<Vec<RequestMessage<'a>>>,
    #[serde(borrow, default)]
    input: Option<EmbeddingInput<'a>>,
    #[serde(borrow, default)]
    prompt: Option<TextContent<'a>>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f64>,
    stream: Option<bool>,
    response_format: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct RequestMessage<'a> {
    #[serde(borrow)]
    role: TextContent<'a>,
    #[serde(borrow, default)]
    content: Option<TextContent<'a>>,
}

impl<'a> RequestBody<'a> {
    /// Parses a body; fails if it is not JSON, or a field has the wrong type.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, SimulatedError> {
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => error::wrong_type(),
            Category::Io | Category::Syntax | Category::Eof => error::malformed_json(),
        })
    }

    /// Returns the model; empty without one.
    pub(super) fn model(&self) -> &str {
        self.model.as_ref().map_or("", |model| &model.0)
    }

    /// Returns the text of the last user message; without one, that of the last message, the first
    /// input, or the prompt.
    pub(super) fn prompt(&self) -> Option<&str> {
        let message = self.messages.as_deref().and_then(|messages| {
            let by_user = messages.iter().rfind(|message| message.role.0 == "user");
            by_user.or(messages.last()).map(RequestMessage::text)
        });
        let input = || self.input_texts().first().map(|text| &*text.0);
        let prompt = || self.prompt.as_ref().map(|text| &*text.0);
        message.or_else(input).or_else(prompt)
    }

    /// Returns the texts to embed.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.input_texts().iter().map(|text| &*text.0)
    }

    /// Returns the maximum completion tokens, if limited.
    pub(super) fn max_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Returns the prompt tokens of all messages and inputs.
    pub(super) fn tokens(&self) -> u64 {
        let messages = self.messages.iter().flatten().map(RequestMessage::text);
        let bytes: usize = messages.chain(self.texts()).map(str::len).sum();
        tokens_of(bytes)
    }

    /// Validates a request to the chat endpoint, except for the model.
    pub(super) fn check_chat(&self) -> Result<(), SimulatedError> {
        let messages = self
            .messages
            .as_ref()
            .ok_or_else(|| error::missing("messages"))?;
        if messages.is_empty() {
            return Err(SimulatedError::new(
                400,
                "Invalid 'messages': empty array. Expected an array with minimum length 1, but \
                 got an empty array instead.",
            )
            .param("messages")
            .code("empty_array"));
        }
        if !messages.iter().all(RequestMessage::has_known_role) {
            return Err(SimulatedError::new(
                400,
                "Invalid value for 'role'. Supported values are: 'system', 'assistant', 'user', \
                 'function', 'tool', and 'developer'.",
            )
            .param("messages")
            .code("invalid_value"));
        }
        self.check_parameters()
    }

    /// Returns the required format of the response, if any.
    pub(super) fn response_format(&self) -> Option<&Value> {
        self.response_format.as_ref()
    }

    fn check_parameters(&self) -> Result<(), SimulatedError> {
        let out_of_range = |temperature: &f64| !(0.0..=MAX_TEMPERATURE).contains(temperature);
        if let Some(temperature) = self.temperature.filter(out_of_range) {
            let message = format!(
                "Invalid 'temperature': expected a value between 0 and 2, but got {temperature} \
                 instead."
            );
            return Err(SimulatedError::new(400, message).param("temperature"));
        }
        if self.max_tokens() == Some(0) {
            return Err(SimulatedError::new(
                400,
                "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but \
                 got 0 instead.",
            )
            .param("max_tokens")
            .code("integer_below_min_value"));
        }
        if self.stream == Some(true) {
            return Err(SimulatedError::new(
                400,
                "The simulated provider does not support streaming: omit 'stream'.",
            )
            .param("stream")
            .code("unsupported_value"));
        }
        Ok(())
    }

    fn input_texts(&self) -> &[TextContent<'a>] {
        self.input.as_ref().map_or(&[], |input| &input.0)
    }
}

impl RequestMessage<'_> {
    fn text(&self) -> &str {
        self.content.as_ref().map_or("", |content| &content.0)
    }

    fn has_known_role(&self) -> bool {
        const ROLES: [&str; 6] = [
            "user",
            "system",
            "assistant",
            "developer",
            "tool",
            "function",
        ];
        ROLES.contains(&&*self.role.0)
    }
}

/// Estimates the tokens of a text: one per four bytes, rounded up.
pub(super) fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let request = RequestBody::parse(body.as_bytes()).unwrap();
        assert_eq!(request.prompt(), expected);
    }

    #[test]
    fn the_prompt_is_the_last_user_message() {
        check("{}", None);
        check(r#"{"messages":[]}"#, None);
        check(r#"{"messages":[{"role":"user","content":"a"}]}"#, Some("a"));
        check(
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
            Some("a"),
        );
        check(
            r#"{"messages":[{"role":"user","content":"a \"b\"\n\u00e9"}]}"#,
            Some("a \"b\"\né"),
        );
        check(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]}]}"#,
            Some("ab"),
        );
        check(r#"{"messages":[{"role":"user","content":null}]}"#, Some(""));
        check(r#"{"input":["a","b"]}"#, Some("a"));
        check(r#"{"prompt":"a"}"#, Some("a"));
    }

    #[test]
    fn malformed_json_and_wrong_types_are_different_errors() {
        let code = |body: &str| RequestBody::parse(body.as_bytes()).unwrap_err().code;
        assert_eq!(code("{\"model\":"), None);
        assert_eq!(code("no json"), None);
        assert_eq!(code(r#"{"model":5}"#), Some("invalid_type"));
        assert_eq!(code(r#"{"messages":"a"}"#), Some("invalid_type"));
    }

    #[test]
    fn four_bytes_of_the_messages_count_as_one_token() {
        let body = br#"{"messages":[{"role":"system","content":"abcd"},
            {"role":"user","content":"efghi"}]}"#;
        assert_eq!(RequestBody::parse(body).unwrap().tokens(), 3);
    }
}
