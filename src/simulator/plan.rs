//! Response plans: the response to a request, its delay, and how the connection ends; and the
//! plans for the reactions of a script.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Response};

use super::chat::{self, CompletionParams};
use super::error::{self, SimulatedError};
use super::faults::Reaction;
use super::limits::{LimitKind, LimitReached};
use super::personality::Personality;
use super::rate_limit;
use super::request_body::RequestBody;
use super::response::{Disconnect, SimulatedBody, SimulatedResponse, final_status, with_type};
use super::script::IncomingRequest;

/// The header with the request ID.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An HTML error page as sent by web servers and captive portals.
const ERROR_PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n\
                    </body>\r\n</html>\r\n";

/// An error with status 200, as sent by relays.
const ERROR_WITH_STATUS_200: &str = r#"{"error":{"message":"Provider returned error","code":502}}"#;

/// The limit that scripted rate-limit errors report.
const SCRIPTED_LIMIT: u32 = 3;

/// A request with its parsed body.
#[derive(Debug)]
pub(super) struct ReceivedRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) incoming: IncomingRequest<'a>,
    pub(super) body: Result<&'a RequestBody<'a>, &'a SimulatedError>,
    pub(super) params: CompletionParams,
}

/// How and when a request gets its response.
#[derive(Debug)]
pub(super) struct ResponsePlan {
    /// Delay before the outcome.
    pub(super) delay: Duration,
    /// How the request ends.
    pub(super) outcome: PlannedOutcome,
}

/// How a request ends.
#[derive(Debug)]
pub(super) enum PlannedOutcome {
    /// A response, possibly truncated.
    Respond(Response<SimulatedBody>),
    /// The connection ends without a response.
    Disconnect(Disconnect),
    /// No response; the connection stays open.
    Hang,
}

impl ResponsePlan {
    /// Plans to send a complete response without delay.
    pub(super) fn respond(response: SimulatedResponse) -> Self {
        Self::with_body(response, |body| SimulatedBody::Whole(Some(body)))
    }

    /// Plans to send a response with its body wrapped by `wrap`.
    fn with_body(response: SimulatedResponse, wrap: impl FnOnce(Bytes) -> SimulatedBody) -> Self {
        Self::new(PlannedOutcome::Respond(response.map(wrap)))
    }

    fn new(outcome: PlannedOutcome) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome,
        }
    }

    /// Adds to the delay.
    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay = self.delay.saturating_add(delay);
        self
    }

    /// Sets the request ID of the response, unless it has one.
    pub(super) fn with_request_id(mut self, number: u64) -> Self {
        if let PlannedOutcome::Respond(response) = &mut self.outcome {
            response.headers_mut().entry(REQUEST_ID).or_insert_with(|| {
                HeaderValue::try_from(format!("req_{number:012}"))
                    .expect("letters and digits are a header value")
            });
        }
        self
    }

    /// Returns the status of the response; `None` without a response.
    pub(super) fn status(&self) -> Option<u16> {
        match &self.outcome {
            PlannedOutcome::Respond(response) => Some(response.status().as_u16()),
            PlannedOutcome::Disconnect(_) | PlannedOutcome::Hang => None,
        }
    }
}

/// Plans a reaction. `handle` plans the usual response to the request; `complete` returns it without
/// applying limits or faults.
pub(super) fn react(
    reaction: Reaction,
    request: &ReceivedRequest<'_>,
    personality: Personality,
    handle: &dyn Fn() -> ResponsePlan,
    complete: &dyn Fn() -> SimulatedResponse,
) -> ResponsePlan {
    let (key, params) = (request.incoming.key, request.params);
    let empty = RequestBody::default();
    let body = request.body.unwrap_or(&empty);
    ResponsePlan::respond(match reaction {
        Reaction::Delay(delay) => return handle().after(delay),
        Reaction::After(delay, reaction) => {
            return react(*reaction, request, personality, handle, complete).after(delay);
        }
        Reaction::Hang => return ResponsePlan::new(PlannedOutcome::Hang),
        Reaction::Reset => return ResponsePlan::new(PlannedOutcome::Disconnect(Disconnect::Reset)),
        Reaction::HalfBody => return truncated(complete(), Disconnect::Close),
        Reaction::HalfBodyReset => return truncated(complete(), Disconnect::Reset),
        Reaction::SlowBody(interval) => {
            return ResponsePlan::with_body(complete(), |body| SimulatedBody::slow(body, interval));
        }
        Reaction::Flood(bytes) => {
            return ResponsePlan::with_body(json_text(200, Bytes::new()), |_| {
                SimulatedBody::Flood(bytes)
            });
        }
        Reaction::Normal => complete(),
        Reaction::Text(text) => chat::complete_with_text(body, params, &text),
        Reaction::EmptyChoices => chat::complete_without_choices(body, params),
        Reaction::Status(status) => {
            personality.error_response(&status_error(status, request, personality))
        }
        Reaction::RateLimited(wait) => {
            personality.error_response(&scripted_rate_limit(body.model(), wait))
        }
        Reaction::Reject(rejection) => rejection.to_response(personality, key),
        Reaction::Json(status, body) => json_text(status, body.into()),
        Reaction::ErrorInOk => json_text(200, ERROR_WITH_STATUS_200.into()),
        Reaction::Html(status) => with_type(status, "text/html", ERROR_PAGE.into()),
        Reaction::Redirect(url) => raw(307, vec![(LOCATION.to_string(), url)], String::new()),
        Reaction::Raw {
            status,
            headers,
            body,
        } => raw(status, headers, body),
    })
}

fn truncated(response: SimulatedResponse, end: Disconnect) -> ResponsePlan {
    ResponsePlan::with_body(response, |body| SimulatedBody::truncated(body, end))
}

/// Returns an error that matches a status.
fn status_error(
    status: u16,
    request: &ReceivedRequest<'_>,
    personality: Personality,
) -> SimulatedError {
    let (key, model) = (request.incoming.key, request.incoming.model);
    match status {
        401 => personality.bad_key(key),
        404 => SimulatedError {
            status,
            ..personality.unavailable_model(key, error::unknown_model(model))
        },
        429 => SimulatedError {
            retry_after: None,
            ..scripted_rate_limit(model, Duration::from_secs(1))
        },
        500..=599 => error::server_error(status),
        _ => SimulatedError::new(status, format!("Simulated error {status}.")),
    }
}

fn scripted_rate_limit(model: &str, wait: Duration) -> SimulatedError {
    let reached = LimitReached {
        limit: LimitKind::RequestsPerMinute,
        allowed: SCRIPTED_LIMIT,
        used: SCRIPTED_LIMIT,
        requested: 1,
        wait: Some(wait),
    };
    rate_limit::rate_limited(model, &reached, true)
}

fn json_text(status: u16, body: Bytes) -> SimulatedResponse {
    with_type(status, "application/json", body)
}

fn raw(status: u16, headers: Vec<(String, String)>, body: String) -> SimulatedResponse {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = final_status(status);
    for (name, value) in headers {
        let name = HeaderName::try_from(name).expect("a scripted header has a valid name");
        let value = HeaderValue::try_from(value).expect("a scripted header has a valid value");
        response.headers_mut().append(name, value);
    }
    response
}
