//! The format of chat completion responses and the data extracted from them. `RawValue` preserves
//! tool calls verbatim.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::CompletionMetadata;

/// The relevant parts of the body of a chat completion.
///
/// Parsing is lenient, so that a response that was paid for is not lost over a detail: unknown
/// fields are skipped, and null values and text fields of another type are treated as missing. Only
/// the first choice is used. Deserialize with `serde_json::from_str`, because the result borrows
/// from the text.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ChatCompletion<'a> {
    #[serde(borrow)]
    model: MessageText<'a>,
    #[serde(borrow)]
    choices: Option<Vec<ResponseChoice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl ChatCompletion<'_> {
    /// Returns the content, or the JSON of the tool calls if the content is missing or blank.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let message = self.message()?;
        let calls = [message.tool_calls, message.function_call];
        message
            .content
            .as_str()
            .or_else(|| calls.into_iter().flatten().find_map(calls_text))
    }

    /// Returns the refusal of the model, if any.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.message()?.refusal.as_str()
    }

    /// Returns the finish reason; empty if not reported.
    #[must_use]
    pub fn finish_reason(&self) -> &str {
        self.choice()
            .and_then(|choice| choice.finish_reason.as_str())
            .unwrap_or_default()
    }

    /// Returns whether there is at least one choice.
    #[must_use]
    pub fn has_choice(&self) -> bool {
        self.choice().is_some()
    }

    /// Returns whether the body has an error for the entire request.
    #[must_use]
    pub fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Returns the JSON of the error of the first choice, if any.
    #[must_use]
    pub fn choice_error(&self) -> Option<&str> {
        self.choice()?.error.map(RawValue::get)
    }

    /// Returns the data to store with the body.
    #[must_use]
    pub fn metadata(&self) -> CompletionMetadata {
        let usage: ChatUsage = self
            .usage
            .and_then(|usage| serde_json::from_str(usage.get()).ok())
            .unwrap_or_default();
        CompletionMetadata {
            model: self.model.as_str().unwrap_or_default().to_owned(),
            finish_reason: self.finish_reason().to_owned(),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        }
    }

    fn choice(&self) -> Option<&ResponseChoice<'_>> {
        self.choices.as_ref()?.first()
    }

    fn message(&self) -> Option<&ResponseMessage<'_>> {
        self.choice()?.message.as_ref()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseChoice<'a> {
    #[serde(borrow)]
    message: Option<ResponseMessage<'a>>,
    #[serde(borrow)]
    finish_reason: MessageText<'a>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseMessage<'a> {
    #[serde(borrow)]
    content: MessageText<'a>,
    #[serde(borrow)]
    refusal: MessageText<'a>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

/// Parsed separately, so that invalid counts become unknown counts instead of failing the response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ChatUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Returns the JSON of tool calls, unless it is an empty list, object or string.
fn calls_text(calls: &RawValue) -> Option<&str> {
    let text = calls.get();
    let is_nonempty = text
        .bytes()
        .any(|byte| !byte.is_ascii_whitespace() && !b"[]{}\"".contains(&byte));
    is_nonempty.then_some(text)
}

/// Text content in any format: a string, null, a part with `text`, or a list of those, which are
/// concatenated. Anything else is treated as missing.
#[derive(Default)]
struct MessageText<'a>(Option<Cow<'a, str>>);

impl MessageText<'_> {
    fn as_str(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.trim().is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MessageText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(MessageTextVisitor)
            .map(MessageText)
    }
}

struct MessageTextVisitor;

