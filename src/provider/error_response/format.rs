//! Detects the format of error bodies, and extracts text from bodies that are not JSON.

use serde_json::{Map, Value};

/// Returns whether the object of a success response describes an error.
pub(super) fn is_error(object: &Map<String, Value>) -> bool {
    let field = |name: &str| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let has = |name: &str| field(name).is_some_and(is_set);
    let base = field("base_resp").and_then(|base| base.get("status_code"));
    let inner = field("response").and_then(|response| response.get("Error"));
    let equals_error = |name: &str| field(name).and_then(Value::as_str) == Some("error");
    let has_message = has("message") || has("msg") || has("detail");
    has("error")
        || has("errors")
        || has("error_code")
        || field("success") == Some(&Value::Bool(false))
        || base.is_some_and(is_set)
        || inner.is_some_and(is_set)
        || equals_error("object")
        || equals_error("type")
        || (has_message && has("code") && field("choices").is_none())
        || (has("detail") && field("choices").is_none())
}

/// Returns whether a value is neither null, false, zero nor empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "0",
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// Parses a JSON object, array or string, or the first JSON value of an event stream.
pub(super) fn parse_json(text: &str) -> Option<Value> {
    let lines = || text.lines().filter_map(|line| line.strip_prefix("data:"));
    let value = match text.as_bytes().first()? {
        b'{' | b'[' | b'"' => serde_json::from_str(text).ok()?,
        b'd' | b'e' | b':' => lines().find_map(|line| serde_json::from_str(line).ok())?,
        _ => return None,
    };
    Some(value)
}

pub(super) fn is_page(text: &str) -> bool {
    let start = text[..text.floor_char_boundary(1024)].to_ascii_lowercase();
    let tags = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<title",
        "<h1",
        "<center",
    ];
    start.starts_with('<') && tags.iter().any(|tag| start.contains(tag))
}

/// Returns whether a name is one of several that are separated by spaces.
pub(super) fn is_one_of(name: &str, names: &str) -> bool {
    let mut names = names.split(' ');
    names.any(|one| one.eq_ignore_ascii_case(name))
}

/// Sets a text to a value, if the text is empty.
pub(super) fn fill(text: &mut String, value: &Value) {
    match value {
        Value::String(value) if text.is_empty() => value.clone_into(text),
        Value::Number(value) if text.is_empty() => *text = value.to_string(),
        _ => {}
    }
}

/// Returns the status that a code is or starts with, as in `403 FORBIDDEN`.
pub(super) fn status_of(code: &str) -> Option<u16> {
    let first = code.split_ascii_whitespace().next()?;
    first
        .parse()
        .ok()
        .filter(|status| (400..=599).contains(status))
}

/// Returns the text of an element, with whitespace normalized.
pub(super) fn element_text(text: &str, opening: &str, closing: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let tag = lower.find(opening)?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find(closing)?;
    let inside = strip_tags(&text[start..end]);
    (!inside.is_empty()).then_some(inside)
}

/// Removes tags, and normalizes whitespace.
pub(super) fn strip_tags(text: &str) -> String {
    let mut words = Vec::new();
    for (index, part) in text.split('<').enumerate() {
        let text = match part.split_once('>') {
            Some((_, after)) if index > 0 => after,
            _ if index > 0 => "",
            _ => part,
        };
        words.extend(text.split_whitespace());
    }
    words.join(" ")
}

/// Returns the value of a field in truncated JSON.
pub(super) fn truncated_field(text: &str, name: &str) -> Option<String> {
    let key = text.find(&format!("\"{name}\""))?;
    let value = text[key + name.len() + 2..]
        .trim_start()
        .strip_prefix(':')?
        .trim_start();
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    match values.next()? {
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Number(number)) => Some(number.to_string()),
        Ok(_) => None,
        // The value itself is truncated.
        Err(_) => Some(value.strip_prefix('"')?.to_owned()),
    }
}
