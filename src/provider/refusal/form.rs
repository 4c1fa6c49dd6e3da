//! Telling the forms of error bodies apart, and finding words in what is no JSON.

use serde_json::{Map, Value};

/// Whether the object of a success says that it is none.
pub(super) fn is_error(object: &Map<String, Value>) -> bool {
    let has = |name: &str| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let some = |name: &str| has(name).is_some_and(is_something);
    let base = has("base_resp").and_then(|base| base.get("status_code"));
    let inner = has("response").and_then(|response| response.get("Error"));
    let word = |name: &str| has(name).and_then(Value::as_str) == Some("error");
    let message = some("message") || some("msg") || some("detail");
    some("error")
        || some("errors")
        || some("error_code")
        || has("success") == Some(&Value::Bool(false))
        || base.is_some_and(is_something)
        || inner.is_some_and(is_something)
        || word("object")
        || word("type")
        || (message && some("code") && has("choices").is_none())
        || (some("detail") && has("choices").is_none())
}

/// Neither null, false, zero, nor empty. An error with an empty message is one.
pub(super) fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "0",
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// Parses JSON, or the first JSON of a stream of events. A bare number is no body.
pub(super) fn parse(text: &str) -> Option<Value> {
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

pub(super) fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Fills an empty text with a value's text.
pub(super) fn fill(text: &mut String, value: &Value) {
    match value {
        Value::String(value) if text.is_empty() => value.clone_into(text),
        Value::Number(value) if text.is_empty() => *text = value.to_string(),
        _ => {}
    }
}

/// The status that a code is, or begins with as in `403 FORBIDDEN`.
pub(super) fn status_of(code: &str) -> Option<u16> {
    let first = code.split_ascii_whitespace().next()?;
    first
        .parse()
        .ok()
        .filter(|status| (400..=599).contains(status))
}

/// The text of an element, with its spaces in order.
pub(super) fn between(text: &str, opening: &str, closing: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let tag = lower.find(opening)?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find(closing)?;
    let inside = plain(&text[start..end]);
    (!inside.is_empty()).then_some(inside)
}

/// Text without its tags, with its spaces in order.
pub(super) fn plain(text: &str) -> String {
    let mut words = String::new();
    for part in text
        .split('<')
        .enumerate()
        .map(|(index, part)| match part.split_once('>') {
            Some((_, after)) if index > 0 => after,
            _ if index > 0 => "",
            _ => part,
        })
    {
        for word in part.split_whitespace() {
            let space = if words.is_empty() { "" } else { " " };
            words.push_str(space);
            words.push_str(word);
        }
    }
    words
}

/// The text of a field in JSON that breaks off after it.
pub(super) fn cut_off(text: &str, name: &str) -> Option<String> {
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
        // The text itself breaks off.
        Err(_) => Some(value.strip_prefix('"')?.to_owned()),
    }
}
