//! Reads fields from JSON objects, and prepares objects for additional fields.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// Returns the cells of an object in column order: the contents of strings, an empty text for null
/// and missing fields, and JSON for other values.
///
/// The object was validated when it was imported; the cells of an invalid one are empty.
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

/// Returns the JSON values of the fields with these names: null for missing fields, and for all
/// fields if the text is not an object.
pub(super) fn object_values<'a>(object: &'a str, names: &[String]) -> Vec<&'a str> {
    if names.is_empty() {
        return Vec::new();
    }
    let fields: HashMap<String, &RawValue> = serde_json::from_str(object).unwrap_or_default();
    let value = |name| fields.get(name).map_or("null", |value| value.get());
    names.iter().map(value).collect()
}

/// Returns an object without its closing brace, and whether the next field needs a comma.
pub(super) fn without_closing_brace(object: &str) -> (&str, bool) {
    let open = object.rfind('}').map_or(object, |brace| &object[..brace]);
    let is_empty = open.trim_start_matches('{').trim().is_empty();
    (open, !is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_the_closing_brace() {
        assert_eq!(without_closing_brace("{}"), ("{", false));
        assert_eq!(without_closing_brace("{ }"), ("{ ", false));
        let expected = (r#"{"a": {"b": {}}"#, true);
        assert_eq!(without_closing_brace(r#"{"a": {"b": {}}}"#), expected);
    }
}
