//! Results in the form of the `OpenAI` Batch API: a line for each request with what came back under its
//! `custom_id`, answers and errors in files of their own where that is wanted; and requests without an
//! answer in the form that the API takes.

use std::io::{BufWriter, Write};

use serde_json::json;

use super::ExportError;
use crate::domain::job::{Exchange, RecordedFailure};

/// Bytes gathered before they are written.
const BUFFER: usize = 256 * 1024;

/// The most requests that the API takes in one file.
const MAX_REQUESTS: u64 = 50_000;

/// The most bytes that it takes in one file: the 200 MB of its documents, read in the smaller way.
const MAX_BYTES: u64 = 200_000_000;

/// The error code of a row that nobody has answered yet.
const PENDING: &str = "pending";

/// Files of results that are being written: the answers, and what has none.
#[derive(Debug)]
pub struct BatchSheet<W: Write, E: Write> {
    answers: BufWriter<W>,
    errors: Option<BufWriter<E>>,
    line: Vec<u8>,
}

impl<W: Write, E: Write> BatchSheet<W, E> {
    /// Begins files. Without one for errors, rows that have no answer stand between the others.
    pub fn new(answers: W, errors: Option<E>) -> Self {
        Self {
            answers: BufWriter::with_capacity(BUFFER, answers),
            errors: errors.map(|errors| BufWriter::with_capacity(BUFFER, errors)),
            line: Vec::new(),
        }
    }

    /// Writes one row.
    pub fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        self.line.clear();
        put_exchange(&mut self.line, exchange);
        match &mut self.errors {
            Some(errors) if exchange.completion.is_none() => errors.write_all(&self.line)?,
            _ => self.answers.write_all(&self.line)?,
        }
        Ok(())
    }

    /// Writes out what is buffered and returns the writers beneath.
    pub fn finish(self) -> Result<(W, Option<E>), ExportError> {
        Ok((
            emptied(self.answers)?,
            self.errors.map(emptied).transpose()?,
        ))
    }
}

fn emptied<W: Write>(writer: BufWriter<W>) -> Result<W, ExportError> {
    writer
        .into_inner()
        .map_err(|error| ExportError::from(error.into_error()))
}

