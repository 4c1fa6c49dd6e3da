//! Text content in request bodies: a string, a list of parts, or several strings. It is borrowed
//! from the body where possible.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A string, or the concatenated texts of a list of parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TextContent<'a>(pub(super) Cow<'a, str>);

/// One string or several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EmbeddingInput<'a>(pub(super) Vec<TextContent<'a>>);

struct TextContentVisitor;

impl<'de> Visitor<'de> for TextContentVisitor {
    type Value = TextContent<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of parts")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<TextContent<'de>, E> {
        Ok(TextContent(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TextContent<'de>, E> {
        Ok(TextContent(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<TextContent<'de>, A::Error> {
        let mut text = TextContent::default();
        while let Some(part) = parts.next_element::<ContentPart<'de>>()? {
            if text.0.is_empty() {
                text = part.0;
            } else {
                text.0.to_mut().push_str(&part.0.0);
            }
        }
        Ok(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextContent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextContentVisitor)
    }
}

/// A part of a message. Only its text is used; images have none.
struct ContentPart<'a>(TextContent<'a>);

struct ContentPartVisitor;

impl<'de> Visitor<'de> for ContentPartVisitor {
    type Value = ContentPart<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or an object with a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<ContentPart<'de>, E> {
        TextContentVisitor.visit_borrowed_str(text).map(ContentPart)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ContentPart<'de>, E> {
        TextContentVisitor.visit_str(text).map(ContentPart)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ContentPart<'de>, A::Error> {
        let mut text = TextContent::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == "text" {
                text = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(ContentPart(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ContentPart<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentPartVisitor)
    }
}

struct EmbeddingInputVisitor;

impl<'de> Visitor<'de> for EmbeddingInputVisitor {
    type Value = EmbeddingInput<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of strings")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<EmbeddingInput<'de>, E> {
        Ok(EmbeddingInput(vec![
            TextContentVisitor.visit_borrowed_str(text)?,
        ]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EmbeddingInput<'de>, E> {
        Ok(EmbeddingInput(vec![TextContentVisitor.visit_str(text)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<EmbeddingInput<'de>, A::Error> {
        let mut inputs = Vec::new();
        while let Some(text) = texts.next_element()? {
            inputs.push(text);
        }
        Ok(EmbeddingInput(inputs))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EmbeddingInput<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EmbeddingInputVisitor)
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
        check(
            r#"["a",{"image_url":{"url":"x"}},{"text":"b"}]"#,
            "ab",
            true,
        );
    }

    #[test]
    fn a_single_input_is_a_list_of_one() {
        let one: EmbeddingInput<'_> = serde_json::from_str(r#""a""#).unwrap();
        let same: EmbeddingInput<'_> = serde_json::from_str(r#"["a"]"#).unwrap();
        assert_eq!(one, same);
        assert!(serde_json::from_str::<EmbeddingInput<'_>>("[1, 2]").is_err());
    }
}
