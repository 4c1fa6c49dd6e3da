//! Text content in request bodies: a string, a list of parts, or several strings. It is borrowed
//! from the body where possible.

use std::borrow::Cow;

use serde::Deserialize;

/// A string, or the concatenated texts of a list of parts.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Content<'a>", bound(deserialize = "'de: 'a"))]
pub(super) struct TextContent<'a>(pub(super) Cow<'a, str>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    #[serde(borrow)]
    Parts(Vec<ContentPart<'a>>),
}

/// A part of a message. Only its text is used; images have none.
#[derive(Deserialize)]
#[serde(untagged)]
enum ContentPart<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Object {
        #[serde(borrow, default)]
        text: TextContent<'a>,
    },
}

impl<'a> From<Content<'a>> for TextContent<'a> {
    fn from(content: Content<'a>) -> Self {
        let parts = match content {
            Content::Text(text) => return Self(text),
            Content::Parts(parts) => parts.into_iter().map(|part| match part {
                ContentPart::Text(text) | ContentPart::Object { text: Self(text) } => text,
            }),
        };
        Self(parts.reduce(|text, part| text + part).unwrap_or_default())
    }
}

/// One string or several.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Input<'a>", bound(deserialize = "'de: 'a"))]
pub(super) struct EmbeddingInput<'a>(pub(super) Vec<TextContent<'a>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Input<'a> {
    #[serde(borrow)]
    Several(Vec<TextContent<'a>>),
    #[serde(borrow)]
    One(Cow<'a, str>),
}

impl<'a> From<Input<'a>> for EmbeddingInput<'a> {
    fn from(input: Input<'a>) -> Self {
        Self(match input {
            Input::Several(texts) => texts,
            Input::One(text) => vec![TextContent(text)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str, copied: bool) {
        let text: TextContent<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(text.0, expected);
        assert_eq!(matches!(text.0, Cow::Owned(_)), copied);
    }

    #[test]
    fn a_text_is_copied_only_if_necessary() {
        check(r#""plain""#, "plain", false);
        check(r#""a \"b\"""#, "a \"b\"", true);
        check(r#"[{"type":"text","text":"one part"}]"#, "one part", false);
        let parts = r#"["a",{"image_url":{"url":"x"}},{"text":"b"}]"#;
        check(parts, "ab", true);
    }

    #[test]
    fn a_single_input_is_a_list_of_one() {
        let one: EmbeddingInput<'_> = serde_json::from_str(r#""a""#).unwrap();
        let same: EmbeddingInput<'_> = serde_json::from_str(r#"["a"]"#).unwrap();
        assert_eq!(one, same);
        assert!(serde_json::from_str::<EmbeddingInput<'_>>("[1, 2]").is_err());
    }
}
