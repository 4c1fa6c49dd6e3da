//! The client: one HTTP request and its whole response. It never retries, follows no redirect and
//! keeps no cookies; it knows the address, the limits of time and size, and nothing of jobs.

#![expect(
    clippy::result_large_err,
    reason = "a failure is data and moves once per request"
)]

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::base_url::Endpoint;
use super::completion::{self, ParsedCompletion};
use super::headers::{self, RateHeaders};
use super::response::{self, Reading, Received};
use super::transport;
use crate::domain::failure::{Failure, Refusal};
use crate::domain::request_template::Api;
use crate::domain::time::Timestamp;

/// How long a connection that nobody uses is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How providers see us.
const USER_AGENT: &str = concat!("promptmill/", env!("CARGO_PKG_VERSION"));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// The longest that a connection may take to come about, name and encryption included.
    pub connect_timeout: Duration,
    /// The longest that a request may take, from connecting to the last byte of the response.
    pub total_timeout: Duration,
    /// The largest response that is read, in bytes.
    pub response_cap: usize,
    /// How much is read of the body of an error, in bytes.
    pub error_cap: usize,
}

impl Default for ClientLimits {
    /// 10 s and 300 s; 8 MiB and 64 KiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(5),
            response_cap: 8 * 1024 * 1024,
            error_cap: 64 * 1024,
        }
    }
}

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Attempt<T = ParsedCompletion> {
    /// The answer, or how it went wrong.
    pub outcome: Result<T, Failure>,
    /// The provider's word on its limits, sent with answers and refusals alike.
    pub rate: RateHeaders,
    /// The id under which the provider knows this request; empty when it told none.
    pub request_id: String,
    /// The HTTP status; `None` when no response came.
    pub status: Option<u16>,
    /// The time from sending the request to the last byte of the response, or to the fault.
    pub latency: Duration,
    /// How far the endpoint's clock (`date`) is ahead of ours, in milliseconds; negative when it is
    /// behind. `None` when it told no time.
    pub clock_ahead: Option<i64>,
}

/// An endpoint beside chat completions, asked only to learn which one serves a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// `/completions`, from before there were chats.
    Completions,
    /// `/embeddings`.
    Embeddings,
}

impl Other {
    /// Returns its path below the base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
        }
    }
}

/// Why a client cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The system has no certificates to trust.
    #[error(
        "no certificate authority is known to this system\nhint: install the package `ca-certificates`, or set SSL_CERT_FILE"
    )]
    NoTrustStore,
    /// Anything else: the words of the library.
    #[error(
        "the HTTP client could not be set up: {0}\nhint: look at the proxy settings and the certificates of this system"
    )]
    Setup(String),
}

/// Sends requests to one endpoint. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    limits: ClientLimits,
    http: reqwest::Client,
}

impl Client {
    /// Makes a client without connecting. A proxy of the system is used, except to this machine.
    pub fn new(endpoint: Endpoint, limits: ClientLimits) -> Result<Self, ClientError> {
        let http = build(&endpoint, limits)?;
        Ok(Self {
            endpoint,
            limits,
            http,
        })
    }

    /// Makes a client with the same settings and new connections, for when the old ones seem stale.
    pub fn fresh(&self) -> Result<Self, ClientError> {
        Self::new(self.endpoint.clone(), self.limits)
    }

    /// Returns where the requests go.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts a request, once, and reads the whole response. `now` is the time at the call.
    ///
    /// A key that no header can hold is not sent: the attempt ends like one with a refused key.
    pub async fn send(
        &self,
        api: Api,
        body: Bytes,
        key: Option<&SecretString>,
        now: Timestamp,
    ) -> Attempt {
        let request = self
            .http
            .post(self.endpoint.of(api).clone())
            .header(CONTENT_TYPE, JSON)
            .body(body);
        self.exchange(request, key, now, completion::reader(api))
            .await
    }

