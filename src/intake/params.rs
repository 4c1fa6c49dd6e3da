//! Request parameters: reads `--set name=value`, and refuses names that would break the request.

use serde_json::value::RawValue;

use super::error::{quoted, safe};
use super::template::is_template;

/// The most characters of a parameter's name.
const NAME_CHARS: usize = 64;

/// Why a request parameter cannot be set like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no `=`.
    #[error("--set {text} has no `=`\nhint: write --set name=value, as in --set temperature=0.2")]
    NoValue {
        /// What was given, as it is shown.
        text: String,
    },
    /// The name is empty, too long, or holds something else than letters, digits, `_`, `-`, `.`.
    #[error(
        "{name} cannot be the name of a request parameter\nhint: write --set name=value, as in --set temperature=0.2"
    )]
    Name {
        /// The name, as it is shown.
        name: String,
    },
    /// The parameter is set in another way, or would break the request.
    #[error("`{name}` cannot be set: {why}\nhint: {hint}")]
    Reserved {
        /// The name.
        name: &'static str,
        /// Why not.
        why: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The parameter is set twice.
    #[error("{name} is set twice\nhint: keep one of the two")]
    Twice {
        /// The name, as it is shown.
        name: String,
    },
    /// The value starts like JSON and is none.
    #[error(
        "the value of {name} starts like JSON and is none: {why}\nhint: put single quotes around it in the shell; for a text that starts so, write it as a JSON string"
    )]
    NotJson {
        /// The name, as it is shown.
        name: String,
        /// Where reading it failed.
        why: String,
    },
}

/// Splits the `name=value` of a `--set` flag, and checks both.
///
/// The value is what stands behind the first `=`, unchanged. It is sent as JSON where it parses
/// as JSON, else as a string; with `{{` or `{%` in it, it is a template over the columns.
pub fn parse_set(text: &str) -> Result<(String, String), SetError> {
    let Some((name, value)) = text.split_once('=') else {
        let text = safe(text);
        return Err(SetError::NoValue { text });
    };
    let name = name.trim();
    check(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Checks all parameters of a recipe, which need not have come through [`parse_set`].
pub(super) fn check_all(params: &[(String, String)]) -> Result<(), SetError> {
    for (place, (name, value)) in params.iter().enumerate() {
        check(name, value)?;
        if params[..place].iter().any(|(earlier, _)| earlier == name) {
            let name = quoted(name);
            return Err(SetError::Twice { name });
        }
    }
    Ok(())
}

/// Writes a value into a request: as JSON where it parses as JSON, else as a string.
///
/// A number keeps its digits. Tells what is wrong with a text that starts like an object or a
/// list and is none: sent as a string, it would be refused for every row.
pub(super) fn write_value(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => out.extend_from_slice(json.get().as_bytes()),
        Err(error) if text.trim_start().starts_with(['{', '[', '"']) => return Err(error),
        Err(_) => serde_json::to_writer(out, text)?,
    }
    Ok(())
}

fn check(name: &str, value: &str) -> Result<(), SetError> {
    let plain = |symbol: char| symbol.is_ascii_alphanumeric() || "_-.".contains(symbol);
    if name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(plain) {
        let name = quoted(name);
        return Err(SetError::Name { name });
    }
    check_reserved(name, value)?;
    if is_template(value) {
        return Ok(());
    }
    write_value(&mut Vec::new(), value).map_err(|error| SetError::NotJson {
        name: quoted(name),
        // What serde_json says holds positions and kinds, never the text.
        why: error.to_string(),
    })
}

fn check_reserved(name: &str, value: &str) -> Result<(), SetError> {
    let refuse = |name, why, hint| Err(SetError::Reserved { name, why, hint });
    match name {
        "model" => refuse("model", "it has a flag of its own", "--model NAME"),
        "messages" => refuse(
            "messages",
            "they are made of the prompt and the system message",
            "--prompt and --system take templates",
        ),
        "prompt" => refuse("prompt", "it has a flag of its own", "--prompt TEMPLATE"),
        "stream" => refuse("stream", "answers are always read whole", "leave it out"),
        "n" if value.trim() != "1" => refuse(
            "n",
            "a row has one answer",
            "leave it out; for more answers give more rows",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        let found = parse_set(text).map_err(|error| error.to_string());
        let found = found
            .as_ref()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(
            found.map_err(|error| error.lines().next().expect("a line")),
            expected
        );
    }

    #[test]
    fn a_parameter_is_a_name_and_what_follows_the_first_equals_sign() {
        check("temperature=0.2", Ok(("temperature", "0.2")));
        check(" user = a=b ", Ok(("user", " a=b ")));
        check("stop=", Ok(("stop", "")));
        check("n=1", Ok(("n", "1")));
        check("stop=\"[DONE]\"", Ok(("stop", "\"[DONE]\"")));
        check("seed={{ row_number }}", Ok(("seed", "{{ row_number }}")));
        check(
            "metadata={\"a\": [1, {\"b\": null}]}",
            Ok(("metadata", "{\"a\": [1, {\"b\": null}]}")),
        );
    }

    #[test]
    fn a_parameter_that_would_break_the_request_is_refused() {
        check("temperature", Err("--set temperature has no `=`"));
        check("=1", Err("`` cannot be the name of a request parameter"));
        check(
            "a b=1",
            Err("`a b` cannot be the name of a request parameter"),
        );
        check(
            "model=x",
            Err("`model` cannot be set: it has a flag of its own"),
        );
        check(
            "messages=[]",
            Err("`messages` cannot be set: they are made of the prompt and the system message"),
        );
        check(
            "prompt=x",
            Err("`prompt` cannot be set: it has a flag of its own"),
        );
        check(
            "stream=true",
            Err("`stream` cannot be set: answers are always read whole"),
        );
        check("n=2", Err("`n` cannot be set: a row has one answer"));
        check("n={{ n }}", Err("`n` cannot be set: a row has one answer"));
        check(
            "response_format={type: json_object}",
            Err(
                "the value of `response_format` starts like JSON and is none: key must be a string at line 1 column 2",
            ),
        );
    }

    #[test]
    fn a_parameter_is_set_once() {
        let set = |name: &str| (name.to_owned(), "1".to_owned());
        assert_eq!(check_all(&[set("a"), set("b")]), Ok(()));
        let error = check_all(&[set("a"), set("b"), set("a")]).expect_err("it must be refused");
        assert_eq!(
            error.to_string(),
            "`a` is set twice\nhint: keep one of the two"
        );
    }

    #[track_caller]
    fn check_value(text: &str, expected: &str) {
        let mut out = Vec::new();
        write_value(&mut out, text).expect("it can be sent");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn a_value_is_json_where_it_parses_as_json() {
        check_value("0.20", "0.20");
        check_value(" 7\n", "7");
        check_value("true", "true");
        check_value("[1, \"a\"]", "[1, \"a\"]");
        check_value(
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        );
        check_value("007", "\"007\"");
        check_value("hot \"stuff\"", "\"hot \\\"stuff\\\"\"");
        check_value("", "\"\"");
        check_value("NaN", "\"NaN\"");
        assert!(write_value(&mut Vec::new(), "[DONE]").is_err());
    }
}
