//! Request parameters: parses `--set name=value`, and rejects names that would break the request.

use serde_json::value::RawValue;

use super::error::{ParamError, quoted, safe};
use super::template::is_template;
use crate::api::reserved_param;

/// Maximum length of a parameter name.
const MAX_NAME_CHARS: usize = 64;

/// Parses and validates the `name=value` of a `--set` flag.
///
/// The value is everything after the first `=`, unchanged. It is sent as JSON if it is valid JSON,
/// and otherwise as a string. If it contains `{{` or `{%`, it is a template over the columns.
pub fn parse_set(text: &str) -> Result<(String, String), ParamError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(ParamError::NoValue(safe(text)));
    };
    let name = name.trim();
    check(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Validates all parameters of a batch, including those that are not from [`parse_set`].
pub(super) fn check_all(params: &[(String, String)]) -> Result<(), ParamError> {
    for (index, (name, value)) in params.iter().enumerate() {
        check(name, value)?;
        if params[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(ParamError::Duplicate(quoted(name)));
        }
    }
    Ok(())
}

/// Writes a value into a request: as JSON if it is valid JSON, and otherwise as a string.
///
/// Numbers keep their digits. A text that starts like an object, an array or a string but is
/// invalid is an error: sent as a string, it would be rejected for every row.
pub(super) fn write_value(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => out.extend_from_slice(json.get().as_bytes()),
        Err(error) if text.trim_start().starts_with(['{', '[', '"']) => return Err(error),
        Err(_) => serde_json::to_writer(out, text)?,
    }
    Ok(())
}

fn check(name: &str, value: &str) -> Result<(), ParamError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(plain) {
        return Err(ParamError::Name(quoted(name)));
    }
    if let Some(reserved) = reserved_param(name, value) {
        return Err(ParamError::Reserved(reserved));
    }
    if is_template(value) {
        return Ok(());
    }
    // Messages of serde_json contain positions and types, never the text.
    write_value(&mut Vec::new(), value)
        .map_err(|error| ParamError::NotJson(quoted(name), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture::cases;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        let found = parse_set(text).map_err(|error| error.to_string());
        let found = found
            .as_ref()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(
            found.map_err(|error| error.lines().next().unwrap()),
            expected
        );
    }

    #[test]
    fn a_parameter_is_split_at_the_first_equals_sign() {
        check("temperature=0.2", Ok(("temperature", "0.2")));
        check(" user = a=b ", Ok(("user", " a=b ")));
        check("stop=", Ok(("stop", "")));
        check("n=1", Ok(("n", "1")));
        check("stop=\"[DONE]\"", Ok(("stop", "\"[DONE]\"")));
        check("seed={{ row_number }}", Ok(("seed", "{{ row_number }}")));
        let expected = Ok(("metadata", "{\"a\": [1, {\"b\": null}]}"));
        check("metadata={\"a\": [1, {\"b\": null}]}", expected);
    }

    #[test]
    fn rejects_parameters_that_would_break_the_request() {
        let table = r"
            temperature => --set temperature: missing `=`
            =1 => invalid parameter name ``
            a b=1 => invalid parameter name `a b`
            model=x => cannot set parameter `model`: it has its own flag
            messages=[] => cannot set parameter `messages`: it is built from the prompt and the system message
            prompt=x => cannot set parameter `prompt`: it has its own flag
            stream=true => cannot set parameter `stream`: streaming is not supported
            n=2 => cannot set parameter `n`: each row gets one response
            n={{ n }} => cannot set parameter `n`: each row gets one response
            response_format={type: json_object} => invalid JSON in parameter `response_format`: key must be a string at line 1 column 2
        ";
        for (text, expected) in cases(table) {
            check(text, Err(expected));
        }
    }

    #[test]
    fn rejects_duplicate_parameters() {
        let set = |name: &str| (name.to_owned(), "1".to_owned());
        assert_eq!(check_all(&[set("a"), set("b")]), Ok(()));
        let error = check_all(&[set("a"), set("b"), set("a")]).unwrap_err();
        let expected = "parameter `a` is set more than once\nhint: remove all but one";
        assert_eq!(error.to_string(), expected);
    }

    #[track_caller]
    fn check_value(text: &str, expected: &str) {
        let mut out = Vec::new();
        write_value(&mut out, text).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn valid_json_is_sent_as_json() {
        let table = r#"
            0.20 => 0.20
            true => true
            [1, "a"] => [1, "a"]
            123456789012345678901234567890 => 123456789012345678901234567890
            007 => "007"
            hot "stuff" => "hot \"stuff\""
            NaN => "NaN"
        "#;
        for (text, expected) in cases(table) {
            check_value(text, expected);
        }
        check_value(" 7\n", "7");
        check_value("", "\"\"");
        assert!(write_value(&mut Vec::new(), "[DONE]").is_err());
    }
}
