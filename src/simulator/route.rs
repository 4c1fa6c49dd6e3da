//! Maps each request to a [`ResponsePlan`]. It neither waits nor sends; the server does.
//!
//! The script has precedence. Then come the checks of a real provider in their order (URL, API key,
//! body, model, limits), then random faults, and finally the response.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::chat::{self, CompletionParams};
use super::config::Config;
use super::embeddings;
use super::error::{self, SimulatedError};
use super::faults::Reaction;
use super::limits::{KeyLimiters, RemainingLimits};
use super::plan::{ReceivedRequest, ResponsePlan, react};
use super::rate_limit;
use super::request_body::RequestBody;
use super::request_log::{InFlightGuard, RequestRecorder};
use super::response::{ResponseGate, SimulatedResponse};
use super::rng::{SeededRng, digest};
use super::script::{IncomingRequest, Script};

/// Completion tokens charged against the limits when a request sets no maximum.
const DEFAULT_COMPLETION_TOKENS: u64 = 16;

/// A simulated provider without its socket.
#[derive(Debug)]
pub(super) struct SimulatedProvider {
    pub(super) config: Config,
    pub(super) log: RequestRecorder,
    pub(super) gate: ResponseGate,
    script: Mutex<Arc<Script>>,
    /// `None` when nothing is limited.
    limiters: Option<Mutex<KeyLimiters>>,
    start: Instant,
}

/// An endpoint of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SimulatedEndpoint {
    Chat,
    Completions,
    Embeddings,
    Models,
}

impl SimulatedProvider {
    /// Creates a provider from its configuration.
    pub(super) fn new(mut config: Config) -> Self {
        config.personality.apply_limits(&mut config.limits);
        let limiters = KeyLimiters::new(config.limits.clone());
        Self {
            log: RequestRecorder::new(config.record),
            gate: ResponseGate::default(),
            script: Mutex::new(Arc::new(config.script.clone())),
            limiters: (!limiters.is_unlimited()).then(|| Mutex::new(limiters)),
            start: Instant::now(),
            config,
        }
    }

