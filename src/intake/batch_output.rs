//! Reads the output and error files of the `OpenAI` Batch API: one line per request, with its
//! `custom_id` and a response or an error.

use std::path::Path;

use super::error::{IntakeError, Result};
use super::fields::Fields;
use super::format::{Format, Options};
use super::line_reader::LineReader;
use super::source::Source;

/// An output or error file, read line by line.
#[derive(Debug)]
pub struct BatchOutput {
    lines: LineReader,
}

/// A line of the file: the result of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutputLine {
    /// Its `custom_id`.
    pub key: String,
    /// The response or error.
    pub result: RequestResult,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// A response of any status.
    Response {
        /// The HTTP status.
        status: u16,
        /// The provider's request ID; empty if unknown.
        request_id: String,
        /// The unchanged body.
        body: String,
    },
    /// An error code; empty if there is none.
    Error(String),
}

impl BatchOutput {
    /// Opens a file; `-` is standard input.
    ///
    /// Errors: the file cannot be read, or is not text.
    pub fn open(path: &Path) -> Result<Self> {
        let options = Options {
            format: Some(Format::Jsonl),
            ..Options::default()
        };
        let lines = LineReader::new(Source::open(path, options)?.sniff()?);
        Ok(Self { lines })
    }

    /// Reads the next line; `None` at the end.
    ///
    /// Errors: an I/O error, or a line that is not in the format of the Batch API.
    pub fn read(&mut self) -> Result<Option<BatchOutputLine>> {
        let Some((line, text)) = self.lines.next()? else {
            return Ok(None);
        };
        let parsed = text.and_then(BatchOutputLine::parse);
        parsed
            .map(Some)
            .map_err(|message| IntakeError::invalid_row(&self.lines.file, line, message))
    }
}

impl BatchOutputLine {
    fn parse(text: &str) -> Result<Self, String> {
        let fields = Fields::parse(text)?;
        let key = fields.text("custom_id");
        let key = key.ok_or("`custom_id` is missing or not a string")?;
        let result = match fields.get("response").filter(|found| *found != "null") {
            Some(response) => parse_response(response)?,
            None => RequestResult::Error(parse_error_code(&fields)?),
        };
        Ok(Self {
            key: key.into_owned(),
            result,
        })
    }
}

fn parse_response(text: &str) -> Result<RequestResult, String> {
    let fields = Fields::parse(text).map_err(|message| format!("`response`: {message}"))?;
    let status = fields
        .get("status_code")
        .and_then(|status| status.parse().ok())
        .ok_or("`response.status_code` is missing or not a status code")?;
    let body = fields.get("body").ok_or("`response.body` is missing")?;
    Ok(RequestResult::Response {
        status,
        request_id: fields.text("request_id").unwrap_or_default().into_owned(),
        body: body.to_owned(),
    })
}

fn parse_error_code(fields: &Fields<'_>) -> Result<String, String> {
    let error = fields.get("error").filter(|error| error.starts_with('{'));
    let error = error.ok_or(
        "neither a response nor an error; pass the output and error files of the Batch API",
    )?;
    let fields = Fields::parse(error).map_err(|message| format!("`error`: {message}"))?;
    Ok(fields.text("code").unwrap_or_default().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture::cases;

    #[track_caller]
    fn check(text: &str, expected: Result<RequestResult, &str>) {
        let found = BatchOutputLine::parse(text).map(|line| line.result);
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn parses_responses_and_errors() {
        check(
            r#"{"id":"x","custom_id":"a","response":{"status_code":200,"request_id":"q","body":{"n": 1.0}},"error":null}"#,
            Ok(RequestResult::Response {
                status: 200,
                request_id: "q".to_owned(),
                body: r#"{"n": 1.0}"#.to_owned(),
            }),
        );
        let given =
            r#"{"custom_id":"a","response":null,"error":{"code":"batch_expired","message":"m"}}"#;
        check(given, Ok(RequestResult::Error("batch_expired".to_owned())));
        let expected = Ok(RequestResult::Error(String::new()));
        check(r#"{"custom_id":"a","error":{"code":null}}"#, expected);
    }

    #[test]
    fn rejects_lines_in_another_format() {
        let table = r#"
            {"response":null} => `custom_id` is missing or not a string
            {"custom_id":"a","method":"POST","body":{}} => neither a response nor an error; pass the output and error files of the Batch API
            {"custom_id":"a","response":{"body":{}}} => `response.status_code` is missing or not a status code
            {"custom_id":"a","response":{"status_code":200}} => `response.body` is missing
        "#;
        for (line, expected) in cases(table) {
            check(line, Err(expected));
        }
    }
}
