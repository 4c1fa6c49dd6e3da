//! Chat completions. `RawValue` preserves tool calls verbatim.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::completion::{
    CompletionMetadata, Content, FindError, InvalidCompletion, Usage, describe_fields, reject_error,
};
use super::format::{ApiFormat, RequestLayout, StructuredOutput};
use crate::domain::failure::{ErrorResponse, ResponseProblem};

/// The format of chat completions.
pub(super) const FORMAT: ApiFormat = ApiFormat {
    name: "chat completions",
    path: "/chat/completions",
    batch_url: "/v1/chat/completions",
    layout: RequestLayout {
        field: "messages",
        is_array: true,
        start: r#","messages":["#,
        system: Some([r#"{"role":"system","content":"#, "},"]),
        prompt: [r#"{"role":"user","content":"#, "}]"],
    },
    structured_output: Some(StructuredOutput {
        parameter: "response_format",
        any_object: r#"{"type":"json_object"}"#,
        with_schema,
    }),
    token_limits: &["max_completion_tokens", "max_tokens"],
    continue_conversation,
    parse,
    content,
};

fn with_schema(schema: &str) -> String {
    format!(r#"{{"type":"json_schema","json_schema":{{"name":"answer","schema":{schema}}}}}"#)
}

fn continue_conversation(request: &mut Value, completion: &str, correction: &str) -> bool {
    let messages = request.get_mut("messages").and_then(Value::as_array_mut);
    let Some(messages) = messages else {
        return false;
    };
    messages.push(json!({"role": "assistant", "content": completion}));
    messages.push(json!({"role": "user", "content": correction}));
    true
}

fn parse(body: &str, find: FindError<'_>) -> Result<CompletionMetadata, InvalidCompletion> {
    let chat: ChatCompletion<'_> = serde_json::from_str(body)?;
    let fail = |problem, excerpt: &str| {
        let excerpt = excerpt.to_owned();
        Err(InvalidCompletion::Unusable(problem, excerpt))
    };
    let choice = chat.choice();
    if chat.error.is_some() || choice.is_none() {
        reject_error(body, find)?;
    }
    let Some(choice) = choice else {
        return fail(ResponseProblem::NoChoices, &describe_fields(body));
    };
    if let Some(error) = choice.error {
        reject_error(&format!(r#"{{"error":{error}}}"#), find)?;
    }
    let message = choice.message.as_ref();
    if let Some(refusal) = message.and_then(|message| message.refusal.as_str()) {
        return fail(ResponseProblem::Declined, refusal);
    }
    match choice.finish_reason.as_str().unwrap_or_default() {
        "content_filter" => fail(ResponseProblem::Declined, "finish_reason: content_filter"),
        "error" => Err(aborted()),
        _ if message.is_some_and(ResponseMessage::has_text) => Ok(chat.metadata()),
        "" => fail(ResponseProblem::NoContent, "no finish_reason"),
        reason => fail(
            ResponseProblem::NoContent,
            &format!("finish_reason: {reason}"),
        ),
    }
}

/// Returns the error for a completion that the provider aborted without an error message.
fn aborted() -> InvalidCompletion {
    InvalidCompletion::Error(Box::new(ErrorResponse {
        status: 502,
        message: "the provider aborted the response (finish_reason: error)".to_owned(),
        ..ErrorResponse::default()
    }))
}

fn content(body: &str) -> Option<Content<'_>> {
    let chat: ChatCompletion<'_> = serde_json::from_str(body).ok()?;
    let message = chat.choices?.into_iter().next()?.message?;
    message.into_text().map(Content::Text)
}

/// The relevant parts of the body of a chat completion.
///
/// Parsing is lenient, so that a response that was paid for is not lost over a detail: unknown
/// fields are skipped, and null values and text fields of another type are treated as missing. Only
/// the first choice is used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ChatCompletion<'a> {
    #[serde(borrow)]
    model: MessageText<'a>,
    #[serde(borrow)]
    choices: Option<Vec<ResponseChoice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> ChatCompletion<'a> {
    fn choice(&self) -> Option<&ResponseChoice<'a>> {
        self.choices.as_ref()?.first()
    }

    fn metadata(&self) -> CompletionMetadata {
        let usage = Usage::parse(self.usage);
        let text = |text: &MessageText<'_>| text.as_str().unwrap_or_default().to_owned();
        let finish_reason = self.choice().map(|choice| text(&choice.finish_reason));
        CompletionMetadata {
            model: text(&self.model),
            finish_reason: finish_reason.unwrap_or_default(),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        }
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

impl<'a> ResponseMessage<'a> {
    fn has_text(&self) -> bool {
        self.content.as_str().is_some() || self.calls().is_some()
    }

    /// Returns the content, or the JSON of the tool calls if the content is missing or blank.
    fn into_text(self) -> Option<Cow<'a, str>> {
        let calls = self.calls().map(Cow::Borrowed);
        let content = self.content.0.filter(|text| !text.trim().is_empty());
        content.or(calls)
    }

    fn calls(&self) -> Option<&'a str> {
        let calls = [self.tool_calls, self.function_call];
        calls.into_iter().flatten().find_map(calls_text)
    }
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
        let expected = expected.map(|text| Content::Text(text.into()));
        assert_eq!(content(&body), expected, "{message}");
    }

    #[test]
    fn the_text_is_the_content_in_any_format() {
        check(r#""content":"4""#, Some("4"));
        check(r#""role":"assistant","content":"a\nb é""#, Some("a\nb é"));
        let given = r#""content":["a",{"type":"text","text":"b"},{"text":"c"}]"#;
        check(given, Some("abc"));
        check(r#""content":{"text":"a","type":"text"}"#, Some("a"));
        let given = r#""content":[{"text":"hm","type":"reasoning"},{"type":"thinking","thinking":[]},{"type":"text","text":"x"}]"#;
        check(given, Some("x"));
        check(r#""content":"x","tool_calls":[{"id":"1"}]"#, Some("x"));
    }

    #[test]
    fn without_content_the_tool_calls_are_the_text() {
        let expected = Some(r#"[{"id": "1"}]"#);
        check(r#""content":null,"tool_calls":[{"id": "1"}]"#, expected);
        let given = r#""content":"","tool_calls":[],"function_call":{"name":"f"}"#;
        check(given, Some(r#"{"name":"f"}"#));
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
            assert_eq!(content(body), None, "{body}");
        }
    }

    #[test]
    fn metadata_tolerates_invalid_details() {
        let body = r#"{"model":"m","choices":[{"finish_reason":"stop","message":{}},{"finish_reason":"no"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"details":{"a":[1]}}}"#;
        let chat: ChatCompletion<'_> = serde_json::from_str(body).unwrap();
        let expected = CompletionMetadata {
            model: "m".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(3),
            completion_tokens: Some(4),
        };
        assert_eq!(chat.metadata(), expected);

        let odd = r#"{"model":7,"usage":"none","choices":[{"finish_reason":false,"message":{"content":"x"}}]}"#;
        let chat: ChatCompletion<'_> = serde_json::from_str(odd).unwrap();
        assert_eq!(chat.metadata(), CompletionMetadata::default());
        assert_eq!(content(odd), Some(Content::Text("x".into())));
    }

    #[test]
    fn plain_content_is_borrowed() {
        let body = r#"{"choices":[{"message":{"content":"plain"}}]}"#;
        let text = content(body).unwrap();
        let text = text.as_text().as_ptr();
        assert!(body.as_bytes().as_ptr_range().contains(&text));
    }
}
