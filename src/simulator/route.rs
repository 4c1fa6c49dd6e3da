//! The simulated provider's decision: from a request to what will happen to it. It takes no time:
//! waiting and sending are the server's.
//!
//! The order is that of real providers: the script first (a test's word is law), then the address,
//! the key, the body, the model, the limits, a fault by chance, and at last the answer.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::chat::{self, Stamp};
use super::config::Config;
use super::embeddings;
use super::gate::Gate;
use super::ledger::{Book, Flight};
use super::limits::{Levels, Meters};
use super::question::Question;
use super::react::Plan;
use super::refusal::{self, Refusal};
use super::reply::SimulatedResponse;
use super::script::{Arrival, Script};
use super::seed::{Dice, digest};
use super::throttle;

/// Tokens that an answer is reckoned at when the request does not limit them.
const ANSWER_TOKENS: u64 = 16;

/// A simulated provider without its socket.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) config: Config,
    pub(super) ledger: Book,
    pub(super) gate: Gate,
    script: Mutex<Arc<Script>>,
    /// `None` when nothing is limited.
    meters: Option<Mutex<Meters>>,
    start: Instant,
}

/// A request with all that is known about it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) arrival: Arrival<'a>,
    pub(super) question: Result<&'a Question<'a>, &'a Refusal>,
    pub(super) stamp: Stamp,
}

/// An endpoint of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Chat,
    Completions,
    Embeddings,
    Models,
}

impl Provider {
    /// Makes a provider as the configuration says.
    pub(super) fn new(mut config: Config) -> Self {
        config.personality.fill_in(&mut config.limits);
        let meters = Meters::new(config.limits.clone());
        Self {
            ledger: Book::new(config.record),
            gate: Gate::default(),
            script: Mutex::new(Arc::new(config.script.clone())),
            meters: (!meters.is_unlimited()).then(|| Mutex::new(meters)),
            start: Instant::now(),
            config,
        }
    }

