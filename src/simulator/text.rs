//! Texts as JSON holds them: plain, in parts, or several. They stay where they are in the body
//! unless JSON escapes them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, or a list of parts whose texts are put together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// One text or several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs<'a>(pub(super) Vec<Text<'a>>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of parts")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text<'de>, A::Error> {
        let mut text = Text::default();
        while let Some(part) = parts.next_element::<Part<'de>>()? {
            if text.0.is_empty() {
                text = part.0;
            } else {
                text.0.to_mut().push_str(&part.0.0);
            }
        }
        Ok(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A part of a message; only its text counts, an image has none.
struct Part<'a>(Text<'a>);

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or an object with a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Part<'de>, E> {
        TextVisitor.visit_borrowed_str(text).map(Part)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Part<'de>, E> {
        TextVisitor.visit_str(text).map(Part)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part<'de>, A::Error> {
        let mut text = Text::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == "text" {
                text = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Part(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct InputsVisitor;

impl<'de> Visitor<'de> for InputsVisitor {
    type Value = Inputs<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of texts")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Inputs<'de>, E> {
        Ok(Inputs(vec![TextVisitor.visit_borrowed_str(text)?]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Inputs<'de>, E> {
        Ok(Inputs(vec![TextVisitor.visit_str(text)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Inputs<'de>, A::Error> {
        let mut inputs = Vec::new();
        while let Some(text) = texts.next_element()? {
            inputs.push(text);
        }
        Ok(Inputs(inputs))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Inputs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str, copied: bool) {
        let text: Text<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(text.0, expected);
        assert_eq!(matches!(text.0, Cow::Owned(_)), copied);
    }

    #[test]
    fn a_text_is_copied_only_where_it_must_be() {
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
    fn one_input_is_a_list_of_one() {
        let one: Inputs<'_> = serde_json::from_str(r#""a""#).unwrap();
        let same: Inputs<'_> = serde_json::from_str(r#"["a"]"#).unwrap();
        assert_eq!(one, same);
        assert!(serde_json::from_str::<Inputs<'_>>("[1, 2]").is_err());
    }
}