    /// Lists the ids of the models that the endpoint offers. `now` is the time at the call.
    pub async fn models(&self, key: Option<&SecretString>, now: Timestamp) -> Attempt<Vec<String>> {
        let request = self.http.get(self.endpoint.models().clone());
        self.exchange(request, key, now, completion::models).await
    }

    /// Posts a request to an endpoint beside chat completions, once, and tells whether it serves it.
    /// `now` is the time at the call.
    pub async fn probe(
        &self,
        other: Other,
        body: Bytes,
        key: Option<&SecretString>,
        now: Timestamp,
    ) -> Attempt<()> {
        let url = format!("{}{}", self.endpoint.display(), other.path());
        let request = self.http.post(url).header(CONTENT_TYPE, JSON).body(body);
        self.exchange(request, key, now, completion::any).await
    }

    async fn exchange<T>(
        &self,
        request: RequestBuilder,
        key: Option<&SecretString>,
        now: Timestamp,
        read: impl FnOnce(Received, Reading<'_>) -> Result<T, Failure>,
    ) -> Attempt<T> {
        let started = Instant::now();
        let request = match authorize(request.header(ACCEPT, JSON), key) {
            Ok(request) => request,
            Err(failure) => return Attempt::without_response(failure, started),
        };
        let secret = key.map(ExposeSecret::expose_secret);
        let known = secret.as_slice();
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Attempt::without_response(response::no_response(&error, known), started);
            }
        };
        let reading = Reading {
            known,
            now: now + started.elapsed(),
        };
        let status = Some(response.status().as_u16());
        let rate = RateHeaders::read(response.headers(), known);
        let request_id = headers::request_id(response.headers(), known);
        let told = headers::date(response.headers());
        let clock_ahead = told.map(|told| told.as_millis() - reading.now.as_millis());
        let received = response::receive(response, &self.limits, reading).await;
        let latency = started.elapsed();
        let outcome = received.and_then(|received| read(received, reading));
        Attempt {
            outcome,
            rate,
            request_id,
            status,
            latency,
            clock_ahead,
        }
    }
}

impl<T> Attempt<T> {
    fn without_response(failure: Failure, started: Instant) -> Self {
        Self {
            outcome: Err(failure),
            rate: RateHeaders::default(),
            request_id: String::new(),
            status: None,
            latency: started.elapsed(),
            clock_ahead: None,
        }
    }
}

fn build(endpoint: &Endpoint, limits: ClientLimits) -> Result<reqwest::Client, ClientError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing this race to another thread is as good as winning it.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(limits.connect_timeout)
        .timeout(limits.total_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(usize::MAX)
        .tcp_nodelay(true)
        .https_only(endpoint.is_https());
    if endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    if !endpoint.is_https() {
        // Nothing is encrypted here, so the system's certificates need not be there, nor be read.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| client_error(&error))
}

fn client_error(error: &reqwest::Error) -> ClientError {
    let detail = transport::detail(error);
    if detail.contains("No CA certificates") {
        ClientError::NoTrustStore
    } else {
        ClientError::Setup(detail)
    }
}

fn authorize(
    request: RequestBuilder,
    key: Option<&SecretString>,
) -> Result<RequestBuilder, Failure> {
    let Some(key) = key else { return Ok(request) };
    let key = key.expose_secret().as_bytes();
    // Other bytes could end the header and begin another one.
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err(unsendable_key());
    }
    let mut value = BytesMut::with_capacity("Bearer ".len() + key.len());
    value.put_slice(b"Bearer ");
    value.put_slice(key);
    let mut value = HeaderValue::from_maybe_shared(value.freeze()).map_err(|_| unsendable_key())?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

fn unsendable_key() -> Failure {
    Failure::Refused(Refusal {
        status: 401,
        code: "invalid_api_key".to_owned(),
        message:
            "the key was not sent: it holds a blank, a control character or a letter beyond ASCII"
                .to_owned(),
        ..Refusal::default()
    })
}
