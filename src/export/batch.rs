//! Writes results in the format of the `OpenAI` Batch API: one line per request with its
//! `custom_id`, and errors optionally in a separate file. Also writes requests for that API.

use std::io::{BufWriter, IntoInnerError, Write};

use serde_json::json;

use super::Result;
use crate::domain::job::{RecordedFailure, RequestOutcome};

const BUFFER: usize = 256 * 1024;

/// Maximum number of requests that the API accepts in a file.
const MAX_REQUESTS: u64 = 50_000;

/// Maximum file size that the API accepts: 200 MB, interpreted as decimal megabytes.
const MAX_BYTES: u64 = 200_000_000;

/// The error code of a row that is not completed.
const PENDING_CODE: &str = "pending";

/// Writes results to one file, or responses and errors to two.
#[derive(Debug)]
pub struct BatchWriter<W: Write, E: Write> {
    responses: BufWriter<W>,
    errors: Option<BufWriter<E>>,
    line: Vec<u8>,
}

impl<W: Write, E: Write> BatchWriter<W, E> {
    /// Creates a writer. Without `errors`, rows without a response are written to `responses`.
    pub fn new(responses: W, errors: Option<E>) -> Self {
        Self {
            responses: BufWriter::with_capacity(BUFFER, responses),
            errors: errors.map(|errors| BufWriter::with_capacity(BUFFER, errors)),
            line: Vec::new(),
        }
    }

    /// Writes the outcome of a row.
    pub fn write(&mut self, outcome: &RequestOutcome) -> Result<()> {
        self.line.clear();
        write_outcome(&mut self.line, outcome);
        match &mut self.errors {
            Some(errors) if outcome.completion.is_none() => errors.write_all(&self.line)?,
            _ => self.responses.write_all(&self.line)?,
        }
        Ok(())
    }

    /// Flushes the buffers and returns the inner writers.
    pub fn finish(self) -> Result<(W, Option<E>)> {
        Ok((flush(self.responses)?, self.errors.map(flush).transpose()?))
    }
}

fn flush<W: Write>(writer: BufWriter<W>) -> Result<W> {
    Ok(writer.into_inner().map_err(IntoInnerError::into_error)?)
}