/// Writes a line as the API does: the body of an answer as it came, but on one line.
fn put_exchange(line: &mut Vec<u8>, exchange: &Exchange) {
    let id = format!("batch_req_{}", exchange.id.0);
    let start = json!({"id": id, "custom_id": exchange.key}).to_string();
    line.extend_from_slice(start.trim_end_matches('}').as_bytes());
    if let Some(completion) = &exchange.completion {
        line.extend_from_slice(br#","response":{"status_code":200,"request_id":"#);
        line.extend_from_slice(json!(completion.request_id).to_string().as_bytes());
        line.extend_from_slice(br#","body":"#);
        put_on_one_line(line, &completion.body);
        line.extend_from_slice(b"},\"error\":null}\n");
        return;
    }
    let (response, error) = match &exchange.failure {
        Some(failure) if exchange.failed => failed(failure),
        _ => (
            serde_json::Value::Null,
            json!({"code": PENDING, "message": "this request has not been answered yet"}),
        ),
    };
    let end = format!(",\"response\":{response},\"error\":{error}}}\n");
    line.extend_from_slice(end.as_bytes());
}

/// Returns response and error of a request that has failed: a refusal is a response, anything else is
/// an error.
fn failed(failure: &RecordedFailure) -> (serde_json::Value, serde_json::Value) {
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

/// Writes JSON without its line ends. None of them is in a text, where it would be escaped.
fn put_on_one_line(line: &mut Vec<u8>, json: &str) {
    let start = line.len();
    line.extend_from_slice(json.trim().as_bytes());
    for byte in &mut line[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// How much is in a file of requests, against what the API takes in one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFile {
    requests: u64,
    bytes: u64,
}

impl RequestFile {
    /// Takes a line if there is room for it; returns whether there was.
    pub fn takes(&mut self, line: &[u8]) -> bool {
        let length = line.len() as u64;
        let fits = self.requests < MAX_REQUESTS && self.bytes + length <= MAX_BYTES;
        // A line that no file has room for gets one to itself: the API will say so.
        if fits || self.requests == 0 {
            self.requests += 1;
            self.bytes += length;
            return true;
        }
        false
    }
}

/// Writes a request as the API takes it: to be answered below `url`, the body as it is sent.
pub fn put_request(line: &mut Vec<u8>, key: &str, url: &str, body: &str) {
    let start = json!({"custom_id": key, "method": "POST", "url": url}).to_string();
    line.extend_from_slice(start.trim_end_matches('}').as_bytes());
    line.extend_from_slice(br#","body":"#);
    put_on_one_line(line, body);
    line.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Completion, JobId};

    fn exchange(completion: Option<&str>, failure: Option<(&str, Option<u16>)>) -> Exchange {
        Exchange {
            id: JobId(7),
            key: "r\"7}".to_owned(),
            completion: completion.map(|body| Completion {
                body: body.to_owned(),
                model: "m".to_owned(),
                finish_reason: "stop".to_owned(),
                prompt_tokens: None,
                completion_tokens: None,
                latency_ms: 1,
                request_id: "req_1".to_owned(),
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
    fn check(exchange: &Exchange, expected: &str) {
        let mut sheet = BatchSheet::new(Vec::new(), None::<Vec<u8>>);
        sheet.write(exchange).unwrap();
        let written = String::from_utf8(sheet.finish().unwrap().0).unwrap();
        assert_eq!(written, format!("{expected}\n"));
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["custom_id"], "r\"7}");
    }

    #[test]
    fn an_answer_is_a_response_with_the_body_as_it_came() {
        check(
            &exchange(Some("{\n \"a\": 1.50,\r\n \"b\":\"\\n\"}\n"), None),
            r#"{"id":"batch_req_7","custom_id":"r\"7}","response":{"status_code":200,"request_id":"req_1","body":{  "a": 1.50,   "b":"\n"}},"error":null}"#,
        );
    }

    #[test]
    fn a_refusal_is_a_response_and_anything_else_an_error() {
        check(
            &exchange(None, Some(("too-long", Some(400)))),
            r#"{"id":"batch_req_7","custom_id":"r\"7}","response":{"status_code":400,"request_id":"req_2","body":{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"too-long"}}},"error":null}"#,
        );
        check(
            &exchange(None, Some(("declined", Some(200)))),
            r#"{"id":"batch_req_7","custom_id":"r\"7}","response":null,"error":{"code":"declined","message":"no"}}"#,
        );
        check(
            &exchange(None, None),
            r#"{"id":"batch_req_7","custom_id":"r\"7}","response":null,"error":{"code":"pending","message":"this request has not been answered yet"}}"#,
        );
    }

    #[test]
    fn what_has_no_answer_goes_into_the_file_for_errors() {
        let mut sheet = BatchSheet::new(Vec::new(), Some(Vec::new()));
        sheet.write(&exchange(Some("{}"), None)).unwrap();
        sheet.write(&exchange(None, None)).unwrap();
        let (answers, errors) = sheet.finish().unwrap();
        let lines = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().count();
        assert_eq!((lines(answers), errors.map(lines)), (1, Some(1)));
    }

    #[test]
    fn a_file_of_requests_takes_what_the_api_takes() {
        let mut file = RequestFile::default();
        assert!((0..MAX_REQUESTS).all(|_| file.takes(b"x\n")));
        assert!(!file.takes(b"x\n"));
        let large = vec![b'x'; 90_000_000];
        let mut file = RequestFile::default();
        assert!(file.takes(&large) && file.takes(&large));
        assert!(!file.takes(&large));
    }

    #[test]
    fn a_request_keeps_its_body() {
        let mut line = Vec::new();
        put_request(&mut line, "a", "/v1/embeddings", "{ \"n\":\n1.0}");
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{ \"n\": 1.0}}\n"
        );
    }
}
