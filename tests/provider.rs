//! Tests of the provider client against local servers that behave correctly and incorrectly.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use promptmill::api::Api;
use promptmill::domain::failure::{
    Failure, InvalidResponse, ResponseProblem, TransportError, TransportErrorKind,
};
use promptmill::domain::time::Timestamp;
use promptmill::provider::{
    Client, ClientError, ClientLimits, Endpoint, Exchange, ParsedCompletion, ProbeTarget,
};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "sk-canary-0123456789abcdef";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// How a server responds to a request.
#[derive(Clone)]
enum Behavior {
    /// Sends a text and waits for the next request.
    Respond(String),
    /// Sends a text and closes the connection.
    Close(String),
    /// Sends a text and resets the connection.
    Reset(String),
    /// Sends a text and nothing more.
    Hang(String),
    /// Sends the first text, then the second repeatedly, with a pause after each.
    Repeat(String, String, Duration),
}

/// A local endpoint with the same behavior for every request.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}/v1", listener.local_addr().expect("address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (received, count) = (Arc::clone(&requests), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, behavior.clone(), Arc::clone(&received)));
            }
        });
        Self {
            base,
            requests,
            connections,
        }
    }

    fn client(&self, limits: ClientLimits) -> Client {
        client(&self.base, limits).expect("client")
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("unpoisoned").clone()
    }
}

fn client(base: &str, limits: ClientLimits) -> Result<Client, ClientError> {
    let (endpoint, _) = Endpoint::parse(base).expect("base URL");
    Client::new(endpoint, limits)
}