    /// Replaces the script.
    pub(super) fn set_script(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Counts a request and decides what will happen to it.
    pub(super) fn decide(&self, head: &Parts, body: &[u8]) -> (Plan, Flight<'_>) {
        let question = if head.method == Method::POST {
            Question::parse(body)
        } else {
            Ok(Question::default())
        };
        let asked = question.as_ref().ok();
        let prompt = asked.and_then(Question::prompt);
        let hash = prompt.map(|prompt| digest(prompt.as_bytes()));
        let key = bearer(head).unwrap_or_default();
        let (count, flight) = self.ledger.arrive(key, hash);
        let request = Request {
            method: &head.method,
            arrival: Arrival {
                path: head.uri.path(),
                key,
                model: asked.map(Question::model).unwrap_or_default(),
                prompt: prompt.unwrap_or_default(),
                body,
                number: count.number,
                turn: count.turn,
                of_key: count.of_key,
            },
            question: question.as_ref(),
            stamp: Stamp {
                seed: self.config.seed,
                prompt: hash.unwrap_or_default(),
                turn: count.turn,
                created: self.config.created,
            },
        };
        let script = Arc::clone(&self.script.lock().unwrap_or_else(PoisonError::into_inner));
        let plan = match script.reaction(&request.arrival) {
            Some(reaction) => self.react(reaction, &request),
            None => self.treat(&request),
        };
        let plan = plan.numbered(count.number);
        self.ledger.note(&request.arrival, plan.status());
        (plan, flight)
    }

    /// Treats a request as the configuration says.
    pub(super) fn treat(&self, request: &Request<'_>) -> Plan {
        let endpoint = match self.admit(request) {
            Ok(endpoint) => endpoint,
            Err(reply) => return Plan::reply(*reply),
        };
        if endpoint == Endpoint::Models {
            return Plan::reply(self.models());
        }
        let levels = match self.meter(request) {
            Ok(levels) => levels,
            Err(reply) => return Plan::reply(*reply),
        };
        let mut dice = Dice::new(self.config.seed, request.stamp.prompt, request.stamp.turn);
        if let Some(fault) = self.config.faults.draw(&mut dice) {
            return self.react(fault, request);
        }
        let mut reply = self.fulfil(endpoint, request);
        throttle::write(levels, reply.headers_mut());
        Plan::reply(reply).after(self.config.latency.draw(&mut dice))
    }

    /// Makes the answer that a request gets when no limit and no chance is against it.
    pub(super) fn answer(&self, request: &Request<'_>) -> SimulatedResponse {
        match self.admit(request) {
            Ok(endpoint) => self.fulfil(endpoint, request),
            Err(reply) => *reply,
        }
    }

    /// Says which endpoint a request is for, when there is nothing against it but limits.
    fn admit(&self, request: &Request<'_>) -> Result<Endpoint, Box<SimulatedResponse>> {
        let personality = self.config.personality;
        let dress = |refusal: Refusal| Box::new(refusal.reply(personality));
        let endpoint = endpoint(request.method, request.arrival.path).map_err(dress)?;
        self.check_key(request.arrival.key)?;
        if endpoint != Endpoint::Models {
            self.check_question(endpoint, request).map_err(dress)?;
        }
        Ok(endpoint)
    }

    fn check_key(&self, key: &str) -> Result<(), Box<SimulatedResponse>> {
        let Config {
            personality,
            keys,
            refused,
            ..
        } = &self.config;
        let refusal = if key.is_empty() {
            personality.no_key()
        } else if let Some(refusal) = refused.get(key) {
            return Err(Box::new(refusal.reply(*personality, key)));
        } else if keys.iter().any(|known| known == key)
            || (keys.is_empty() && personality.takes_key(key))
        {
            return Ok(());
        } else {
            personality.bad_key(key)
        };
        Err(Box::new(refusal.reply(*personality)))
    }

    fn check_question(&self, endpoint: Endpoint, request: &Request<'_>) -> Result<(), Refusal> {
        let personality = self.config.personality;
        let question = request.question.map_err(Refusal::clone)?;
        let (model, key) = (question.model(), request.arrival.key);
        if model.is_empty() {
            return Err(refusal::missing("model"));
        }
        if !self.knows(model) {
            return Err(personality.unknown_model(model, key));
        }
        let embeds = model.contains("embedding");
        match endpoint {
            Endpoint::Completions => return Err(personality.not_for_completions(key)),
            Endpoint::Chat if embeds => return Err(personality.not_for_chat(key)),
            Endpoint::Chat => question.check_chat()?,
            Endpoint::Embeddings if !embeds => return Err(personality.not_for_embeddings(key)),
            Endpoint::Embeddings if question.texts().next().is_none() => {
                return Err(refusal::missing("input"));
            }
            Endpoint::Embeddings | Endpoint::Models => {}
        }
        personality.check_input(question.tokens())
    }

    fn knows(&self, model: &str) -> bool {
        let models = &self.config.models;
        if models.is_empty() {
            self.config.personality.knows(model)
        } else {
            models.iter().any(|known| known == model)
        }
    }

    /// Takes a request off the limits of its key.
    fn meter(&self, request: &Request<'_>) -> Result<Levels, Box<SimulatedResponse>> {
        let (Some(meters), Ok(question)) = (&self.meters, request.question) else {
            return Ok(Levels::default());
        };
        let tokens = question.max_tokens().unwrap_or(ANSWER_TOKENS);
        let tokens = u32::try_from(question.tokens().saturating_add(tokens)).unwrap_or(u32::MAX);
        let (levels, taken) = meters.lock().unwrap_or_else(PoisonError::into_inner).take(
            request.arrival.key,
            tokens,
            self.start.elapsed(),
        );
        taken.map(|()| levels).map_err(|reached| {
            let personality = self.config.personality;
            let retry_after = self.config.limits.retry_after;
            let refusal = personality.limited(question.model(), &reached, retry_after);
            let mut reply = refusal.reply(personality);
            throttle::write(levels, reply.headers_mut());
            Box::new(reply)
        })
    }

    /// Makes the answer of an endpoint to a request that it admits.
    fn fulfil(&self, endpoint: Endpoint, request: &Request<'_>) -> SimulatedResponse {
        match (endpoint, request.question) {
            (Endpoint::Models, _) => self.models(),
            (Endpoint::Embeddings, Ok(question)) => embeddings::embed(question, self.config.seed),
            (_, Ok(question)) => chat::answer(question, request.stamp),
            (_, Err(refusal)) => refusal.reply(self.config.personality),
        }
    }

    fn models(&self) -> SimulatedResponse {
        let Config {
            personality,
            models,
            created,
            ..
        } = &self.config;
        if models.is_empty() {
            chat::models(personality.models().iter().copied(), *created)
        } else {
            chat::models(models.iter().map(String::as_str), *created)
        }
    }
}

/// Finds the endpoint at a path.
fn endpoint(method: &Method, path: &str) -> Result<Endpoint, Refusal> {
    let (endpoint, proper) = match path {
        "/v1/chat/completions" => (Endpoint::Chat, Method::POST),
        "/v1/completions" => (Endpoint::Completions, Method::POST),
        "/v1/embeddings" => (Endpoint::Embeddings, Method::POST),
        "/v1/models" => (Endpoint::Models, Method::GET),
        _ => return Err(refusal::no_such_url(method.as_str(), path)),
    };
    if *method == proper {
        Ok(endpoint)
    } else {
        Err(refusal::wrong_method(method.as_str(), path))
    }
}

/// Takes the key out of the `Authorization` header.
fn bearer(head: &Parts) -> Option<&str> {
    let (scheme, key) = head
        .headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
