//! Carries out a reaction: makes it into a plan of what is sent, when, and how the connection
//! ends.

use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue, LOCATION};

use super::chat;
use super::faults::Reaction;
use super::limits::{Limit, Reached};
use super::question::Question;
use super::refusal::{self, Refusal};
use super::reply::{Broken, Flow, SimulatedResponse, final_status, with_type};
use super::route::{Provider, Request};
use super::throttle;

/// The header that tells a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A page as web servers and captive portals send it.
const PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n\
                    </body>\r\n</html>\r\n";

/// An error in a success, as relays send it.
const ERROR_IN_OK: &str = r#"{"error":{"message":"Provider returned error","code":502}}"#;

/// What a rate limit that was only scripted says about itself.
const SCRIPTED_LIMIT: u32 = 3;

/// What will happen to a request.
#[derive(Debug)]
pub(super) struct Plan {
    /// How long to wait first.
    pub(super) delay: Duration,
    /// How the request ends.
    pub(super) outcome: Outcome,
}

/// How a request ends.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With a response, or the beginning of one.
    Respond(Response<Flow>),
    /// With the end of the connection.
    Break(Broken),
    /// Not at all.
    Hang,
}

impl Plan {
    /// Plans to send a whole response at once.
    pub(super) fn reply(reply: SimulatedResponse) -> Self {
        Self::flow(reply, |body| Flow::Whole(Some(body)))
    }

    /// Plans to send a response in a way of its own.
    fn flow(reply: SimulatedResponse, flow: impl FnOnce(Bytes) -> Flow) -> Self {
        Self::ending(Outcome::Respond(reply.map(flow)))
    }

    fn ending(outcome: Outcome) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome,
        }
    }

    /// Plans the same, so much later.
    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay = self.delay.saturating_add(delay);
        self
    }

    /// Gives the response the id of the request, unless it has one.
    pub(super) fn numbered(mut self, number: u64) -> Self {
        if let Outcome::Respond(response) = &mut self.outcome {
            response.headers_mut().entry(REQUEST_ID).or_insert_with(|| {
                HeaderValue::try_from(format!("req_{number:012}"))
                    .expect("letters and digits are a header value")
            });
        }
        self
    }

    /// Returns the status, if there will be a response.
    pub(super) fn status(&self) -> Option<u16> {
        match &self.outcome {
            Outcome::Respond(response) => Some(response.status().as_u16()),
            Outcome::Break(_) | Outcome::Hang => None,
        }
    }
}

impl Provider {
    /// Carries out a reaction.
    pub(super) fn react(&self, reaction: Reaction, request: &Request<'_>) -> Plan {
        let (key, stamp) = (request.arrival.key, request.stamp);
        let none = Question::default();
        let question = request.question.unwrap_or(&none);
        let personality = self.config.personality;
        Plan::reply(match reaction {
            Reaction::Delay(delay) => return self.treat(request).after(delay),
            Reaction::After(delay, reaction) => {
                return self.react(*reaction, request).after(delay);
            }
            Reaction::Hang => return Plan::ending(Outcome::Hang),
            Reaction::Reset => return Plan::ending(Outcome::Break(Broken::Reset)),
            Reaction::HalfBody => return self.half(request, Broken::Closed),
            Reaction::HalfBodyReset => return self.half(request, Broken::Reset),
            Reaction::Drip(every) => {
                return Plan::flow(self.answer(request), |body| Flow::drip(body, every));
            }
            Reaction::Flood(bytes) => {
                return Plan::flow(json_text(200, Bytes::new()), |_| Flow::Flood(bytes));
            }
            Reaction::Answer => self.answer(request),
            Reaction::Say(text) => chat::say(question, stamp, &text),
            Reaction::EmptyChoices => chat::no_choices(question, stamp),
            Reaction::Status(status) => self.status(status, request).reply(personality),
            Reaction::RateLimited(wait) => rate_limited(question.model(), wait).reply(personality),
            Reaction::Refuse(refusal) => refusal.reply(personality, key),
            Reaction::Json(status, body) => json_text(status, body.into()),
            Reaction::ErrorInOk => json_text(200, ERROR_IN_OK.into()),
            Reaction::Html(status) => with_type(status, "text/html", PAGE.into()),
            Reaction::Redirect(url) => raw(307, vec![(LOCATION.to_string(), url)], String::new()),
            Reaction::Raw {
                status,
                headers,
                body,
            } => raw(status, headers, body),
        })
    }

    fn half(&self, request: &Request<'_>, end: Broken) -> Plan {
        Plan::flow(self.answer(request), |body| Flow::half(body, end))
    }

    /// Words an error that fits a status.
    fn status(&self, status: u16, request: &Request<'_>) -> Refusal {
        let personality = self.config.personality;
        let (key, model) = (request.arrival.key, request.arrival.model);
        match status {
            401 => personality.bad_key(key),
            404 => Refusal {
                status,
                ..personality.unknown_model(model, key)
            },
            429 => Refusal {
                retry_after: None,
                ..rate_limited(model, Duration::from_secs(1))
            },
            500..=599 => refusal::server_trouble(status),
            _ => Refusal::new(status, format!("Simulated error {status}.")),
        }
    }
}

fn rate_limited(model: &str, wait: Duration) -> Refusal {
    let reached = Reached {
        limit: Limit::RequestsPerMinute,
        allowed: SCRIPTED_LIMIT,
        used: SCRIPTED_LIMIT,
        requested: 1,
        wait: Some(wait),
    };
    throttle::rate_limited(model, &reached, true)
}

fn json_text(status: u16, body: Bytes) -> SimulatedResponse {
    with_type(status, "application/json", body)
}

fn raw(status: u16, headers: Vec<(String, String)>, body: String) -> SimulatedResponse {
    let mut reply = Response::new(Bytes::from(body));
    *reply.status_mut() = final_status(status);
    for (name, value) in headers {
        let name = HeaderName::try_from(name).expect("a scripted header has a valid name");
        let value = HeaderValue::try_from(value).expect("a scripted header has a valid value");
        reply.headers_mut().append(name, value);
    }
    reply
}
