//! Reads a response off the network: once, under a size cap, into a body without keys in it, or into
//! a failure. What the body of a success says is read in `completion`.

use reqwest::Response;
use reqwest::header::HeaderMap;

use super::client::ClientLimits;
use super::headers::request_id;
use super::refusal;
use super::transport;
use crate::domain::failure::{Failure, NoAnswer, NoResponse, Problem};
use crate::domain::redact;
use crate::domain::time::Timestamp;

/// What a body is read with: the keys that may be in it, and the moment the response came.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) known: &'a [&'a str],
    pub(super) now: Timestamp,
}

/// A complete body of a success.
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Reads a whole response. A status that is no success is a refusal, whatever becomes of its body.
pub(super) async fn receive(
    mut response: Response,
    limits: &ClientLimits,
    reading: Reading<'_>,
) -> Result<Received, Failure> {
    let headers = std::mem::take(response.headers_mut());
    let status = response.status();
    if !status.is_success() {
        let body = read_start(&mut response, limits.error_cap).await;
        let refusal = refusal::read(status.as_u16(), &headers, &body, reading.known, reading.now);
        return Err(Failure::Refused(refusal));
    }
    let bytes = match read_all(&mut response, limits.response_cap).await {
        Ok(bytes) => bytes,
        Err(Cut::Broken(error)) => return Err(no_response(&error, reading.known)),
        Err(Cut::TooLarge) => {
            let said = format!("the body is larger than {} bytes", limits.response_cap);
            return Err(no_answer(Problem::TooLarge, &said, &headers, reading));
        }
    };
    let Ok(body) = String::from_utf8(bytes) else {
        let said = "the body is not UTF-8";
        return Err(no_answer(Problem::NotChat, said, &headers, reading));
    };
    let body = without_keys(body, reading.known);
    Ok(Received { headers, body })
}

/// Makes the failure of a request that broke on its way.
pub(super) fn no_response(error: &reqwest::Error, known: &[&str]) -> Failure {
    let (fault, detail) = transport::classify(error);
    // The far end has a say in some of these words (GOAWAY), so they are no more trusted than a body.
    let detail = redact::excerpt(&detail, known);
    Failure::NoResponse(NoResponse { fault, detail })
}

/// Why a body was not read to its end.
enum Cut {
    TooLarge,
    Broken(reqwest::Error),
}

/// Reads a body to its end, or as far as the cap. A length above the cap is refused unread.
async fn read_all(response: &mut Response, cap: usize) -> Result<Vec<u8>, Cut> {
    let told = response.content_length().unwrap_or_default();
    let told = usize::try_from(told).unwrap_or(usize::MAX);
    if told > cap {
        return Err(Cut::TooLarge);
    }
    let mut body = Vec::with_capacity(told);
    while let Some(chunk) = response.chunk().await.map_err(Cut::Broken)? {
        if body.len() + chunk.len() > cap {
            return Err(Cut::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads the start of a body, and makes do with what came when it breaks off.
async fn read_start(response: &mut Response, cap: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = cap - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == cap {
            break;
        }
    }
    body
}

/// The shortest key that is looked for in an answer, in bytes: a local server's `none` or `test`
/// is no secret, and may be a word of the answer.
const SECRET_LENGTH: usize = 16;

/// Returns the keys that are secrets.
pub(super) fn secrets<'a>(known: &[&'a str]) -> impl Iterator<Item = &'a str> {
    known
        .iter()
        .copied()
        .filter(|key| key.len() >= SECRET_LENGTH)
}

/// Takes the keys out of a body that is about to be kept, and a byte order mark with them.
fn without_keys(mut body: String, known: &[&str]) -> String {
    if body.starts_with('\u{feff}') {
        body.drain(..'\u{feff}'.len_utf8());
    }
    for key in secrets(known) {
        if body.contains(key) {
            body = body.replace(key, "[redacted]");
        }
    }
    body
}

/// The start of a text that is looked at for an excerpt, in bytes; it is cut to 2 KiB afterwards.
const EXCERPT_SOURCE: usize = 16 * 1024;

pub(super) fn no_answer(
    problem: Problem,
    said: &str,
    headers: &HeaderMap,
    reading: Reading<'_>,
) -> Failure {
    let start = &said[..said.floor_char_boundary(EXCERPT_SOURCE)];
    Failure::NoAnswer(NoAnswer {
        problem,
        excerpt: redact::excerpt(start, reading.known),
        request_id: request_id(headers, reading.known),
    })
}
