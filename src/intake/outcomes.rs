//! Reads what the `OpenAI` Batch API has given back, its output and error files: a line for each
//! request, with a response or an error under its `custom_id`.

use std::path::Path;

use super::error::{BadRow, IntakeError};
use super::fields::Fields;
use super::lines::Lines;
use super::source::{Format, Options, Source};

/// A file of outcomes, read line by line.
#[derive(Debug)]
pub struct Outcomes {
    lines: Lines,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its `custom_id`.
    pub key: String,
    /// What came of it.
    pub brought: Brought,
}

/// What a line of such a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// A response, of whatever status.
    Response {
        /// The HTTP status.
        status: u16,
        /// The provider's id of the request; empty when it told none.
        request_id: String,
        /// The body as it stands there.
        body: String,
    },
    /// No response, and the code that says why; empty when there is none.
    Error(String),
}

impl Outcomes {
    /// Opens a file; `-` is standard input.
    ///
    /// Errors: it cannot be read, or is no text.
    pub fn open(path: &Path) -> Result<Self, IntakeError> {
        let options = Options {
            format: Some(Format::Jsonl),
            ..Options::default()
        };
        let lines = Lines::new(Source::open(path, options)?.begin()?);
        Ok(Self { lines })
    }

    /// Reads the next outcome; `None` at the end.
    ///
    /// Errors: the file cannot be read on, or the line is none of that API.
    pub fn read(&mut self) -> Result<Option<Outcome>, IntakeError> {
        let Some((line, text)) = self.lines.next()? else {
            return Ok(None);
        };
        match text.and_then(Outcome::of) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(what) => {
                let column = None;
                Err(IntakeError::BadRows {
                    rows: vec![BadRow { line, column, what }],
                    file: self.lines.file.clone(),
                    more: 0,
                })
            }
        }
    }
}

impl Outcome {
    fn of(text: &str) -> Result<Self, String> {
        let fields = Fields::read(text)?;
        let key = fields.text("custom_id");
        let key = key.ok_or("`custom_id` is missing, or is not a text")?;
        let brought = match fields.get("response").filter(|found| *found != "null") {
            Some(response) => response_of(response)?,
            None => Brought::Error(code_of(&fields)?),
        };
        Ok(Self {
            key: key.into_owned(),
            brought,
        })
    }
}

fn response_of(text: &str) -> Result<Brought, String> {
    let fields = Fields::read(text).map_err(|what| format!("`response` {what}"))?;
    let status = fields
        .get("status_code")
        .and_then(|status| status.parse().ok())
        .ok_or("`response.status_code` is missing, or is no status")?;
    let body = fields.get("body").ok_or("`response.body` is missing")?;
    Ok(Brought::Response {
        status,
        request_id: fields.text("request_id").unwrap_or_default().into_owned(),
        body: body.to_owned(),
    })
}

fn code_of(fields: &Fields<'_>) -> Result<String, String> {
    let error = fields.get("error").filter(|error| error.starts_with('{'));
    let error = error.ok_or(
        "has neither a response nor an error; name the output and error files of the Batch API",
    )?;
    let fields = Fields::read(error).map_err(|what| format!("`error` {what}"))?;
    Ok(fields.text("code").unwrap_or_default().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Brought, &str>) {
        let found = Outcome::of(text).map(|outcome| outcome.brought);
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_line_is_a_response_or_an_error() {
        check(
            r#"{"id":"x","custom_id":"a","response":{"status_code":200,"request_id":"q","body":{"n": 1.0}},"error":null}"#,
            Ok(Brought::Response {
                status: 200,
                request_id: "q".to_owned(),
                body: r#"{"n": 1.0}"#.to_owned(),
            }),
        );
        check(
            r#"{"custom_id":"a","response":null,"error":{"code":"batch_expired","message":"m"}}"#,
            Ok(Brought::Error("batch_expired".to_owned())),
        );
        check(
            r#"{"custom_id":"a","error":{"code":null}}"#,
            Ok(Brought::Error(String::new())),
        );
    }

    #[test]
    fn any_other_line_is_refused_with_what_it_lacks() {
        check(
            r#"{"response":null}"#,
            Err("`custom_id` is missing, or is not a text"),
        );
        check(
            r#"{"custom_id":"a","method":"POST","body":{}}"#,
            Err(
                "has neither a response nor an error; name the output and error files of the Batch API",
            ),
        );
        check(
            r#"{"custom_id":"a","response":{"body":{}}}"#,
            Err("`response.status_code` is missing, or is no status"),
        );
        check(
            r#"{"custom_id":"a","response":{"status_code":200}}"#,
            Err("`response.body` is missing"),
        );
    }
}