async fn serve(
    stream: TcpStream,
    behavior: Behavior,
    received: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read_request(&mut stream).await?;
        received.lock().expect("unpoisoned").push(request);
        match &behavior {
            Behavior::Respond(text) => stream.write_all(text.as_bytes()).await?,
            Behavior::Close(text) => return stream.write_all(text.as_bytes()).await,
            Behavior::Reset(text) => {
                stream.write_all(text.as_bytes()).await?;
                return stream.get_ref().set_zero_linger();
            }
            Behavior::Hang(text) => {
                stream.write_all(text.as_bytes()).await?;
                // Returns when the client closes the connection.
                return stream.read_u8().await.map(|_| ());
            }
            Behavior::Repeat(first, then, pause) => {
                stream.write_all(first.as_bytes()).await?;
                loop {
                    stream.write_all(then.as_bytes()).await?;
                    tokio::time::sleep(*pause).await;
                }
            }
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("length");
        }
        request += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(request + &String::from_utf8(body).expect("UTF-8"))
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn json(status: &str, body: &str) -> Behavior {
    Behavior::Respond(http(status, "content-type: application/json\r\n", body))
}

async fn send(client: &Client) -> Exchange {
    let key = SecretString::from(KEY);
    let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
    let exchange = client.send(Api::Chat, body, Some(&key), NOW).await;
    let shown = format!("{client:?} {exchange:?}");
    assert!(!shown.contains(KEY), "{shown}");
    exchange
}

async fn exchange_with(behavior: Behavior, limits: ClientLimits) -> Exchange {
    let server = Server::start(behavior).await;
    let exchange = send(&server.client(limits)).await;
    assert_eq!(server.requests().len(), 1, "not exactly one request");
    exchange
}

async fn completion(body: &str) -> ParsedCompletion {
    let exchange = exchange_with(json("200 OK", body), ClientLimits::default()).await;
    exchange.outcome.expect("a completion")
}

async fn invalid_response(behavior: Behavior) -> InvalidResponse {
    match exchange_with(behavior, ClientLimits::default())
        .await
        .outcome
    {
        Err(Failure::InvalidResponse(invalid_response)) => invalid_response,
        other => panic!("{other:?}"),
    }
}

async fn transport_error(behavior: Behavior, limits: ClientLimits) -> TransportError {
    match exchange_with(behavior, limits).await.outcome {
        Err(Failure::Transport(transport_error)) => transport_error,
        other => panic!("{other:?}"),
    }
}

fn with_timeout(total_timeout: Duration) -> ClientLimits {
    ClientLimits {
        total_timeout,
        ..ClientLimits::default()
    }
}

/// A timeout that is long enough for any local response, and short enough for a test with an
/// endless body.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);

const GOOD: &str = r#"{"model":"m-1","choices":[{"finish_reason":"stop","message":{"content":"4"}}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;

#[tokio::test]
async fn returns_a_completion_with_its_body_and_headers() {
    let headers = "x-request-id: req-1\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-tokens: 1m3s\r\n";
    let exchange = exchange_with(
        Behavior::Respond(http("200 OK", headers, GOOD)),
        ClientLimits::default(),
    )
    .await;
    assert_eq!(exchange.status, Some(200));
    assert_eq!(exchange.request_id, "req-1");
    assert_eq!(exchange.rate.remaining_requests.as_deref(), Some("59"));
    assert_eq!(exchange.rate.reset_tokens.as_deref(), Some("1m3s"));
    assert_eq!(exchange.rate.limit_tokens, None);
    assert!(exchange.latency > Duration::ZERO);
    let parsed = exchange.outcome.expect("a completion");
    assert_eq!(parsed.body, GOOD);
    assert_eq!(parsed.metadata.model, "m-1");
    assert_eq!(parsed.metadata.finish_reason, "stop");
    assert_eq!(parsed.metadata.prompt_tokens, Some(2));
    assert_eq!(parsed.metadata.completion_tokens, Some(1));
    let shown = format!("{parsed:?}");
    assert!(!shown.contains("content"), "{shown}");
}

#[tokio::test]
async fn sends_the_query_of_the_base_url_with_each_request() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let base = format!("{}?api-version=2024-10-21", server.base);
    let client = client(&base, ClientLimits::default()).expect("client");
    let _ = send(&client).await;
    let _ = client.models(None, NOW).await;
    let body = Bytes::from_static(b"{}");
    let _ = client
        .probe(ProbeTarget::Completions, body, None, NOW)
        .await;
    let requests = server.requests();
    let lines: Vec<_> = requests
        .iter()
        .filter_map(|text| text.lines().next())
        .collect();
    assert_eq!(
        lines,
        [
            "POST /v1/chat/completions?api-version=2024-10-21 HTTP/1.1",
            "GET /v1/models?api-version=2024-10-21 HTTP/1.1",
            "POST /v1/completions?api-version=2024-10-21 HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn sends_the_key_only_in_the_authorization_header() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let client = server.client(ClientLimits::default());
    send(&client).await.outcome.expect("a completion");
    let without = client
        .send(Api::Chat, Bytes::from_static(b"{}"), None, NOW)
        .await;
    without.outcome.expect("a completion");
    let [with, without] = &server.requests()[..] else {
        panic!("expected two requests")
    };
    assert!(
        with.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{with}"
    );
    assert!(
        with.contains(&format!("authorization: Bearer {KEY}\r\n")),
        "{with}"
    );
    assert_eq!(with.matches(KEY).count(), 1, "{with}");
    assert!(
        with.contains("content-type: application/json\r\n"),
        "{with}"
    );
    assert!(with.contains("user-agent: promptmill/"), "{with}");
    assert!(
        with.ends_with("\r\n\r\n{\"model\":\"m\",\"messages\":[]}"),
        "{with}"
    );
    assert!(!without.contains("authorization"), "{without}");
}

#[tokio::test]
async fn keys_that_are_invalid_in_headers_are_rejected_without_sending() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let client = server.client(ClientLimits::default());
    for key in ["sk-canary\r\nx-evil: 1", "sk-canary key", "sk-cänary"] {
        let exchange = client
            .send(Api::Chat, Bytes::new(), Some(&SecretString::from(key)), NOW)
            .await;
        let shown = format!("{exchange:?}");
        assert!(!shown.contains("sk-c"), "{shown}");
        let Err(Failure::ErrorResponse(response)) = exchange.outcome else {
            panic!("{shown}")
        };
        assert_eq!(
            (response.status, response.code.as_str()),
            (401, "invalid_api_key")
        );
        assert_eq!(exchange.status, None);
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn redacts_keys_in_responses() {
    let echo = GOOD.replace('4', KEY);
    let headers = format!("x-request-id: {KEY}\r\nx-ratelimit-limit-tokens: {KEY}\r\n");
    let exchange = exchange_with(
        Behavior::Respond(http("200 OK", &headers, &echo)),
        ClientLimits::default(),
    )
    .await;
    assert_eq!(exchange.request_id, "");
    let body = exchange.outcome.expect("a completion").body;
    assert_eq!(body, GOOD.replace('4', "[redacted]"));
}

#[tokio::test]
async fn tool_calls_are_a_completion() {
    let body = r#"{"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"1"}]}}]}"#;
    assert_eq!(completion(body).await.metadata.finish_reason, "tool_calls");
}

#[tokio::test]
async fn accepts_blank_lines_and_a_byte_order_mark_before_the_json() {
    assert_eq!(
        completion(&format!("\n\n{GOOD}")).await.metadata.model,
        "m-1"
    );
    assert_eq!(completion(&format!("\u{feff}{GOOD}")).await.body, GOOD);
}

#[tokio::test]
async fn a_success_response_without_a_completion_is_a_failure() {
    use ResponseProblem::{Declined, Empty, Html, NoChoices, NoContent, UnexpectedFormat};
    let refused = r#"{"choices":[{"finish_reason":"stop","message":{"content":null,"refusal":"I will not"}}]}"#;
    let filtered =
        r#"{"choices":[{"finish_reason":"content_filter","message":{"content":"half an"}}]}"#;
    let reasoning_only = r#"{"choices":[{"finish_reason":"length","message":{"content":"","reasoning_content":"hm"}}]}"#;
    let other_format = r#"{"type":"message","content":[{"type":"text","text":"half an"}]}"#;
    let cut = &GOOD[..GOOD.len() - 9];
    let stream = r#"data: {"choices":[{"delta":{"content":"half an"}}]}"#;
    for (body, problem, excerpt) in [
        ("", Empty, ""),
        (" \n", Empty, ""),
        (
            "<!doctype html><title>Log in</title>",
            Html,
            "<!doctype html><title>Log in</title>",
        ),
        ("upstream is away", UnexpectedFormat, "upstream is away"),
        (
            cut,
            UnexpectedFormat,
            "truncated JSON at line 1, column 119",
        ),
        (
            r#"{"choices":"half an"}"#,
            UnexpectedFormat,
            "unexpected JSON structure at line 1, column 20",
        ),
        (stream, UnexpectedFormat, "event stream instead of JSON"),
        (
            r#"{"choices":[]}"#,
            NoChoices,
            "JSON object with the fields choices",
        ),
        (
            other_format,
            NoChoices,
            "JSON object with the fields content, type",
        ),
        (
            r#"{"choices":[{"message":{"content":null}}]}"#,
            NoContent,
            "no finish_reason",
        ),
        (reasoning_only, NoContent, "finish_reason: length"),
        (refused, Declined, "I will not"),
        (filtered, Declined, "finish_reason: content_filter"),
    ] {
        let error = invalid_response(json("200 OK", body)).await;
        assert_eq!(
            (error.problem, error.excerpt.as_str()),
            (problem, excerpt),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_success_response_with_an_html_content_type_is_a_failure() {
    let page = http(
        "200 OK",
        "content-type: text/html\r\nx-request-id: r\r\n",
        "Please log in",
    );
    let error = invalid_response(Behavior::Respond(page)).await;
    assert_eq!(
        (error.problem, error.request_id.as_str()),
        (ResponseProblem::Html, "r")
    );
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_an_invalid_response() {
    let length = http("200 OK", "", "xx").replace("xx", "");
    let server = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let base = format!("http://{}/v1", server.local_addr().expect("address"));
    tokio::spawn(async move {
        let (stream, _) = server.accept().await?;
        let mut stream = BufReader::new(stream);
        read_request(&mut stream).await?;
        stream.write_all(length.as_bytes()).await?;
        stream.write_all(b"\xff\xfe").await
    });
    let exchange = send(&client(&base, ClientLimits::default()).expect("client")).await;
    let Err(Failure::InvalidResponse(error)) = exchange.outcome else {
        panic!("{exchange:?}")
    };
    assert_eq!(error.problem, ResponseProblem::UnexpectedFormat);
}

#[tokio::test]
async fn an_error_inside_a_success_response_is_an_error_response() {
    let whole = r#"{"error":{"code":503,"message":"no instance left"}}"#;
    let with_choices = r#"{"error":{"code":503,"message":"no instance left"},"choices":[{"message":{"content":"half"}}]}"#;
    let choice = r#"{"choices":[{"error":{"code":503,"message":"no instance left"},"finish_reason":"error","message":{"content":"half"}}]}"#;
    for body in [whole, with_choices, choice] {
        let exchange = exchange_with(json("200 OK", body), ClientLimits::default()).await;
        assert_eq!(exchange.status, Some(200));
        let Err(Failure::ErrorResponse(response)) = exchange.outcome else {
            panic!("{body}: {exchange:?}")
        };
        assert_eq!(
            (response.status, response.message.as_str()),
            (503, "no instance left"),
            "{body}"
        );
    }
    let without_message = r#"{"choices":[{"finish_reason":"error","message":{"content":"half"}}]}"#;
    let exchange = exchange_with(json("200 OK", without_message), ClientLimits::default()).await;
    let Err(Failure::ErrorResponse(response)) = exchange.outcome else {
        panic!("{exchange:?}")
    };
    assert_eq!(response.status, 502);
}

#[tokio::test]
async fn error_responses_keep_their_status_and_message() {
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "429 Too Many Requests",
        "503 Away",
    ] {
        let body = format!(r#"{{"error":{{"message":"not with {KEY}"}}}}"#);
        let exchange = exchange_with(json(status, &body), ClientLimits::default()).await;
        let number: u16 = status[..3].parse().expect("status");
        assert_eq!(exchange.status, Some(number));
        let Err(Failure::ErrorResponse(response)) = exchange.outcome else {
            panic!("{exchange:?}")
        };
        assert_eq!(response.status, number);
        assert!(
            response.message.starts_with("not with "),
            "{}",
            response.message
        );
    }
}

#[tokio::test]
async fn error_responses_with_an_incomplete_or_endless_body_are_error_responses() {
    let half = "HTTP/1.1 401 No\r\ncontent-length: 99\r\n\r\nnot with this key".to_owned();
    let endless = "HTTP/1.1 401 No\r\n\r\n".to_owned();
    let short_timeout = with_timeout(Duration::from_millis(200));
    for (behavior, limits) in [
        (Behavior::Close(half.clone()), ClientLimits::default()),
        (Behavior::Hang(half), short_timeout),
        (
            Behavior::Repeat(endless, "x".repeat(8192), Duration::ZERO),
            with_timeout(LONG_TIMEOUT),
        ),
    ] {
        let exchange = exchange_with(behavior, limits).await;
        assert!(exchange.latency < LONG_TIMEOUT, "{exchange:?}");
        let Err(Failure::ErrorResponse(response)) = exchange.outcome else {
            panic!("{exchange:?}")
        };
        assert_eq!(response.status, 401);
        assert!(!response.message.is_empty());
    }
}

#[tokio::test]
async fn does_not_follow_redirects() {
    let target = Server::start(json("200 OK", GOOD)).await;
    for status in ["301 Moved", "302 Found", "307 Elsewhere", "308 Moved"] {
        let location = format!("location: {}/chat/completions\r\n", target.base);
        let exchange = exchange_with(
            Behavior::Respond(http(status, &location, "")),
            ClientLimits::default(),
        )
        .await;
        let Err(Failure::ErrorResponse(response)) = exchange.outcome else {
            panic!("{exchange:?}")
        };
        assert_eq!(response.status, status[..3].parse::<u16>().expect("status"));
        assert!(
            response.redirect_to.contains("127.0.0.1"),
            "{}",
            response.redirect_to
        );
    }
    assert_eq!(target.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let base = format!("http://{}/v1", listener.local_addr().expect("address"));
    drop(listener);
    let exchange = send(&client(&base, ClientLimits::default()).expect("client")).await;
    let Err(Failure::Transport(error)) = exchange.outcome else {
        panic!("{exchange:?}")
    };
    assert_eq!(error.kind, TransportErrorKind::Connect);
    assert!(error.detail.contains("refused"), "{}", error.detail);
    assert!(!error.detail.contains("http:"), "{}", error.detail);
    assert_eq!(exchange.status, None);
}

#[tokio::test]
async fn an_interrupted_connection_is_reported_as_broken() {
    let half = http("200 OK", "", GOOD)[..90].to_owned();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"cho\r\n".to_owned();
    let long = http("200 OK", "", GOOD).replace("content-length: 1", "content-length: 9");
    for behavior in [
        Behavior::Reset(String::new()),
        Behavior::Close(String::new()),
        Behavior::Reset(half.clone()),
        Behavior::Close(half),
        Behavior::Close(long),
        Behavior::Close(chunked),
        Behavior::Close("HTTP/1.1 200".to_owned()),
        Behavior::Close("SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
    ] {
        let error = transport_error(behavior, ClientLimits::default()).await;
        assert_eq!(error.kind, TransportErrorKind::Broken, "{}", error.detail);
        assert!(
            !error.detail.is_empty() && !error.detail.contains("http:"),
            "{}",
            error.detail
        );
    }
}

#[tokio::test]
async fn a_content_length_that_is_too_small_truncates_the_json() {
    let short = http("200 OK", "", &GOOD[..40]) + &GOOD[40..];
    let error = invalid_response(Behavior::Close(short)).await;
    assert_eq!(error.problem, ResponseProblem::UnexpectedFormat);
}

#[tokio::test]
async fn the_timeout_applies_to_silent_and_to_slow_responses() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n".to_owned();
    let drip = Behavior::Repeat(head.clone(), " ".to_owned(), Duration::from_millis(10));
    for behavior in [Behavior::Hang(String::new()), Behavior::Hang(head), drip] {
        let limits = with_timeout(Duration::from_millis(200));
        let server = Server::start(behavior).await;
        let exchange = send(&server.client(limits)).await;
        assert!(exchange.latency >= limits.total_timeout, "{exchange:?}");
        assert!(exchange.latency < Duration::from_secs(20), "{exchange:?}");
        let Err(Failure::Transport(error)) = exchange.outcome else {
            panic!("{exchange:?}")
        };
        assert_eq!(error.kind, TransportErrorKind::Timeout, "{}", error.detail);
    }
}

#[tokio::test]
async fn bodies_above_the_size_limit_are_rejected_with_and_without_content_length() {
    let limits = ClientLimits {
        max_response_bytes: 100_000,
        ..with_timeout(LONG_TIMEOUT)
    };
    let endless = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_owned();
    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n".to_owned();
    for behavior in [
        Behavior::Repeat(endless, " ".repeat(8192), Duration::ZERO),
        Behavior::Hang(sized),
    ] {
        let exchange = exchange_with(behavior, limits).await;
        let Err(Failure::InvalidResponse(error)) = exchange.outcome else {
            panic!("{exchange:?}")
        };
        assert_eq!(error.problem, ResponseProblem::TooLarge);
    }
    let full = format!(
        "{GOOD}{}",
        " ".repeat(limits.max_response_bytes - GOOD.len())
    );
    let exchange = exchange_with(json("200 OK", &full), limits).await;
    exchange
        .outcome
        .expect("a body of the maximum size is accepted");
}

#[tokio::test]
async fn reuses_connections_until_reconnect() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let client = server.client(ClientLimits::default());
    for _ in 0..3 {
        send(&client).await.outcome.expect("a completion");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    let reconnected = client.reconnect().expect("client");
    send(&reconnected).await.outcome.expect("a completion");
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
    assert_eq!(reconnected.endpoint(), client.endpoint());
}

#[tokio::test]
async fn parses_model_lists_with_and_without_an_enclosing_object() {
    for body in [
        r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#,
        r#"[{"id":"a"},{"id":"b"}]"#,
    ] {
        let server = Server::start(json("200 OK", body)).await;
        let client = server.client(ClientLimits::default());
        let exchange = client.models(Some(&SecretString::from(KEY)), NOW).await;
        assert_eq!(exchange.outcome.expect("a list"), ["a", "b"]);
        let request = server.requests().remove(0);
        assert!(
            request.starts_with("GET /v1/models HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains(KEY));
    }
}

/// A server that presents an invalid certificate, and accepts one connection.
mod bad_certificate {
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::thread;

    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use rustls::crypto::ring as provider;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::{ServerConfig, ServerConnection};

    #[derive(Debug)]
    struct SingleCertificate(Arc<CertifiedKey>);

    impl ResolvesServerCert for SingleCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    pub(super) fn start() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let config = Arc::new(config());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut connection = ServerConnection::new(config).expect("connection");
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        });
        address
    }

    fn config() -> ServerConfig {
        let random = SystemRandom::new();
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("key");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        let key = provider::sign::any_ecdsa_type(&key).expect("key");
        let certificate = CertificateDer::from(b"no certificate".to_vec());
        let certified = CertifiedKey::new(vec![certificate], key);
        ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertificate(Arc::new(certified))))
    }
}

#[tokio::test]
async fn an_invalid_certificate_is_distinguished_from_other_connect_errors() {
    let base = format!("https://{}/v1", bad_certificate::start());
    let client = match client(&base, ClientLimits::default()) {
        Ok(client) => client,
        // Systems without a trust store cannot run this test.
        Err(error) => return assert_eq!(error, ClientError::NoTrustStore),
    };
    let exchange = send(&client).await;
    let Err(Failure::Transport(error)) = exchange.outcome else {
        panic!("{exchange:?}")
    };
    assert_eq!(
        error.kind,
        TransportErrorKind::Certificate,
        "{}",
        error.detail
    );
}
