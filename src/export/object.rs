//! Takes a row's JSON object apart for a table, and writes our fields behind those it has.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// Returns the texts of an object's fields in the order of the columns: a string's own text,
/// nothing for null and for what is not there, the JSON of anything else.
///
/// The object was read when it was kept; one that cannot be read now has no cells.
pub(super) fn object_cells(object: &str, columns: &[String]) -> Vec<String> {
    let cell = |value: &str| match value {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_default(),
        json => json.to_owned(),
    };
    object_values(object, columns)
        .into_iter()
        .map(cell)
        .collect()
}

/// Returns the JSON of an object's fields in the order of their names; null for what is not there, and
/// for all of them where it is no object.
pub(super) fn object_values<'a>(object: &'a str, names: &[String]) -> Vec<&'a str> {
    if names.is_empty() {
        return Vec::new();
    }
    let fields: HashMap<String, &RawValue> = serde_json::from_str(object).unwrap_or_default();
    let value = |name| fields.get(name).map_or("null", |value| value.get());
    names.iter().map(value).collect()
}

/// Opens an object for more fields: all of it but its closing brace. Returns the text, and whether
/// a comma is needed before the next field.
pub(super) fn reopened(object: &str) -> (&str, bool) {
    let open = object.rfind('}').map_or(object, |brace| &object[..brace]);
    let is_empty = open.trim_start_matches('{').trim().is_empty();
    (open, !is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_opened_for_more() {
        assert_eq!(reopened("{}"), ("{", false));
        assert_eq!(reopened("{ }"), ("{ ", false));
        assert_eq!(
            reopened(r#"{"a": {"b": {}}}"#),
            (r#"{"a": {"b": {}}"#, true)
        );
    }
}
