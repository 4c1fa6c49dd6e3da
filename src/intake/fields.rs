//! Takes a JSON object apart into its fields, without reading what is in them: a value keeps the
//! text it came in.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::quoted;

/// The fields of an object, in its order, each name once.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads a text that is one JSON object; says what is wrong with any other.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        if !text.starts_with('{') {
            return Err("is no JSON object; each line is one, `{…}`".to_owned());
        }
        serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Eof => {
                "the JSON ends too early; an object stands on one line (`jq -c . IN > OUT`)"
                    .to_owned()
            }
            Category::Data => twice(&error),
            Category::Syntax | Category::Io => {
                format!("the JSON is broken at character {}", error.column())
            }
        })
    }

    /// Returns the value of a field as the text it came in.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.get())
    }

    /// Returns the text of a field that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.get(name).filter(|value| value.starts_with('"'))?;
        serde_json::from_str::<Text<'a>>(value)
            .ok()
            .map(|text| text.0)
    }
}

/// Returns a value as the text of a cell: a string's own text, nothing for null, else its JSON.
pub(super) fn cell(value: &RawValue) -> Result<Cow<'_, str>, String> {
    let value = value.get();
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(value)
            .map(|text| text.0)
            .map_err(|_| "holds half of a surrogate pair, which is no text".to_owned()),
        Some(b'n') => Ok(Cow::Borrowed("")),
        _ => Ok(Cow::Borrowed(value)),
    }
}

/// The one complaint of ours behind serde's: a name that stands twice.
fn twice(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let end = said.rfind(" at line ").unwrap_or(said.len());
    said[..end].to_owned()
}

/// A string, borrowed where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

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
                while let Some((Text(name), value)) = map.next_entry()? {
                    if fields.len() >= MOST_FIELDS {
                        return Err(A::Error::custom("the object has more than 10000 fields"));
                    }
                    fields.push((name, value));
                }
                match doubled(&fields) {
                    Some(name) => Err(A::Error::custom(format!("{name} stands in it twice"))),
                    None => Ok(Fields(fields)),
                }
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// The most fields of an object: as many as columns.
const MOST_FIELDS: usize = 10_000;

fn doubled(fields: &[(Cow<'_, str>, &RawValue)]) -> Option<String> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    twice.map(|pair| quoted(pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let Fields(fields) = Fields::read(text).expect("an object");
        let cells: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_ref(), cell(value).expect("a text")))
            .collect();
        let cells: Vec<_> = cells
            .iter()
            .map(|(name, text)| (*name, text.as_ref()))
            .collect();
        assert_eq!(cells, expected);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        assert_eq!(Fields::read(text).map(|_| ()), Err(expected.to_owned()));
    }

    #[test]
    fn a_value_is_a_cell_as_it_came() {
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
        let fields = Fields::read(r#"{"a":"\u0041","n":7}"#).expect("an object");
        assert_eq!(fields.text("a").as_deref(), Some("A"));
        assert_eq!((fields.text("n"), fields.get("n")), (None, Some("7")));
    }

    #[test]
    fn what_is_no_object_is_told_without_what_is_in_it() {
        check_refused("[1]", "is no JSON object; each line is one, `{…}`");
        check_refused(r#"{"a":secret}"#, "the JSON is broken at character 6");
        check_refused(r#"{"a":1} {"b":2}"#, "the JSON is broken at character 9");
        check_refused(r#"{"a":1,"b":2,"a":3}"#, "`a` stands in it twice");
        check_refused(
            "{",
            "the JSON ends too early; an object stands on one line (`jq -c . IN > OUT`)",
        );
        let half = Fields::read(r#"{"a":"\ud800"}"#).expect("a value is not looked into");
        assert!(cell(half.0[0].1).is_err());
    }
}
