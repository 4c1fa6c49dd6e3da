//! Splits a JSON object into its fields without parsing their values: each value keeps its original
//! text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::quoted;

/// The fields of an object, in original order. Names are unique.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Parses a text as one JSON object, or returns an error message.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        if !text.starts_with('{') {
            return Err("not a JSON object; write one object `{…}` per line".to_owned());
        }
        serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Eof => {
                "incomplete JSON; write each object on one line (`jq -c . IN > OUT`)".to_owned()
            }
            Category::Data => message_of(&error),
            Category::Syntax | Category::Io => {
                format!("invalid JSON at byte {}", error.column())
            }
        })
    }

    /// Returns the original text of a value.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.get())
    }

    /// Returns the value of a field if it is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.get(name).filter(|value| value.starts_with('"'))?;
        let text = serde_json::from_str::<JsonString<'a>>(value);
        text.ok().map(|text| text.0)
    }
}

/// Returns the text of a cell: the contents of a string, an empty text for null, and JSON for other
/// values.
pub(super) fn cell_text(value: &RawValue) -> Result<Cow<'_, str>, String> {
    let value = value.get();
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<JsonString<'_>>(value)
            .map(|text| text.0)
            .map_err(|_| "value contains an unpaired surrogate; remove it".to_owned()),
        Some(b'n') => Ok(Cow::Borrowed("")),
        _ => Ok(Cow::Borrowed(value)),
    }
}

/// Returns the message of a custom error without the position that serde appends.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// A JSON string, borrowed unless it contains escapes.
#[derive(Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((JsonString(name), value)) = map.next_entry()? {
                    if fields.len() >= MAX_FIELDS {
                        return Err(A::Error::custom("the object has more than 10000 fields"));
                    }
                    fields.push((name, value));
                }
                match duplicate_name(&fields) {
                    Some(name) => Err(A::Error::custom(format!("duplicate field {name}"))),
                    None => Ok(Fields(fields)),
                }
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Maximum number of fields of an object, equal to the maximum number of columns.
const MAX_FIELDS: usize = 10_000;

fn duplicate_name(fields: &[(Cow<'_, str>, &RawValue)]) -> Option<String> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    let duplicate = names.windows(2).find(|pair| pair[0] == pair[1]);
    duplicate.map(|pair| quoted(pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let Fields(fields) = Fields::parse(text).unwrap();
        let cells: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.clone(), cell_text(value).unwrap()))
            .collect();
        let expected = expected
            .iter()
            .map(|(name, text)| (Cow::from(*name), Cow::from(*text)));
        assert_eq!(cells, expected.collect::<Vec<_>>());
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(Fields::parse(text).map(|_| ()), Err(expected.to_owned()));
    }

    #[test]
    fn values_keep_their_original_text() {
        check(
            r#"{"a":"x\n\u00e9","b": 1.50,"c":null,"d":{"k": [1, 2]},"e":true,"\u0066":""}"#,
            &[
                ("a", "x\né"),
                ("b", "1.50"),
                ("c", ""),
                ("d", r#"{"k": [1, 2]}"#),
                ("e", "true"),
                ("f", ""),
            ],
        );
        check("{}", &[]);
        let fields = Fields::parse(r#"{"a":"\u0041","n":7}"#).unwrap();
        assert_eq!(fields.text("a").as_deref(), Some("A"));
        assert_eq!((fields.text("n"), fields.get("n")), (None, Some("7")));
    }

    #[test]
    fn errors_do_not_quote_the_input() {
        check_error("[1]", "not a JSON object; write one object `{…}` per line");
        check_error(r#"{"a":secret}"#, "invalid JSON at byte 6");
        check_error(r#"{"a":1} {"b":2}"#, "invalid JSON at byte 9");
        check_error(r#"{"a":1,"b":2,"a":3}"#, "duplicate field `a`");
        let expected = "incomplete JSON; write each object on one line (`jq -c . IN > OUT`)";
        check_error("{", expected);
        let unpaired = Fields::parse(r#"{"a":"\ud800"}"#).unwrap();
        assert!(cell_text(unpaired.0[0].1).is_err());
    }
}
