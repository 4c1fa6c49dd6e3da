//! The client: sends one HTTP request and receives its whole response. It never retries, does not
//! follow redirects and stores no cookies.

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

use super::completion::{self, ParsedCompletion};
use super::context::ParseContext;
use super::endpoint::Endpoint;
use super::headers::{self, RateHeaders};
use super::limits::ClientLimits;
use super::response::{self, SuccessBody};
use super::transport;
use crate::api::Api;
use crate::domain::failure::{ErrorResponse, Failure};
use crate::domain::time::Timestamp;

/// How long an idle connection is kept open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

const USER_AGENT: &str = concat!("promptmill/", env!("CARGO_PKG_VERSION"));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The outcome of a request, with data from the response headers.
#[derive(Clone, Debug)]
pub struct Exchange<T = ParsedCompletion> {
    /// The parsed response, or the failure.
    pub outcome: Result<T, Failure>,
    /// The rate limits reported with the response.
    pub rate: RateHeaders,
    /// The provider's request ID; empty if none was sent.
    pub request_id: String,
    /// The HTTP status; `None` without a response.
    pub status: Option<u16>,
    /// The time from sending the request to the last byte of the response, or to the failure.
    pub latency: Duration,
    /// How far the endpoint's clock (the `Date` header) is ahead of ours, in milliseconds. `None`
    /// without that header.
    pub clock_ahead: Option<i64>,
}

/// An endpoint that is only probed, to find out whether it serves a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// `/completions`, the legacy API.
    Completions,
    /// `/embeddings`.
    Embeddings,
}

impl ProbeTarget {
    /// Returns the path relative to the base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
        }
    }
}

/// Why a client cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The system has no CA certificates.
    #[error(
        "no CA certificates found on this system\nhint: install the `ca-certificates` package, or set SSL_CERT_FILE"
    )]
    NoTrustStore,
    /// Any other error of the HTTP library.
    #[error(
        "cannot set up the HTTP client: {0}\nhint: check the proxy settings and the CA certificates of this system"
    )]
    Setup(String),
}

/// Sends requests to one endpoint. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    limits: ClientLimits,
    http: reqwest::Client,
}

impl Client {
    /// Creates a client without connecting. It uses the system's proxy, except for loopback hosts.
    pub fn new(endpoint: Endpoint, limits: ClientLimits) -> Result<Self, ClientError> {
        let http = build(&endpoint, limits)?;
        Ok(Self {
            endpoint,
            limits,
            http,
        })
    }

    /// Creates a client with the same settings and new connections, for use when the old
    /// connections seem stale.
    pub fn reconnect(&self) -> Result<Self, ClientError> {
        Self::new(self.endpoint.clone(), self.limits)
    }

    /// Returns the endpoint that requests are sent to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request once and receives the whole response. `now` is the current time.
    ///
    /// A key that is not valid in a header is not sent; the result is the same as for a key that
    /// the provider rejects.
    pub async fn send(
        &self,
        api: Api,
        body: Bytes,
        key: Option<&SecretString>,
        now: Timestamp,
    ) -> Exchange {
        let request = self
            .http
            .post(self.endpoint.url(api))
            .header(CONTENT_TYPE, JSON)
            .body(body);
        self.exchange(request, key, now, |success, context| {
            completion::parse(api, success, context)
        })
        .await
    }

    /// Lists the IDs of the endpoint's models. `now` is the current time.
    pub async fn models(
        &self,
        key: Option<&SecretString>,
        now: Timestamp,
    ) -> Exchange<Vec<String>> {
        let request = self.http.get(self.endpoint.join("/models"));
        self.exchange(request, key, now, completion::parse_models)
            .await
    }

    /// Sends a request to another endpoint, to find out whether it succeeds. `now` is the current
    /// time.
    pub async fn probe(
        &self,
        target: ProbeTarget,
        body: Bytes,
        key: Option<&SecretString>,
        now: Timestamp,
    ) -> Exchange<()> {
        let url = self.endpoint.join(target.path());
        let request = self.http.post(url).header(CONTENT_TYPE, JSON).body(body);
        self.exchange(request, key, now, completion::parse_probe)
            .await
    }

    async fn exchange<T>(
        &self,
        request: RequestBuilder,
        key: Option<&SecretString>,
        now: Timestamp,
        parse: impl FnOnce(SuccessBody, ParseContext<'_>) -> Result<T, Failure>,
    ) -> Exchange<T> {
        let started = Instant::now();
        let request = match authorize(request.header(ACCEPT, JSON), key) {
            Ok(request) => request,
            Err(failure) => return Exchange::without_response(failure, started),
        };
        let secret = key.map(ExposeSecret::expose_secret);
        let known_keys = secret.as_slice();
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let failure = response::transport_error(&error, known_keys);
                return Exchange::without_response(failure, started);
            }
        };
        let context = ParseContext {
            known_keys,
            received_at: now + started.elapsed(),
        };
        let status = Some(response.status().as_u16());
        let rate = RateHeaders::parse(response.headers(), context);
        let request_id = headers::request_id(response.headers(), context);
        let clock_ahead = headers::date(response.headers())
            .map(|date| date.as_millis() - context.received_at.as_millis());
        let received = response::receive(response, &self.limits, context).await;
        let latency = started.elapsed();
        let outcome = received.and_then(|success| parse(success, context));
        Exchange {
            outcome,
            rate,
            request_id,
            status,
            latency,
            clock_ahead,
        }
    }
}

impl<T> Exchange<T> {
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
        // An error means that another thread has installed the same provider.
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
        // Without TLS, CA certificates are neither required nor loaded.
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
    // Other bytes could inject a second header.
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err(invalid_key_failure());
    }
    let mut value = BytesMut::with_capacity("Bearer ".len() + key.len());
    value.put_slice(b"Bearer ");
    value.put_slice(key);
    let mut value =
        HeaderValue::from_maybe_shared(value.freeze()).map_err(|_| invalid_key_failure())?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

fn invalid_key_failure() -> Failure {
    Failure::ErrorResponse(ErrorResponse {
        status: 401,
        code: "invalid_api_key".to_owned(),
        message:
            "the API key was not sent: it contains whitespace, a control character or a non-ASCII character"
                .to_owned(),
        ..ErrorResponse::default()
    })
}