/// Writes an outcome in the format of the API. The body of a response is unchanged, except that line
/// breaks become spaces.
fn write_outcome(line: &mut Vec<u8>, outcome: &RequestOutcome) {
    let id = format!("batch_req_{}", outcome.id.0);
    let start = json!({"id": id, "custom_id": outcome.key}).to_string();
    line.extend_from_slice(start.trim_end_matches('}').as_bytes());
    if let Some(completion) = &outcome.completion {
        line.extend_from_slice(br#","response":{"status_code":200,"request_id":"#);
        line.extend_from_slice(json!(completion.request_id).to_string().as_bytes());
        line.extend_from_slice(br#","body":"#);
        write_on_one_line(line, &completion.body);
        line.extend_from_slice(b"},\"error\":null}\n");
        return;
    }
    let (response, error) = match &outcome.failure {
        Some(failure) if outcome.failed => response_and_error(failure),
        _ => (
            serde_json::Value::Null,
            json!({"code": PENDING_CODE, "message": "this request has not been completed yet"}),
        ),
    };
    let end = format!(",\"response\":{response},\"error\":{error}}}\n");
    line.extend_from_slice(end.as_bytes());
}

/// Returns the response and the error of a failed request. A rejection is a response; other failures
/// are errors.
fn response_and_error(failure: &RecordedFailure) -> (serde_json::Value, serde_json::Value) {
    let RecordedFailure {
        rule,
        message,
        status,
        request_id,
    } = failure;
    let error = json!({"code": rule, "message": message});
    match status.filter(|status| *status >= 400) {
        None => (serde_json::Value::Null, error),
        Some(status) => {
            let error = json!({"message": message, "type": "invalid_request_error",
                               "param": null, "code": rule});
            let response = json!({"status_code": status, "request_id": request_id,
                                  "body": {"error": error}});
            (response, serde_json::Value::Null)
        }
    }
}

/// Writes JSON with line breaks replaced by spaces. Inside JSON strings, line breaks are escaped.
fn write_on_one_line(line: &mut Vec<u8>, json: &str) {
    let start = line.len();
    line.extend_from_slice(json.trim().as_bytes());
    for byte in &mut line[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// The size of a request file, checked against the limits of the API.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchFileSize {
    requests: u64,
    bytes: u64,
}

impl BatchFileSize {
    /// Adds a line and returns true, unless the file would exceed the limits.
    pub fn try_add(&mut self, line: &[u8]) -> bool {
        let length = line.len() as u64;
        let fits = self.requests < MAX_REQUESTS && self.bytes + length <= MAX_BYTES;
        // A line beyond the limits gets its own file, which the API then rejects.
        if fits || self.requests == 0 {
            self.requests += 1;
            self.bytes += length;
            return true;
        }
        false
    }
}

/// Writes a request for the API, with the body on one line.
pub fn write_request(line: &mut Vec<u8>, key: &str, url: &str, body: &str) {
    let start = json!({"custom_id": key, "method": "POST", "url": url}).to_string();
    line.extend_from_slice(start.trim_end_matches('}').as_bytes());
    line.extend_from_slice(br#","body":"#);
    write_on_one_line(line, body);
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Completion, JobId};

    fn outcome(completion: Option<&str>, failure: Option<(&str, Option<u16>)>) -> RequestOutcome {
        RequestOutcome {
            id: JobId(7),
            key: "r\"7}".to_owned(),
            completion: completion.map(|body| Completion {
                body: body.to_owned(),
                request_id: "req_1".to_owned(),
                ..Completion::default()
            }),
            failed: failure.is_some(),
            failure: failure.map(|(rule, status)| RecordedFailure {
                rule: rule.to_owned(),
                message: "no".to_owned(),
                status,
                request_id: "req_2".to_owned(),
            }),
        }
    }

    #[track_caller]
    fn check(outcome: &RequestOutcome, expected: &str) {
        let mut writer = BatchWriter::new(Vec::new(), None::<Vec<u8>>);
        writer.write(outcome).unwrap();
        let written = String::from_utf8(writer.finish().unwrap().0).unwrap();
        assert_eq!(written, format!("{expected}\n"));
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["custom_id"], "r\"7}");
    }

    #[test]
    fn a_completion_is_a_response_with_an_unchanged_body() {
        check(
            &outcome(Some("{\n \"a\": 1.50,\r\n \"b\":\"\\n\"}\n"), None),
            r#"{"id":"batch_req_7","custom_id":"r\"7}","response":{"status_code":200,"request_id":"req_1","body":{  "a": 1.50,   "b":"\n"}},"error":null}"#,
        );
    }

    #[test]
    fn a_rejection_is_a_response_and_other_failures_are_errors() {
        let expected = r#"{"id":"batch_req_7","custom_id":"r\"7}","response":{"status_code":400,"request_id":"req_2","body":{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"too-long"}}},"error":null}"#;
        check(&outcome(None, Some(("too-long", Some(400)))), expected);
        let expected = r#"{"id":"batch_req_7","custom_id":"r\"7}","response":null,"error":{"code":"declined","message":"no"}}"#;
        check(&outcome(None, Some(("declined", Some(200)))), expected);
        let expected = r#"{"id":"batch_req_7","custom_id":"r\"7}","response":null,"error":{"code":"pending","message":"this request has not been completed yet"}}"#;
        check(&outcome(None, None), expected);
    }

    #[test]
    fn rows_without_a_response_go_to_the_error_file() {
        let mut writer = BatchWriter::new(Vec::new(), Some(Vec::new()));
        writer.write(&outcome(Some("{}"), None)).unwrap();
        writer.write(&outcome(None, None)).unwrap();
        let (responses, errors) = writer.finish().unwrap();
        let lines = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().count();
        assert_eq!((lines(responses), errors.map(lines)), (1, Some(1)));
    }

    #[test]
    fn a_request_file_has_the_limits_of_the_api() {
        let mut file = BatchFileSize::default();
        assert!((0..MAX_REQUESTS).all(|_| file.try_add(b"x\n")));
        assert!(!file.try_add(b"x\n"));
        let large = vec![b'x'; 90_000_000];
        let mut file = BatchFileSize::default();
        assert!(file.try_add(&large) && file.try_add(&large));
        assert!(!file.try_add(&large));
    }

    #[test]
    fn a_request_body_is_unchanged() {
        let mut line = Vec::new();
        write_request(&mut line, "a", "/v1/embeddings", "{ \"n\":\n1.0}");
        let expected = "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{ \"n\": 1.0}}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
