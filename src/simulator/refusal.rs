//! A refusal of the simulated provider, and its wording where it is OpenAI's.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use serde::Serialize;

use super::personality::Personality;
use super::reply::{SimulatedResponse, json};

/// An error as OpenAI words it; a personality may dress it in its own form.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) kind: &'static str,
    pub(super) param: Option<&'static str>,
    pub(super) code: Option<&'static str>,
    /// Seconds for `Retry-After`, rounded up.
    pub(super) retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl Refusal {
    /// Makes a refusal of the type `invalid_request_error`.
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: "invalid_request_error",
            param: None,
            code: None,
            retry_after: None,
        }
    }

    pub(super) fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    pub(super) fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Makes the response: OpenAI's form, or that of the personality.
    pub(super) fn reply(&self, personality: Personality) -> SimulatedResponse {
        let own_code;
        let error = match personality {
            Personality::OpenAi => ErrorObject {
                message: &self.message,
                kind: self.kind,
                param: self.param,
                code: self.code,
            },
            Personality::GptApiFree => {
                own_code = spring_code(self.status);
                ErrorObject {
                    message: &self.message,
                    kind: "chatanywhere_error",
                    param: None,
                    code: Some(&own_code),
                }
            }
        };
        let mut reply = json(self.status, &Envelope { error });
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_nanos().div_ceil(1_000_000_000);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            reply.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        reply
    }
}

/// The status and its name, such as `403 FORBIDDEN`.
fn spring_code(status: u16) -> String {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    let name = reason.to_ascii_uppercase().replace([' ', '-'], "_");
    format!("{status} {name}")
}

/// A URL that does not exist.
pub(super) fn no_such_url(method: &str, path: &str) -> Refusal {
    Refusal::new(404, format!("Invalid URL ({method} {path})"))
}

/// A URL that wants another method.
pub(super) fn wrong_method(method: &str, path: &str) -> Refusal {
    Refusal::new(
        405,
        format!(
            "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP \
             method?)"
        ),
    )
}

/// A body that is no JSON.
pub(super) fn malformed_json() -> Refusal {
    Refusal::new(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't \
         using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was \
         sent was not valid JSON.)",
    )
}

/// A parameter of another type than expected.
pub(super) fn wrong_type() -> Refusal {
    Refusal::new(400, "Invalid type for a parameter of the request.").code("invalid_type")
}

/// A parameter that is missing.
pub(super) fn missing(param: &'static str) -> Refusal {
    let article = if param == "input" { "an" } else { "a" };
    Refusal::new(400, format!("you must provide {article} {param} parameter")).param(param)
}

/// A body larger than the simulator reads.
pub(super) fn too_large() -> Refusal {
    Refusal::new(413, "Request body is too large.").code("request_too_large")
}

/// A server that is at its wits' end, with the texts that belong to the status.
pub(super) fn server_trouble(status: u16) -> Refusal {
    match status {
        503 => Refusal::new(
            status,
            "The engine is currently overloaded, please try again later",
        )
        .kind("server_error")
        .code("server_is_overloaded"),
        529 => Refusal::new(status, "Overloaded").kind("overloaded_error"),
        _ => Refusal::new(
            status,
            "The server had an error while processing your request. Sorry about that!",
        )
        .kind("server_error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dressed_code_is_the_status_with_its_name() {
        assert_eq!(spring_code(403), "403 FORBIDDEN");
        assert_eq!(spring_code(429), "429 TOO_MANY_REQUESTS");
        assert_eq!(spring_code(299), "299 UNKNOWN");
    }
}
