//! The body of a request, as far as the simulated provider looks at it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use super::refusal::{self, Refusal};
use super::text::{Inputs, Text};

/// The largest `temperature`.
const MAX_TEMPERATURE: f64 = 2.0;

/// What a request asks, at whichever endpoint.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Question<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    input: Option<Inputs<'a>>,
    #[serde(borrow, default)]
    prompt: Option<Text<'a>>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f64>,
    stream: Option<bool>,
    response_format: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
}

impl<'a> Question<'a> {
    /// Reads a body; refuses what is no JSON, or not of the form.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => refusal::wrong_type(),
            Category::Io | Category::Syntax | Category::Eof => refusal::malformed_json(),
        })
    }

    /// Returns the model's name; empty when there is none.
    pub(super) fn model(&self) -> &str {
        self.model.as_ref().map_or("", |model| &model.0)
    }

    /// Returns the text of the last user message (or of the last message, or the input, or the
    /// prompt), if there is any.
    pub(super) fn prompt(&self) -> Option<&str> {
        let of_chat = self.messages.as_deref().and_then(|messages| {
            let by_user = messages.iter().rfind(|message| message.role.0 == "user");
            by_user.or(messages.last()).map(Message::text)
        });
        let of_input = || self.inputs().first().map(|text| &*text.0);
        let of_prompt = || self.prompt.as_ref().map(|text| &*text.0);
        of_chat.or_else(of_input).or_else(of_prompt)
    }

    /// Returns the texts to embed.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.inputs().iter().map(|text| &*text.0)
    }

    /// Returns the most tokens that the answer may have, if there is a limit.
    pub(super) fn max_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// Returns the tokens of all that is asked: a fourth of its bytes.
    pub(super) fn tokens(&self) -> u64 {
        let of_chat = self.messages.iter().flatten().map(Message::text);
        let bytes: usize = of_chat.chain(self.texts()).map(str::len).sum();
        tokens_of(bytes)
    }

    /// Says whether it is a proper question to a chat endpoint, apart from the model.
    pub(super) fn check_chat(&self) -> Result<(), Refusal> {
        let messages = self
            .messages
            .as_ref()
            .ok_or_else(|| refusal::missing("messages"))?;
        if messages.is_empty() {
            return Err(Refusal::new(
                400,
                "Invalid 'messages': empty array. Expected an array with minimum length 1, but \
                 got an empty array instead.",
            )
            .param("messages")
            .code("empty_array"));
        }
        if !messages.iter().all(Message::has_known_role) {
            return Err(Refusal::new(
                400,
                "Invalid value for 'role'. Supported values are: 'system', 'assistant', 'user', \
                 'function', 'tool', and 'developer'.",
            )
            .param("messages")
            .code("invalid_value"));
        }
        self.check_parameters()
    }

    /// Returns of which form the answer is to be, if that is said.
    pub(super) fn response_format(&self) -> Option<&Value> {
        self.response_format.as_ref()
    }

    fn check_parameters(&self) -> Result<(), Refusal> {
        let hot = |temperature: &f64| !(0.0..=MAX_TEMPERATURE).contains(temperature);
        if let Some(temperature) = self.temperature.filter(hot) {
            let message = format!(
                "Invalid 'temperature': expected a value between 0 and 2, but got {temperature} \
                 instead."
            );
            return Err(Refusal::new(400, message).param("temperature"));
        }
        if self.max_tokens() == Some(0) {
            return Err(Refusal::new(
                400,
                "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but \
                 got 0 instead.",
            )
            .param("max_tokens")
            .code("integer_below_min_value"));
        }
        if self.stream == Some(true) {
            return Err(Refusal::new(
                400,
                "This simulated provider does not stream: leave 'stream' out.",
            )
            .param("stream")
            .code("unsupported_value"));
        }
        Ok(())
    }

    fn inputs(&self) -> &[Text<'a>] {
        self.input.as_ref().map_or(&[], |inputs| &inputs.0)
    }
}

impl Message<'_> {
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

/// Returns the tokens that a text of so many bytes counts for: a fourth, rounded up.
pub(super) fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let question = Question::parse(body.as_bytes()).unwrap();
        assert_eq!(question.prompt(), expected);
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
    fn broken_json_and_a_wrong_type_are_told_apart() {
        let code = |body: &str| Question::parse(body.as_bytes()).unwrap_err().code;
        assert_eq!(code("{\"model\":"), None);
        assert_eq!(code("no json"), None);
        assert_eq!(code(r#"{"model":5}"#), Some("invalid_type"));
        assert_eq!(code(r#"{"messages":"a"}"#), Some("invalid_type"));
    }

    #[test]
    fn tokens_are_a_fourth_of_the_bytes_of_all_messages() {
        let body = br#"{"messages":[{"role":"system","content":"abcd"},
            {"role":"user","content":"efghi"}]}"#;
        assert_eq!(Question::parse(body).unwrap().tokens(), 3);
    }
}
