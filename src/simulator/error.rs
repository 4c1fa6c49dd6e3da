//! Error responses of the simulated provider, with OpenAI's wording.

use std::time::Duration;

use hyper::header::RETRY_AFTER;
use serde_json::json;

use super::response::{self, SimulatedResponse};

/// An error with OpenAI's fields. A personality may send it in its own format.
#[derive(Clone, Debug)]
pub(super) struct SimulatedError {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) kind: &'static str,
    pub(super) param: Option<&'static str>,
    pub(super) code: Option<&'static str>,
    /// Value of `Retry-After`, rounded up to seconds.
    pub(super) retry_after: Option<Duration>,
}

impl SimulatedError {
    /// Creates an error of the type `invalid_request_error`.
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

    /// Builds the response, with a provider's own values of three fields.
    pub(super) fn to_response(
        &self,
        kind: &str,
        param: Option<&str>,
        code: Option<&str>,
    ) -> SimulatedResponse {
        let error = json!({
            "message": self.message, "type": kind, "param": param, "code": code,
        });
        let mut response = response::json(self.status, &json!({ "error": error }));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_nanos().div_ceil(1_000_000_000);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Returns the error for an unknown URL.
pub(super) fn no_such_url(method: &str, path: &str) -> SimulatedError {
    SimulatedError::new(404, format!("Invalid URL ({method} {path})"))
}

/// Returns the error for the wrong method on a known URL.
pub(super) fn wrong_method(method: &str, path: &str) -> SimulatedError {
    SimulatedError::new(
        405,
        format!(
            "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP \
             method?)"
        ),
    )
}

/// Returns the error for a body that is not valid JSON.
pub(super) fn malformed_json() -> SimulatedError {
    SimulatedError::new(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't \
         using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was \
         sent was not valid JSON.)",
    )
}

/// Returns the error for a parameter of the wrong type.
pub(super) fn wrong_type() -> SimulatedError {
    SimulatedError::new(400, "Invalid type for a parameter of the request.").code("invalid_type")
}

/// Returns the error for a missing parameter.
pub(super) fn missing(param: &'static str) -> SimulatedError {
    let article = if param == "input" { "an" } else { "a" };
    SimulatedError::new(400, format!("you must provide {article} {param} parameter")).param(param)
}

/// Returns the error for an unknown model.
pub(super) fn unknown_model(model: &str) -> SimulatedError {
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    SimulatedError::new(404, message).code("model_not_found")
}

/// Returns the error for a chat model at the legacy completions endpoint.
pub(super) fn not_for_completions() -> SimulatedError {
    let message = "This is a chat model and not supported in the v1/completions endpoint. Did you \
        mean to use v1/chat/completions?";
    SimulatedError::new(404, message).param("model")
}

/// Returns the error for an embedding model at the chat endpoint.
pub(super) fn not_for_chat() -> SimulatedError {
    let message = "This is not a chat model and thus not supported in the v1/chat/completions \
        endpoint. Did you mean to use v1/completions?";
    SimulatedError::new(404, message).param("model")
}

/// Returns the error for a chat model at the embeddings endpoint.
pub(super) fn not_for_embeddings() -> SimulatedError {
    let message = "You are not allowed to generate embeddings from this model";
    SimulatedError::new(403, message)
}

/// Returns the error for a body that exceeds the size limit.
pub(super) fn too_large() -> SimulatedError {
    SimulatedError::new(413, "Request body is too large.").code("request_too_large")
}

/// Returns a 5xx error with the text that OpenAI uses for this status.
pub(super) fn server_error(status: u16) -> SimulatedError {
    let (kind, message) = match status {
        503 => {
            let message = "The engine is currently overloaded, please try again later";
            let error = SimulatedError::new(status, message).kind("server_error");
            return error.code("server_is_overloaded");
        }
        529 => ("overloaded_error", "Overloaded"),
        _ => (
            "server_error",
            "The server had an error while processing your request. Sorry about that!",
        ),
    };
    SimulatedError::new(status, message).kind(kind)
}