impl<'de> Visitor<'de> for MessageTextVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, a list of text parts, or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut joined: Self::Value = None;
        while let Some(MessageText(part)) = parts.next_element()? {
            joined = match (joined, part) {
                (Some(text), Some(part)) => Some(text + part),
                (text, part) => text.or(part),
            };
        }
        Ok(joined)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Self::Value, A::Error> {
        let (mut kind, mut text) = (MessageText(None), MessageText(None));
        while let Some(MessageText(name)) = part.next_key()? {
            match name.as_deref() {
                Some("type") => kind = part.next_value()?,
                Some("text") => text = part.next_value()?,
                _ => drop(part.next_value::<IgnoredAny>()?),
            }
        }
        // Parts of other types contain reasoning, images and the like.
        let is_text = matches!(kind.as_str(), None | Some("text" | "output_text"));
        Ok(text.0.filter(|_| is_text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wraps the fields of a message into a chat completion and checks its text.
    #[track_caller]
    fn check(message: &str, expected: Option<&str>) {
        let body = format!(r#"{{"choices":[{{"message":{{{message}}}}}]}}"#);
        let chat: ChatCompletion<'_> = serde_json::from_str(&body).expect("lenient");
        assert_eq!(chat.text(), expected, "{message}");
    }

    #[test]
    fn the_text_is_the_content_in_any_format() {
        check(r#""content":"4""#, Some("4"));
        check(r#""role":"assistant","content":"a\nb é""#, Some("a\nb é"));
        check(
            r#""content":["a",{"type":"text","text":"b"},{"text":"c"}]"#,
            Some("abc"),
        );
        check(r#""content":{"text":"a","type":"text"}"#, Some("a"));
        check(
            r#""content":[{"text":"hm","type":"reasoning"},{"type":"thinking","thinking":[]},{"type":"text","text":"x"}]"#,
            Some("x"),
        );
        check(r#""content":"x","tool_calls":[{"id":"1"}]"#, Some("x"));
    }

    #[test]
    fn without_content_the_tool_calls_are_the_text() {
        check(
            r#""content":null,"tool_calls":[{"id": "1"}]"#,
            Some(r#"[{"id": "1"}]"#),
        );
        check(
            r#""content":"","tool_calls":[],"function_call":{"name":"f"}"#,
            Some(r#"{"name":"f"}"#),
        );
    }

    #[test]
    fn blank_or_missing_content_is_no_text() {
        for message in [
            "",
            r#""content":null"#,
            r#""content":"","reasoning_content":"hm""#,
            r#""content":" \n""#,
            r#""content":[]"#,
            r#""content":7"#,
            r#""content":-1.5"#,
            r#""content":[[],null,{"type":"image_url","image_url":{"url":"u"}}]"#,
            r#""content":null,"tool_calls":[ ],"function_call":null"#,
        ] {
            check(message, None);
        }
        for body in [
            "{}",
            r#"{"choices":null}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":null}]}"#,
        ] {
            let chat: ChatCompletion<'_> = serde_json::from_str(body).expect("lenient");
            assert_eq!(chat.text(), None, "{body}");
        }
    }

    #[test]
    fn metadata_tolerates_invalid_details() {
        let body = r#"{"model":"m","choices":[{"finish_reason":"stop","message":{}},{"finish_reason":"no"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"details":{"a":[1]}}}"#;
        let chat: ChatCompletion<'_> = serde_json::from_str(body).expect("lenient");
        let expected = CompletionMetadata {
            model: "m".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(3),
            completion_tokens: Some(4),
        };
        assert_eq!(chat.metadata(), expected);

        let odd = r#"{"model":7,"usage":"none","choices":[{"finish_reason":false,"message":{"content":"x"}}]}"#;
        let chat: ChatCompletion<'_> = serde_json::from_str(odd).expect("lenient");
        assert_eq!(chat.metadata(), CompletionMetadata::default());
        assert_eq!(chat.text(), Some("x"));
    }

    #[test]
    fn plain_content_is_borrowed() {
        let body = r#"{"choices":[{"message":{"content":"plain"}}]}"#;
        let chat: ChatCompletion<'_> = serde_json::from_str(body).expect("lenient");
        let text = chat.text().expect("text");
        assert!(body.as_bytes().as_ptr_range().contains(&text.as_ptr()));
    }
}
