//! Receives a response from the network, with a size limit, and redacts API keys from its body.
//! Success bodies are parsed in `completion`.

use reqwest::Response;
use reqwest::header::HeaderMap;

use super::context::ParseContext;
use super::error_response;
use super::headers::request_id;
use super::limits::ClientLimits;
use super::transport;
use crate::domain::failure::{Failure, InvalidResponse, ResponseProblem, TransportError};
use crate::domain::redact;

/// A complete success response.
pub(super) struct SuccessBody {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Receives a whole response. A response with an error status is an error response even if its body
/// is incomplete.
pub(super) async fn receive(
    mut response: Response,
    limits: &ClientLimits,
    context: ParseContext<'_>,
) -> Result<SuccessBody, Failure> {
    let headers = std::mem::take(response.headers_mut());
    let status = response.status();
    if !status.is_success() {
        let body = read_start(&mut response, limits.max_error_bytes).await;
        let (keys, now) = (context.known_keys, context.received_at);
        let error = error_response::parse(status.as_u16(), &headers, &body, keys, now);
        return Err(Failure::ErrorResponse(error));
    }
    let invalid = |problem, excerpt: &str| invalid_response(problem, excerpt, &headers, context);
    let bytes = match read_all(&mut response, limits.max_response_bytes).await {
        Ok(bytes) => bytes,
        Err(BodyReadError::Broken(error)) => {
            return Err(transport_error(&error, context.known_keys));
        }
        Err(BodyReadError::TooLarge) => {
            let excerpt = format!("more than {} bytes", limits.max_response_bytes);
            return Err(invalid(ResponseProblem::TooLarge, &excerpt));
        }
    };
    let Ok(body) = String::from_utf8(bytes) else {
        let excerpt = "the body is not UTF-8";
        return Err(invalid(ResponseProblem::UnexpectedFormat, excerpt));
    };
    let body = redact_keys(body, context);
    Ok(SuccessBody { headers, body })
}

/// Returns the failure for a request without a complete response.
pub(super) fn transport_error(error: &reqwest::Error, known_keys: &[&str]) -> Failure {
    let (kind, detail) = transport::classify(error);
    // The server controls part of this text (GOAWAY), so the text is redacted like a body.
    let detail = redact::excerpt(&detail, known_keys);
    Failure::Transport(TransportError { kind, detail })
}

/// Why a body was not read completely.
enum BodyReadError {
    TooLarge,
    Broken(reqwest::Error),
}

/// Reads a whole body of at most `max` bytes. A larger `Content-Length` is rejected without
/// reading.
async fn read_all(response: &mut Response, max: usize) -> Result<Vec<u8>, BodyReadError> {
    let length = response.content_length().unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > max {
        return Err(BodyReadError::TooLarge);
    }
    let mut body = Vec::with_capacity(length);
    while let Some(chunk) = response.chunk().await.map_err(BodyReadError::Broken)? {
        if body.len() + chunk.len() > max {
            return Err(BodyReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads at most `max` bytes of a body. If the connection breaks, returns what was received.
async fn read_start(response: &mut Response, max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let remaining = max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(remaining)]);
        if body.len() == max {
            break;
        }
    }
    body
}

/// Redacts keys from a body, and removes a byte order mark.
fn redact_keys(mut body: String, context: ParseContext<'_>) -> String {
    if body.starts_with('\u{feff}') {
        body.drain(..'\u{feff}'.len_utf8());
    }
    for key in context.secrets() {
        if body.contains(key) {
            body = body.replace(key, "[redacted]");
        }
    }
    body
}

/// The maximum length of the text that is redacted for an excerpt, in bytes. The excerpt itself is
/// truncated to 2 KiB.
const EXCERPT_SOURCE_BYTES: usize = 16 * 1024;

pub(super) fn invalid_response(
    problem: ResponseProblem,
    excerpt: &str,
    headers: &HeaderMap,
    context: ParseContext<'_>,
) -> Failure {
    let start = &excerpt[..excerpt.floor_char_boundary(EXCERPT_SOURCE_BYTES)];
    Failure::InvalidResponse(InvalidResponse {
        problem,
        excerpt: redact::excerpt(start, context.known_keys),
        request_id: request_id(headers, context),
    })
}
