//! What the provider client makes of an endpoint's behaviour, good and bad, against real sockets on
//! this machine.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use promptmill::domain::failure::{Failure, NoAnswer, NoResponse, Problem, TransportFault};
use promptmill::domain::request_template::Api;
use promptmill::domain::time::Timestamp;
use promptmill::provider::{
    Attempt, Client, ClientError, ClientLimits, Endpoint, ParsedCompletion,
};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "sk-canary-0123456789abcdef";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// What a server does once it has read a request.
#[derive(Clone)]
enum Play {
    /// Says it and waits for the next request.
    Say(String),
    /// Says it and ends the connection.
    SayAndClose(String),
    /// Says it and breaks the connection.
    SayAndReset(String),
    /// Says it and falls silent.
    SayAndHang(String),
    /// Says the first text, and then the second for as long as someone listens, in between a pause.
    Repeat(String, String, Duration),
}

/// An endpoint on this machine that plays the same thing for every request.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(play: Play) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}/v1", listener.local_addr().expect("address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (seen, count) = (Arc::clone(&requests), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, play.clone(), Arc::clone(&seen)));
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

async fn serve(stream: TcpStream, play: Play, seen: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read_request(&mut stream).await?;
        seen.lock().expect("unpoisoned").push(request);
        match &play {
            Play::Say(text) => stream.write_all(text.as_bytes()).await?,
            Play::SayAndClose(text) => return stream.write_all(text.as_bytes()).await,
            Play::SayAndReset(text) => {
                stream.write_all(text.as_bytes()).await?;
                return stream.get_ref().set_zero_linger();
            }
            Play::SayAndHang(text) => {
                stream.write_all(text.as_bytes()).await?;
                // Returns when the other side hangs up.
                return stream.read_u8().await.map(|_| ());
            }
            Play::Repeat(first, then, pause) => {
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

fn json(status: &str, body: &str) -> Play {
    Play::Say(http(status, "content-type: application/json\r\n", body))
}

async fn send(client: &Client) -> Attempt {
    let key = SecretString::from(KEY);
    let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
    let attempt = client.send(Api::Chat, body, Some(&key), NOW).await;
    let shown = format!("{client:?} {attempt:?}");
    assert!(!shown.contains(KEY), "{shown}");
    attempt
}

async fn ask(play: Play, limits: ClientLimits) -> Attempt {
    let server = Server::start(play).await;
    let attempt = send(&server.client(limits)).await;
    assert_eq!(server.requests().len(), 1, "one attempt is one request");
    attempt
}

async fn completion(body: &str) -> ParsedCompletion {
    let attempt = ask(json("200 OK", body), ClientLimits::default()).await;
    attempt.outcome.expect("an answer")
}

async fn no_answer(play: Play) -> NoAnswer {
    match ask(play, ClientLimits::default()).await.outcome {
        Err(Failure::NoAnswer(no_answer)) => no_answer,
        other => panic!("{other:?}"),
    }
}

async fn no_response(play: Play, limits: ClientLimits) -> NoResponse {
    match ask(play, limits).await.outcome {
        Err(Failure::NoResponse(no_response)) => no_response,
        other => panic!("{other:?}"),
    }
}

fn patience(total_timeout: Duration) -> ClientLimits {
    ClientLimits {
        total_timeout,
        ..ClientLimits::default()
    }
}

/// Long enough for any answer on this machine, and short enough for a body without an end.
const ENDLESS: Duration = Duration::from_secs(5);

const GOOD: &str = r#"{"model":"m-1","choices":[{"finish_reason":"stop","message":{"content":"4"}}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;

#[tokio::test]
async fn an_answer_comes_with_its_body_and_all_that_is_told_about_it() {
    let headers = "x-request-id: req-1\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-tokens: 1m3s\r\n";
    let attempt = ask(
        Play::Say(http("200 OK", headers, GOOD)),
        ClientLimits::default(),
    )
    .await;
    assert_eq!(attempt.status, Some(200));
    assert_eq!(attempt.request_id, "req-1");
    assert_eq!(attempt.rate.remaining_requests.as_deref(), Some("59"));
    assert_eq!(attempt.rate.reset_tokens.as_deref(), Some("1m3s"));
    assert_eq!(attempt.rate.limit_tokens, None);
    assert!(attempt.latency > Duration::ZERO);
    let success = attempt.outcome.expect("an answer");
    assert_eq!(success.body, GOOD);
    assert_eq!(success.metadata.model, "m-1");
    assert_eq!(success.metadata.finish_reason, "stop");
    assert_eq!(success.metadata.prompt_tokens, Some(2));
    assert_eq!(success.metadata.completion_tokens, Some(1));
    let shown = format!("{success:?}");
    assert!(!shown.contains("content"), "{shown}");
}

#[tokio::test]
async fn the_key_is_in_the_authorization_header_and_nowhere_else() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let client = server.client(ClientLimits::default());
    send(&client).await.outcome.expect("an answer");
    let without = client
        .send(Api::Chat, Bytes::from_static(b"{}"), None, NOW)
        .await;
    without.outcome.expect("an answer");
    let [with, without] = &server.requests()[..] else {
        panic!("two requests")
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
async fn a_key_that_no_header_can_hold_is_refused_unsent() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let client = server.client(ClientLimits::default());
    for key in ["sk-canary\r\nx-evil: 1", "sk-canary key", "sk-cänary"] {
        let attempt = client
            .send(Api::Chat, Bytes::new(), Some(&SecretString::from(key)), NOW)
            .await;
        let shown = format!("{attempt:?}");
        assert!(!shown.contains("sk-c"), "{shown}");
        let Err(Failure::Refused(refusal)) = attempt.outcome else {
            panic!("{shown}")
        };
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (401, "invalid_api_key")
        );
        assert_eq!(attempt.status, None);
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn an_echo_of_the_key_is_taken_out() {
    let echo = GOOD.replace('4', KEY);
    let headers = format!("x-request-id: {KEY}\r\nx-ratelimit-limit-tokens: {KEY}\r\n");
    let attempt = ask(
        Play::Say(http("200 OK", &headers, &echo)),
        ClientLimits::default(),
    )
    .await;
    assert_eq!(attempt.request_id, "");
    let body = attempt.outcome.expect("an answer").body;
    assert_eq!(body, GOOD.replace('4', "[redacted]"));
}

#[tokio::test]
async fn tool_calls_are_an_answer() {
    let body = r#"{"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"1"}]}}]}"#;
    assert_eq!(completion(body).await.metadata.finish_reason, "tool_calls");
}

#[tokio::test]
async fn blank_lines_and_a_byte_order_mark_before_the_json_do_no_harm() {
    assert_eq!(
        completion(&format!("\n\n{GOOD}")).await.metadata.model,
        "m-1"
    );
    assert_eq!(completion(&format!("\u{feff}{GOOD}")).await.body, GOOD);
}

#[tokio::test]
async fn a_success_without_an_answer_is_a_failure() {
    use Problem::{Declined, Empty, Html, NoChoices, NoContent, NotChat};
    let refused = r#"{"choices":[{"finish_reason":"stop","message":{"content":null,"refusal":"I will not"}}]}"#;
    let filtered =
        r#"{"choices":[{"finish_reason":"content_filter","message":{"content":"half an"}}]}"#;
    let thought = r#"{"choices":[{"finish_reason":"length","message":{"content":"","reasoning_content":"hm"}}]}"#;
    let other = r#"{"type":"message","content":[{"type":"text","text":"half an"}]}"#;
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
        ("upstream is away", NotChat, "upstream is away"),
        (cut, NotChat, "the JSON ends too early: line 1, column 119"),
        (
            r#"{"choices":"half an"}"#,
            NotChat,
            "the JSON is of another form: line 1, column 20",
        ),
        (
            stream,
            NotChat,
            "an event stream, though none was asked for",
        ),
        (
            r#"{"choices":[]}"#,
            NoChoices,
            "an object with the fields: choices",
        ),
        (other, NoChoices, "an object with the fields: content, type"),
        (
            r#"{"choices":[{"message":{"content":null}}]}"#,
            NoContent,
            "no finish_reason",
        ),
        (thought, NoContent, "finish_reason: length"),
        (refused, Declined, "I will not"),
        (filtered, Declined, "finish_reason: content_filter"),
    ] {
        let found = no_answer(json("200 OK", body)).await;
        assert_eq!(
            (found.problem, found.excerpt.as_str()),
            (problem, excerpt),
            "{body}"
        );
    }
    let page = http(
        "200 OK",
        "content-type: text/html\r\nx-request-id: r\r\n",
        "Please log in",
    );
    let found = no_answer(Play::Say(page)).await;
    assert_eq!((found.problem, found.request_id.as_str()), (Html, "r"));
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_no_answer() {
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
    let attempt = send(&client(&base, ClientLimits::default()).expect("client")).await;
    let Err(Failure::NoAnswer(found)) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(found.problem, Problem::NotChat);
}

#[tokio::test]
async fn an_error_inside_a_success_is_a_refusal() {
    let whole = r#"{"error":{"code":503,"message":"no instance left"}}"#;
    let beside = r#"{"error":{"code":503,"message":"no instance left"},"choices":[{"message":{"content":"half"}}]}"#;
    let choice = r#"{"choices":[{"error":{"code":503,"message":"no instance left"},"finish_reason":"error","message":{"content":"half"}}]}"#;
    for body in [whole, beside, choice] {
        let attempt = ask(json("200 OK", body), ClientLimits::default()).await;
        assert_eq!(attempt.status, Some(200));
        let Err(Failure::Refused(refusal)) = attempt.outcome else {
            panic!("{body}: {attempt:?}")
        };
        assert_eq!(
            (refusal.status, refusal.message.as_str()),
            (503, "no instance left"),
            "{body}"
        );
    }
    let silent = r#"{"choices":[{"finish_reason":"error","message":{"content":"half"}}]}"#;
    let attempt = ask(json("200 OK", silent), ClientLimits::default()).await;
    let Err(Failure::Refused(refusal)) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(refusal.status, 502);
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_its_words() {
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "429 Too Many Requests",
        "503 Away",
    ] {
        let body = format!(r#"{{"error":{{"message":"not with {KEY}"}}}}"#);
        let attempt = ask(json(status, &body), ClientLimits::default()).await;
        let number: u16 = status[..3].parse().expect("status");
        assert_eq!(attempt.status, Some(number));
        let Err(Failure::Refused(refusal)) = attempt.outcome else {
            panic!("{attempt:?}")
        };
        assert_eq!(refusal.status, number);
        assert!(
            refusal.message.starts_with("not with "),
            "{}",
            refusal.message
        );
    }
}

#[tokio::test]
async fn a_refusal_with_a_broken_or_endless_body_is_still_a_refusal() {
    let half = "HTTP/1.1 401 No\r\ncontent-length: 99\r\n\r\nnot with this key".to_owned();
    let endless = "HTTP/1.1 401 No\r\n\r\n".to_owned();
    let silent = patience(Duration::from_millis(200));
    for (play, limits) in [
        (Play::SayAndClose(half.clone()), ClientLimits::default()),
        (Play::SayAndHang(half), silent),
        (
            Play::Repeat(endless, "x".repeat(8192), Duration::ZERO),
            patience(ENDLESS),
        ),
    ] {
        let attempt = ask(play, limits).await;
        assert!(attempt.latency < ENDLESS, "{attempt:?}");
        let Err(Failure::Refused(refusal)) = attempt.outcome else {
            panic!("{attempt:?}")
        };
        assert_eq!(refusal.status, 401);
        assert!(!refusal.message.is_empty());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(json("200 OK", GOOD)).await;
    for status in ["301 Moved", "302 Found", "307 Elsewhere", "308 Moved"] {
        let location = format!("location: {}/chat/completions\r\n", other.base);
        let attempt = ask(
            Play::Say(http(status, &location, "")),
            ClientLimits::default(),
        )
        .await;
        let Err(Failure::Refused(refusal)) = attempt.outcome else {
            panic!("{attempt:?}")
        };
        assert_eq!(refusal.status, status[..3].parse::<u16>().expect("status"));
        assert!(
            refusal.redirect_to.contains("127.0.0.1"),
            "{}",
            refusal.redirect_to
        );
    }
    assert_eq!(other.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let base = format!("http://{}/v1", listener.local_addr().expect("address"));
    drop(listener);
    let attempt = send(&client(&base, ClientLimits::default()).expect("client")).await;
    let Err(Failure::NoResponse(found)) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(found.fault, TransportFault::Connect);
    assert!(found.detail.contains("refused"), "{}", found.detail);
    assert!(!found.detail.contains("http:"), "{}", found.detail);
    assert_eq!(attempt.status, None);
}

#[tokio::test]
async fn a_connection_that_breaks_is_broken_wherever_it_breaks() {
    let half = http("200 OK", "", GOOD)[..90].to_owned();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"cho\r\n".to_owned();
    let long = http("200 OK", "", GOOD).replace("content-length: 1", "content-length: 9");
    for play in [
        Play::SayAndReset(String::new()),
        Play::SayAndClose(String::new()),
        Play::SayAndReset(half.clone()),
        Play::SayAndClose(half),
        Play::SayAndClose(long),
        Play::SayAndClose(chunked),
        Play::SayAndClose("HTTP/1.1 200".to_owned()),
        Play::SayAndClose("SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
    ] {
        let found = no_response(play, ClientLimits::default()).await;
        assert_eq!(found.fault, TransportFault::Broken, "{}", found.detail);
        assert!(
            !found.detail.is_empty() && !found.detail.contains("http:"),
            "{}",
            found.detail
        );
    }
}

#[tokio::test]
async fn a_content_length_that_is_too_short_cuts_the_json() {
    let told = http("200 OK", "", &GOOD[..40]);
    let short = told + &GOOD[40..];
    let found = no_answer(Play::SayAndClose(short)).await;
    assert_eq!(found.problem, Problem::NotChat);
}

#[tokio::test]
async fn the_total_time_holds_against_silence_and_against_a_slow_drip() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n".to_owned();
    let drip = Play::Repeat(head.clone(), " ".to_owned(), Duration::from_millis(10));
    for play in [
        Play::SayAndHang(String::new()),
        Play::SayAndHang(head),
        drip,
    ] {
        let limits = patience(Duration::from_millis(200));
        let server = Server::start(play).await;
        let attempt = send(&server.client(limits)).await;
        assert!(attempt.latency >= limits.total_timeout, "{attempt:?}");
        assert!(attempt.latency < Duration::from_secs(20), "{attempt:?}");
        let Err(Failure::NoResponse(found)) = attempt.outcome else {
            panic!("{attempt:?}")
        };
        assert_eq!(found.fault, TransportFault::Timeout, "{}", found.detail);
    }
}

#[tokio::test]
async fn a_body_above_the_cap_is_cut_off_told_or_untold() {
    let limits = ClientLimits {
        response_cap: 100_000,
        ..patience(ENDLESS)
    };
    let endless = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_owned();
    let told = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n".to_owned();
    for play in [
        Play::Repeat(endless, " ".repeat(8192), Duration::ZERO),
        Play::SayAndHang(told),
    ] {
        let attempt = ask(play, limits).await;
        let Err(Failure::NoAnswer(found)) = attempt.outcome else {
            panic!("{attempt:?}")
        };
        assert_eq!(found.problem, Problem::TooLarge);
    }
    let full = format!("{GOOD}{}", " ".repeat(limits.response_cap - GOOD.len()));
    let attempt = ask(json("200 OK", &full), limits).await;
    attempt.outcome.expect("a body as large as the cap");
}

#[tokio::test]
async fn connections_are_used_again_until_fresh_ones_are_asked_for() {
    let server = Server::start(json("200 OK", GOOD)).await;
    let client = server.client(ClientLimits::default());
    for _ in 0..3 {
        send(&client).await.outcome.expect("an answer");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    let fresh = client.fresh().expect("client");
    send(&fresh).await.outcome.expect("an answer");
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
    assert_eq!(fresh.endpoint(), client.endpoint());
}

#[tokio::test]
async fn the_models_are_listed_with_or_without_an_object_around_them() {
    for body in [
        r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#,
        r#"[{"id":"a"},{"id":"b"}]"#,
    ] {
        let server = Server::start(json("200 OK", body)).await;
        let client = server.client(ClientLimits::default());
        let attempt = client.models(Some(&SecretString::from(KEY)), NOW).await;
        assert_eq!(attempt.outcome.expect("a list"), ["a", "b"]);
        let request = server.requests().remove(0);
        assert!(
            request.starts_with("GET /v1/models HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains(KEY));
    }
}

/// Presents what is no certificate at all to whoever connects first.
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
    struct Always(Arc<CertifiedKey>);

    impl ResolvesServerCert for Always {
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
            .with_cert_resolver(Arc::new(Always(Arc::new(certified))))
    }
}

#[tokio::test]
async fn a_bad_certificate_is_told_from_other_faults_of_connecting() {
    let base = format!("https://{}/v1", bad_certificate::start());
    let client = match client(&base, ClientLimits::default()) {
        Ok(client) => client,
        // Without a trust store there is no client to try, and the error says just that.
        Err(error) => return assert_eq!(error, ClientError::NoTrustStore),
    };
    let attempt = send(&client).await;
    let Err(Failure::NoResponse(found)) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    assert_eq!(found.fault, TransportFault::Certificate, "{}", found.detail);
}