    /// Replaces the script.
    pub(super) fn set_script(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Records a request and plans its response.
    pub(super) fn plan(&self, head: &Parts, body: &[u8]) -> (ResponsePlan, InFlightGuard<'_>) {
        let parsed = if head.method == Method::POST {
            RequestBody::parse(body)
        } else {
            Ok(RequestBody::default())
        };
        let valid = parsed.as_ref().ok();
        let prompt = valid.and_then(RequestBody::prompt);
        let hash = prompt.map(|prompt| digest(prompt.as_bytes()));
        let key = bearer(head).unwrap_or_default();
        let (counts, guard) = self.log.begin(key, hash);
        let request = ReceivedRequest {
            method: &head.method,
            incoming: IncomingRequest {
                path: head.uri.path(),
                key,
                model: valid.map(RequestBody::model).unwrap_or_default(),
                prompt: prompt.unwrap_or_default(),
                body,
                number: counts.number,
                prompt_count: counts.prompt_count,
                key_count: counts.key_count,
            },
            body: parsed.as_ref(),
            params: CompletionParams {
                seed: self.config.seed,
                prompt: hash.unwrap_or_default(),
                prompt_count: counts.prompt_count,
                created: self.config.created,
            },
        };
        let script = Arc::clone(&self.script.lock().unwrap_or_else(PoisonError::into_inner));
        let plan = match script.reaction(&request.incoming) {
            Some(reaction) => self.react(reaction, &request),
            None => self.handle(&request),
        };
        let plan = plan.with_request_id(counts.number);
        self.log.record(&request.incoming, plan.status());
        (plan, guard)
    }

    /// Plans the response to a request without the script.
    fn handle(&self, request: &ReceivedRequest<'_>) -> ResponsePlan {
        let endpoint = match self.validate(request) {
            Ok(endpoint) => endpoint,
            Err(response) => return ResponsePlan::respond(*response),
        };
        if endpoint == SimulatedEndpoint::Models {
            return ResponsePlan::respond(self.models());
        }
        let remaining = match self.consume_limits(request) {
            Ok(remaining) => remaining,
            Err(response) => return ResponsePlan::respond(*response),
        };
        let params = request.params;
        let mut rng = SeededRng::new(params.seed, params.prompt, params.prompt_count);
        if let Some(fault) = self.config.faults.sample(&mut rng) {
            return self.react(fault, request);
        }
        let mut response = self.respond(endpoint, request);
        rate_limit::write_headers(remaining, response.headers_mut());
        ResponsePlan::respond(response).after(self.config.latency.sample(&mut rng))
    }

    /// Plans a reaction of the script, or a random fault.
    fn react(&self, reaction: Reaction, request: &ReceivedRequest<'_>) -> ResponsePlan {
        let handle = || self.handle(request);
        let complete = || self.complete(request);
        let personality = self.config.personality;
        react(reaction, request, personality, &handle, &complete)
    }

    /// Returns the response to a request without applying limits or random faults.
    fn complete(&self, request: &ReceivedRequest<'_>) -> SimulatedResponse {
        match self.validate(request) {
            Ok(endpoint) => self.respond(endpoint, request),
            Err(response) => *response,
        }
    }

    /// Checks everything except the limits and returns the endpoint.
    fn validate(
        &self,
        request: &ReceivedRequest<'_>,
    ) -> Result<SimulatedEndpoint, Box<SimulatedResponse>> {
        let personality = self.config.personality;
        let respond = |error: SimulatedError| Box::new(personality.error_response(&error));
        let endpoint = endpoint(request.method, request.incoming.path).map_err(respond)?;
        self.check_key(request.incoming.key)?;
        if endpoint != SimulatedEndpoint::Models {
            self.check_body(endpoint, request).map_err(respond)?;
        }
        Ok(endpoint)
    }

    fn check_key(&self, key: &str) -> Result<(), Box<SimulatedResponse>> {
        let (personality, keys) = (self.config.personality, &self.config.keys);
        let error = if key.is_empty() {
            personality.no_key()
        } else if let Some(rejection) = self.config.rejected_keys.get(key) {
            return Err(Box::new(rejection.to_response(personality, key)));
        } else if keys.iter().any(|known| known == key)
            || (keys.is_empty() && personality.accepts_key(key))
        {
            return Ok(());
        } else {
            personality.bad_key(key)
        };
        Err(Box::new(personality.error_response(&error)))
    }

    fn check_body(
        &self,
        endpoint: SimulatedEndpoint,
        request: &ReceivedRequest<'_>,
    ) -> Result<(), SimulatedError> {
        let personality = self.config.personality;
        let body = request.body.map_err(SimulatedError::clone)?;
        let (model, key) = (body.model(), request.incoming.key);
        if model.is_empty() {
            return Err(error::missing("model"));
        }
        let is_embedding_model = model.contains("embedding");
        let unavailable = match endpoint {
            _ if !self.has_model(model) => Some(error::unknown_model(model)),
            SimulatedEndpoint::Completions => Some(error::not_for_completions()),
            SimulatedEndpoint::Chat if is_embedding_model => Some(error::not_for_chat()),
            SimulatedEndpoint::Embeddings if !is_embedding_model => {
                Some(error::not_for_embeddings())
            }
            _ => None,
        };
        if let Some(error) = unavailable {
            return Err(personality.unavailable_model(key, error));
        }
        if endpoint == SimulatedEndpoint::Chat {
            body.check_chat()?;
        } else if body.texts().next().is_none() {
            return Err(error::missing("input"));
        }
        personality.check_input(body.tokens())
    }

    fn has_model(&self, model: &str) -> bool {
        let models = &self.config.models;
        if models.is_empty() {
            self.config.personality.has_model(model)
        } else {
            models.iter().any(|known| known == model)
        }
    }

    /// Counts a request against the limits of its key.
    fn consume_limits(
        &self,
        request: &ReceivedRequest<'_>,
    ) -> Result<RemainingLimits, Box<SimulatedResponse>> {
        let (Some(limiters), Ok(body)) = (&self.limiters, request.body) else {
            return Ok(RemainingLimits::default());
        };
        let tokens = body.max_tokens().unwrap_or(DEFAULT_COMPLETION_TOKENS);
        let tokens = u32::try_from(body.tokens().saturating_add(tokens)).unwrap_or(u32::MAX);
        let (remaining, allowed) = limiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(request.incoming.key, tokens, self.start.elapsed());
        allowed.map(|()| remaining).map_err(|reached| {
            let personality = self.config.personality;
            let retry_after = self.config.limits.retry_after;
            let error = personality.limit_reached(body.model(), &reached, retry_after);
            let mut response = personality.error_response(&error);
            rate_limit::write_headers(remaining, response.headers_mut());
            Box::new(response)
        })
    }

    /// Builds an endpoint's response to a valid request.
    fn respond(
        &self,
        endpoint: SimulatedEndpoint,
        request: &ReceivedRequest<'_>,
    ) -> SimulatedResponse {
        match (endpoint, request.body) {
            (SimulatedEndpoint::Models, _) => self.models(),
            (SimulatedEndpoint::Embeddings, Ok(body)) => embeddings::embed(body, self.config.seed),
            (_, Ok(body)) => chat::complete(body, request.params),
            (_, Err(error)) => self.config.personality.error_response(error),
        }
    }

    fn models(&self) -> SimulatedResponse {
        let (config, models) = (&self.config, &self.config.models);
        if models.is_empty() {
            chat::models(config.personality.models().iter().copied(), config.created)
        } else {
            chat::models(models.iter().map(String::as_str), config.created)
        }
    }
}

/// Returns the endpoint at a path, if it supports the method.
fn endpoint(method: &Method, path: &str) -> Result<SimulatedEndpoint, SimulatedError> {
    let (endpoint, expected) = match path {
        "/v1/chat/completions" => (SimulatedEndpoint::Chat, Method::POST),
        "/v1/completions" => (SimulatedEndpoint::Completions, Method::POST),
        "/v1/embeddings" => (SimulatedEndpoint::Embeddings, Method::POST),
        "/v1/models" => (SimulatedEndpoint::Models, Method::GET),
        _ => return Err(error::no_such_url(method.as_str(), path)),
    };
    if *method == expected {
        Ok(endpoint)
    } else {
        Err(error::wrong_method(method.as_str(), path))
    }
}

/// Returns the key in the `Authorization` header.
fn bearer(head: &Parts) -> Option<&str> {
    let (scheme, key) = head
        .headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
