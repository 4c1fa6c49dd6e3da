//! Tests of the simulated provider over real sockets.

#![expect(clippy::unwrap_used, reason = "test helpers can panic too")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::Duration;

use promptmill::simulator::{
    Config, FaultRates, KeyRejection, Personality, Reaction, SAMPLE_KEY, Script, SimulatedLatency,
    SimulatedLimits, Simulator, start_on_own_thread,
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

const KEY: &str = "sk-0123456789abcdef";

/// A complete response.
#[derive(Debug)]
struct TestResponse {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl TestResponse {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn content(&self) -> String {
        let body = self.json();
        body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A client shared by all tests, because creating one takes longer than the requests of a test. It
/// does not reuse connections, because each test has its own runtime.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
});

async fn post(
    simulator: &Simulator,
    path: &str,
    key: &str,
    body: String,
) -> reqwest::Result<TestResponse> {
    let url = format!("http://{}{path}", simulator.addr());
    let mut request = CLIENT.post(url).body(body);
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    read(request.send().await?).await
}

async fn read(response: reqwest::Response) -> reqwest::Result<TestResponse> {
    Ok(TestResponse {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: String::from_utf8_lossy(&response.bytes().await?).into_owned(),
    })
}

fn chat(model: &str, prompt: &str) -> String {
    json!({"model": model, "messages": [{"role": "user", "content": prompt}]}).to_string()
}

async fn try_send(simulator: &Simulator, key: &str, prompt: &str) -> reqwest::Result<TestResponse> {
    let body = chat("gpt-4o-mini", prompt);
    post(simulator, "/v1/chat/completions", key, body).await
}

async fn send_prompt(simulator: &Simulator, key: &str, prompt: &str) -> TestResponse {
    try_send(simulator, key, prompt).await.unwrap()
}

async fn start(config: Config) -> Simulator {
    Simulator::start(config.record()).await.unwrap()
}

async fn start_with_script(script: Script) -> Simulator {
    start(Config::default().script(script)).await
}

/// Returns the kind of the I/O error that caused a failed request.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

#[tokio::test]
async fn a_response_has_the_format_of_a_chat_completion() {
    let simulator = start(Config {
        created: 1_750_000_000,
        ..Config::default()
    })
    .await;
    let response = send_prompt(&simulator, KEY, "What is the answer to life?").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("x-request-id"), "req_000000000001");
    let body = response.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["created"], 1_750_000_000);
    assert_eq!(body["model"], "gpt-4o-mini");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["choices"][0]["message"]["role"], "assistant");
    let content = response.content();
    let expected = "Simulated answer to \"What is the answer to life?\" (";
    assert!(content.starts_with(expected), "{content}");
    assert_eq!(body["usage"]["prompt_tokens"], 7);
    assert_eq!(
        body["usage"]["completion_tokens"],
        content.len().div_ceil(4)
    );
    assert_eq!(body["usage"]["total_tokens"], 7 + content.len().div_ceil(4));
}

#[tokio::test]
async fn only_the_same_seed_gives_identical_responses() {
    let mut bodies = Vec::new();
    for seed in [1, 1, 2] {
        let simulator = start(Config::default().seed(seed)).await;
        bodies.push(send_prompt(&simulator, KEY, "Hello").await.body);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[0], bodies[2]);
}

#[tokio::test]
async fn max_tokens_truncates_the_response() {
    let simulator = start(Config::default()).await;
    for name in ["max_tokens", "max_completion_tokens"] {
        let mut body: Value = serde_json::from_str(&chat("gpt-4o-mini", "Hello")).unwrap();
        body[name] = json!(3);
        let body = body.to_string();
        let response = post(&simulator, "/v1/chat/completions", KEY, body)
            .await
            .unwrap();
        assert_eq!(response.content(), "Simulated an");
        assert_eq!(response.json()["choices"][0]["finish_reason"], "length");
        assert_eq!(response.json()["usage"]["completion_tokens"], 3);
    }
}

#[tokio::test]
async fn only_configured_models_are_listed_and_accepted() {
    let simulator = start(Config::default().model("one").model("two")).await;
    let url = format!("{}/models", simulator.base_url());
    let listed = CLIENT.get(url).bearer_auth(KEY).send().await.unwrap();
    let list = read(listed).await.unwrap().json();
    assert_eq!(list["data"][0]["id"], "one");
    assert_eq!(list["data"][1]["id"], "two");

    let path = "/v1/chat/completions";
    let known = post(&simulator, path, KEY, chat("two", "Hello"))
        .await
        .unwrap();
    assert_eq!(known.status, 200);
    let unknown = post(&simulator, path, KEY, chat("Two", "Hello"))
        .await
        .unwrap();
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn embeddings_are_small_vectors_that_depend_on_the_text() {
    let simulator = start(Config::default()).await;
    let body = json!({"model": "text-embedding-3-small", "input": ["a", "b", "a"]}).to_string();
    let response = post(&simulator, "/v1/embeddings", KEY, body).await.unwrap();
    let data = &response.json()["data"];
    assert_eq!(data[0]["embedding"].as_array().unwrap().len(), 8);
    assert_eq!(data[0]["embedding"], data[2]["embedding"]);
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);
}

/// Sends a body with a valid key, and checks the status and part of the error.
async fn check_error(simulator: &Simulator, path: &str, body: &str, status: u16, expected: &str) {
    let response = post(simulator, path, SAMPLE_KEY, body.to_owned())
        .await
        .unwrap();
    assert_eq!(response.status, status, "{path} {body}: {}", response.body);
    assert!(
        response.body.contains(expected),
        "{path} {body}: {}",
        response.body
    );
}

#[tokio::test]
async fn invalid_requests_get_openai_errors() {
    let simulator = start(Config::default()).await;
    let path = "/v1/chat/completions";
    for (body, status, expected) in [
        ("", 400, "could not parse the JSON body"),
        ("{\"model\":", 400, "could not parse the JSON body"),
        (r#"{"model":5}"#, 400, "invalid_type"),
        (
            r#"{"messages":[]}"#,
            400,
            "you must provide a model parameter",
        ),
        (
            r#"{"model":"m","prompt":"a"}"#,
            400,
            "you must provide a messages parameter",
        ),
        (r#"{"model":"m","messages":[]}"#, 400, "empty_array"),
        (
            r#"{"model":"m","messages":[{"role":"bot","content":""}]}"#,
            400,
            "invalid_value",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"temperature":3}"#,
            400,
            "temperature",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":0}"#,
            400,
            "max_tokens",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"stream":true}"#,
            400,
            "does not support streaming",
        ),
        (
            r#"{"model":"text-embedding-3-small"}"#,
            404,
            "not a chat model",
        ),
    ] {
        check_error(&simulator, path, body, status, expected).await;
    }
}

#[tokio::test]
async fn wrong_urls_get_openai_errors() {
    let simulator = start(Config::default()).await;
    let body = &chat("gpt-4o-mini", "a");
    check_error(&simulator, "/foo", body, 404, "Invalid URL (POST /foo)").await;
    check_error(&simulator, "/chat/completions", body, 404, "Invalid URL").await;
    check_error(&simulator, "/v1/models", body, 405, "Not allowed to POST").await;
    check_error(
        &simulator,
        "/v1/completions",
        body,
        404,
        "v1/chat/completions?",
    )
    .await;
    check_error(
        &simulator,
        "/v1/embeddings",
        body,
        403,
        "not allowed to generate",
    )
    .await;
    let body = r#"{"model":"text-embedding-3-small"}"#;
    check_error(
        &simulator,
        "/v1/embeddings",
        body,
        400,
        "an input parameter",
    )
    .await;
}

#[tokio::test]
async fn a_missing_or_unknown_key_is_refused() {
    let simulator = start(Config::default().key(KEY)).await;
    let none = send_prompt(&simulator, "", "Hello").await;
    assert_eq!(none.status, 401);
    assert!(none.message().contains("didn't provide an API key"));
    let unknown = send_prompt(&simulator, "sk-unknown-unknown", "Hello").await;
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.json()["error"]["code"], "invalid_api_key");
    assert!(unknown.message().contains("sk-unk****nown"));
    assert_eq!(send_prompt(&simulator, KEY, "Hello").await.status, 200);
}

#[tokio::test]
async fn each_refused_key_gets_its_own_error() {
    let other = KeyRejection::Other {
        status: 418,
        body: "{\"short\":\"and stout\"}".to_owned(),
    };
    let cases = [
        (KeyRejection::Invalid, 401, "invalid_api_key"),
        (KeyRejection::Deactivated, 401, "account_deactivated"),
        (KeyRejection::Disabled, 403, "disabled"),
        (KeyRejection::Forbidden, 403, "Forbidden"),
        (
            KeyRejection::Country,
            403,
            "unsupported_country_region_territory",
        ),
        (KeyRejection::NoBalance, 402, "Insufficient Balance"),
        (KeyRejection::NoQuota, 429, "insufficient_quota"),
        (other, 418, "and stout"),
    ];
    let mut config = Config::default();
    for (number, (refusal, ..)) in cases.iter().enumerate() {
        config = config.reject(format!("key-{number}"), refusal.clone());
    }
    let simulator = start(config).await;
    for (number, (refusal, status, expected)) in cases.iter().enumerate() {
        let response = send_prompt(&simulator, &format!("key-{number}"), "Hello").await;
        assert_eq!(response.status, *status, "{refusal:?}");
        assert!(
            response.body.contains(expected),
            "{refusal:?}: {}",
            response.body
        );
    }
    assert_eq!(send_prompt(&simulator, "key-99", "Hello").await.status, 200);
}

#[tokio::test]
async fn requests_per_minute_are_limited() {
    let limits = SimulatedLimits {
        requests_per_minute: Some(3),
        ..SimulatedLimits::default()
    };
    let simulator = start(Config::default().limits(limits)).await;
    let first = send_prompt(&simulator, KEY, "1").await;
    assert_eq!(first.header("x-ratelimit-limit-requests"), "3");
    assert_eq!(first.header("x-ratelimit-remaining-requests"), "2");
    assert_eq!(first.header("x-ratelimit-reset-requests"), "20s");
    assert_eq!(send_prompt(&simulator, KEY, "2").await.status, 200);
    assert_eq!(send_prompt(&simulator, KEY, "3").await.status, 200);

    let refused = send_prompt(&simulator, KEY, "4").await;
    assert_eq!(refused.status, 429);
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    let expected = "on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in ";
    assert!(
        refused.message().contains(expected),
        "{}",
        refused.message()
    );
    assert_eq!(
        send_prompt(&simulator, "another key", "4").await.status,
        200
    );
}

#[tokio::test]
async fn a_limit_is_replenished_over_time() {
    let limits = SimulatedLimits {
        requests_per_minute: Some(600),
        request_burst: Some(1),
        ..SimulatedLimits::default()
    };
    let simulator = start(Config::default().limits(limits)).await;
    let start = Instant::now();
    assert_eq!(send_prompt(&simulator, KEY, "1").await.status, 200);
    while send_prompt(&simulator, KEY, "2").await.status == 429 {}
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn tokens_per_minute_are_limited_and_retry_after_is_optional() {
    let limits = SimulatedLimits {
        tokens_per_minute: Some(60),
        retry_after: false,
        ..SimulatedLimits::default()
    };
    let simulator = start(Config::default().limits(limits)).await;
    let first = send_prompt(&simulator, KEY, &"a".repeat(160)).await;
    assert_eq!(first.header("x-ratelimit-remaining-tokens"), "4");
    assert_eq!(first.header("x-ratelimit-reset-tokens"), "56s");
    let refused = send_prompt(&simulator, KEY, "Hello").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, ""));
    assert_eq!(refused.json()["error"]["type"], "tokens");
    for expected in [
        "tokens per min (TPM): Limit 60, Used ",
        ", Requested 18. Please try again in ",
    ] {
        assert!(
            refused.message().contains(expected),
            "{}",
            refused.message()
        );
    }
    let too_large = send_prompt(&simulator, KEY, &"a".repeat(400)).await;
    assert!(too_large.message().starts_with("Request too large"));
}

#[tokio::test]
async fn requests_per_day_are_limited_per_key() {
    let limits = SimulatedLimits {
        requests_per_day: Some(1),
        ..SimulatedLimits::default()
    };
    let simulator = start(Config::default().limits(limits)).await;
    assert_eq!(send_prompt(&simulator, KEY, "Hello").await.status, 200);
    let refused = send_prompt(&simulator, KEY, "Hello").await;
    assert!(refused.message().contains("per day (RPD): Limit 1, Used 1"));
    assert_eq!(
        send_prompt(&simulator, "another key", "Hello").await.status,
        200
    );
}

#[tokio::test]
async fn only_successful_responses_are_delayed() {
    let slow = SimulatedLatency::Constant(Duration::from_hours(1));
    let refusing = Config::default().reject("bad", KeyRejection::Invalid);
    let simulator = start(refusing.latency(slow)).await;
    assert_eq!(send_prompt(&simulator, "bad", "Hello").await.status, 401);

    let latency = SimulatedLatency::Constant(Duration::from_millis(50));
    let simulator = start(Config::default().latency(latency)).await;
    let start = Instant::now();
    assert_eq!(send_prompt(&simulator, KEY, "Hello").await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_script_has_precedence_and_can_be_replaced() {
    let script = Script::new()
        .on(
            |request| request.prompt.contains("poison"),
            Reaction::Status(403),
        )
        .first_n_per_prompt(2, Reaction::Status(500));
    let simulator = start_with_script(script).await;
    let mut statuses = Vec::new();
    for prompt in ["a", "b", "a", "poison", "a", "b", "b"] {
        statuses.push(send_prompt(&simulator, KEY, prompt).await.status);
    }
    assert_eq!(statuses, [500, 500, 500, 403, 200, 500, 200]);
    simulator.set_script(Script::new().always(Reaction::Status(503)));
    assert_eq!(send_prompt(&simulator, KEY, "a").await.status, 503);
    simulator.set_script(Script::new().nth(9, Reaction::Text("\u{1b}[31m=1+1".to_owned())));
    assert_eq!(
        send_prompt(&simulator, KEY, "a").await.content(),
        "\u{1b}[31m=1+1"
    );
    assert_eq!(send_prompt(&simulator, KEY, "poison").await.status, 200);
}

#[tokio::test]
async fn each_reaction_has_its_status_and_body() {
    let raw = Reaction::Raw {
        status: 429,
        headers: vec![("Retry-After".to_owned(), "soon".to_owned())],
        body: "slow down".to_owned(),
    };
    let cases = [
        (Reaction::Normal, 200, "Simulated answer"),
        (Reaction::Status(500), 500, "had an error while processing"),
        (Reaction::Status(503), 503, "overloaded"),
        (Reaction::Status(529), 529, "overloaded_error"),
        (Reaction::Status(401), 401, "invalid_api_key"),
        (Reaction::Status(404), 404, "model_not_found"),
        (Reaction::Status(429), 429, "Rate limit reached"),
        (Reaction::Status(42), 500, "Simulated error 42"),
        (
            Reaction::Json(400, "{\"a\":1}".to_owned()),
            400,
            "{\"a\":1}",
        ),
        (
            Reaction::Reject(KeyRejection::NoQuota),
            429,
            "insufficient_quota",
        ),
        (Reaction::Html(502), 502, "<h1>502 Bad Gateway</h1>"),
        (
            Reaction::Redirect("http://elsewhere.test/v1".to_owned()),
            307,
            "",
        ),
        (Reaction::ErrorInOk, 200, "{\"error\":{"),
        (Reaction::EmptyChoices, 200, "\"choices\":[]"),
        (raw, 429, "slow down"),
    ];
    for (reaction, status, expected) in cases {
        let simulator = start_with_script(Script::new().always(reaction.clone())).await;
        let response = send_prompt(&simulator, KEY, "Hello").await;
        assert_eq!(response.status, status, "{reaction:?}");
        assert!(
            response.body.contains(expected),
            "{reaction:?}: {}",
            response.body
        );
        match reaction {
            Reaction::Redirect(url) => assert_eq!(response.header("location"), url),
            Reaction::Raw { .. } => assert_eq!(response.header("retry-after"), "soon"),
            Reaction::Html(_) => assert_eq!(response.header("content-type"), "text/html"),
            _ => assert_eq!(response.header("x-request-id"), "req_000000000001"),
        }
    }
}

#[tokio::test]
async fn a_rate_limit_can_be_scripted_with_its_wait() {
    let wait = Duration::from_millis(1_500);
    let simulator = start_with_script(Script::new().always(Reaction::RateLimited(wait))).await;
    let response = send_prompt(&simulator, KEY, "Hello").await;
    assert_eq!(
        (response.status, response.header("retry-after")),
        (429, "2")
    );
    assert!(response.message().contains("Please try again in 1.5s."));
}

#[tokio::test]
async fn a_reset_sends_rst() {
    let simulator = start_with_script(Script::new().nth(1, Reaction::Reset)).await;
    let error = try_send(&simulator, KEY, "Hello").await.unwrap_err();
    assert_eq!(
        io_kind(&error),
        Some(io::ErrorKind::ConnectionReset),
        "{error:?}"
    );
    assert_eq!(send_prompt(&simulator, KEY, "Hello").await.status, 200);
    let statuses: Vec<_> = simulator
        .request_log()
        .entries
        .iter()
        .map(|entry| entry.status)
        .collect();
    assert_eq!(statuses, [None, Some(200)]);
}

/// Sends a chat request over a raw socket.
fn send_raw(stream: &mut TcpStream) {
    let body = chat("gpt-4o-mini", "Hello");
    let length = body.len();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
}

/// Sends a chat request over a raw socket, and returns everything until the end of the connection.
fn exchange(stream: &mut TcpStream) -> (String, io::Result<usize>) {
    send_raw(stream);
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    (String::from_utf8(bytes).unwrap(), end)
}

#[test]
fn a_truncated_body_ends_with_a_close_or_a_reset() {
    for (reaction, reset) in [(Reaction::HalfBody, false), (Reaction::HalfBodyReset, true)] {
        let config = Config::default().script(Script::new().always(reaction));
        let simulator = start_on_own_thread(config).unwrap();
        let mut stream = TcpStream::connect(simulator.addr()).unwrap();
        let (text, end) = exchange(&mut stream);
        let kind = end.err().map(|error| error.kind());
        assert_eq!(kind, reset.then_some(io::ErrorKind::ConnectionReset));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let announced = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let announced: usize = announced.unwrap().parse().unwrap();
        assert_eq!(body.len(), announced / 2);
        assert!(body.starts_with("{\"id\":\"chatcmpl-"));
    }
}

#[tokio::test]
async fn a_hanging_request_is_in_flight_until_the_client_disconnects() {
    let simulator = start_with_script(Script::new().always(Reaction::Hang)).await;
    tokio::select! {
        response = send_prompt(&simulator, KEY, "Hello") => panic!("{response:?}"),
        () = simulator.wait_for_requests(1) => {}
    }
    let disconnected = async {
        while simulator.request_log().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    let timeout = Duration::from_secs(10);
    tokio::time::timeout(timeout, disconnected).await.unwrap();
    let log = simulator.request_log();
    assert_eq!((log.requests, log.responses, log.max_in_flight), (1, 0, 1));
}

#[tokio::test]
async fn reactions_can_be_delayed() {
    let script = Script::new()
        .nth(1, Reaction::Delay(Duration::from_millis(40)))
        .nth(2, Reaction::Status(500).after(Duration::from_millis(60)))
        .nth(3, Reaction::SlowBody(Duration::from_millis(1)));
    let simulator = start_with_script(script).await;
    for (status, millis) in [(200, 40), (500, 60)] {
        let start = Instant::now();
        assert_eq!(send_prompt(&simulator, KEY, "Hello").await.status, status);
        assert!(start.elapsed() >= Duration::from_millis(millis));
    }
    let start = Instant::now();
    let response = send_prompt(&simulator, KEY, "Hello").await;
    assert!(response.content().starts_with("Simulated answer"));
    assert!(start.elapsed() >= Duration::from_millis(response.body.len() as u64));
}

#[test]
fn a_connection_serves_several_requests() {
    let script = Script::new().nth(4, Reaction::Reset);
    let simulator = start_on_own_thread(Config::default().script(script)).unwrap();
    let mut stream = TcpStream::connect(simulator.addr()).unwrap();
    for _ in 0..3 {
        send_raw(&mut stream);
    }
    let (text, end) = exchange(&mut stream);
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_flood_has_the_configured_size_and_no_content_length() {
    let simulator = start_with_script(Script::new().always(Reaction::Flood(3_000_001))).await;
    let response = send_prompt(&simulator, KEY, "Hello").await;
    assert_eq!(response.body.len(), 3_000_001);
    assert_eq!(response.header("content-length"), "");
}

#[tokio::test]
async fn random_faults_depend_on_the_seed_and_the_prompt_not_on_the_order() {
    let rates = FaultRates {
        server_error: 0.3,
        overloaded: 0.2,
        ..FaultRates::default()
    };
    let one = start(Config::default().seed(5).faults(rates)).await;
    let other = start(Config::default().seed(5).faults(rates)).await;
    let mut statuses = Vec::new();
    for prompt in 0..60 {
        statuses.push(
            send_prompt(&one, KEY, &format!("prompt {prompt}"))
                .await
                .status,
        );
    }
    let mut backwards = Vec::new();
    for prompt in (0..60).rev() {
        backwards.push(
            send_prompt(&other, KEY, &format!("prompt {prompt}"))
                .await
                .status,
        );
    }
    backwards.reverse();
    assert_eq!(statuses, backwards);
    let count = |expected| {
        statuses
            .iter()
            .filter(|status| **status == expected)
            .count()
    };
    assert!((8..30).contains(&count(500)), "{statuses:?}");
    assert!((3..24).contains(&count(529)), "{statuses:?}");
    assert_eq!(count(200) + count(500) + count(529), 60);
}

#[tokio::test]
async fn held_requests_are_logged_and_get_responses_after_release() {
    let simulator = start(Config::default()).await;
    simulator.hold();
    let pending = async {
        tokio::join!(
            send_prompt(&simulator, "sk-a", "one"),
            send_prompt(&simulator, "sk-b", "two"),
            send_prompt(&simulator, "sk-b", "two"),
        )
    };
    let releasing = async {
        simulator.wait_for_requests(3).await;
        let held = simulator.request_log();
        assert_eq!((held.requests, held.responses, held.in_flight), (3, 0, 3));
        simulator.release();
        simulator.wait_for_responses(3).await;
    };
    tokio::join!(pending, releasing);
    let log = simulator.request_log();
    assert_eq!((log.responses, log.in_flight, log.max_in_flight), (3, 0, 3));
    assert_eq!(
        (
            log.count_by_key("sk-a"),
            log.count_by_key("sk-b"),
            log.count_by_key("")
        ),
        (1, 2, 0)
    );
    assert_eq!(
        (log.count_by_prompt("one"), log.count_by_prompt("two")),
        (1, 2)
    );
    assert_eq!((log.distinct_prompts(), log.max_per_prompt()), (2, 2));
    assert_eq!((log.count_by_status(200), log.count_by_status(500)), (3, 0));
    let entry = &log.entries[0];
    assert_eq!((entry.number, entry.status), (1, Some(200)));
    assert_eq!(
        (&*entry.path, &*entry.model),
        ("/v1/chat/completions", "gpt-4o-mini")
    );
    assert_eq!(entry.body, chat("gpt-4o-mini", &entry.prompt));
}

#[tokio::test]
async fn without_record_the_log_has_only_counts() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    send_prompt(&simulator, KEY, "Hello").await;
    let log = simulator.request_log();
    assert_eq!((log.requests, log.count_by_prompt("Hello")), (1, 1));
    assert_eq!(log.entries, []);
}

#[tokio::test]
async fn free_keys_have_their_own_models_and_errors() {
    let config = Config::default().personality(Personality::GptApiFree);
    let simulator = start(config).await;
    let path = "/v1/chat/completions";
    let good = post(&simulator, path, SAMPLE_KEY, chat("gpt-3.5-turbo", "Hello"))
        .await
        .unwrap();
    assert_eq!(good.status, 200);
    let bad_key = send_prompt(&simulator, "sk-short", "Hello").await;
    assert_eq!((bad_key.status, &*bad_key.message()), (401, "ApiKey错误"));
    assert_eq!(bad_key.json()["error"]["code"], "401 UNAUTHORIZED");

    let limited = "免费API限制使用deepseek-r1，deepseek-v3，gpt-3.5-turbo，gpt-4o-mini，gpt-4o和embeddings模型";
    for model in ["gpt-4-32k", "GPT-4o-mini", "gpt\u{2011}4o-mini"] {
        check_error(&simulator, path, &chat(model, "Hello"), 403, limited).await;
    }
    let legacy = r#"{"model":"gpt-4o-mini","prompt":"Hello"}"#;
    check_error(&simulator, "/v1/completions", legacy, 403, limited).await;
    let long = &chat("gpt-4o-mini", &"a".repeat(4 * 4096 + 1));
    check_error(&simulator, path, long, 403, "limited to 4096").await;

    let refused = post(&simulator, "/v1/completions", SAMPLE_KEY, legacy.to_owned())
        .await
        .unwrap();
    let error = &refused.json()["error"];
    assert_eq!(error["type"], "chatanywhere_error");
    assert_eq!(error["code"], "403 FORBIDDEN");
    assert_eq!(error["param"], Value::Null);
    let shown = "(当前请求使用的ApiKey: sk-sim****d000)";
    assert!(refused.message().ends_with(shown), "{}", refused.message());
}

#[tokio::test]
async fn free_keys_share_two_hundred_requests_per_day() {
    let config = Config::default()
        .personality(Personality::GptApiFree)
        .key("sk-a")
        .key("sk-b");
    let simulator = start(config).await;
    for number in 0..200 {
        let key = ["sk-a", "sk-b"][number % 2];
        assert_eq!(send_prompt(&simulator, key, "Hello").await.status, 200);
    }
    for key in ["sk-a", "sk-b"] {
        let refused = send_prompt(&simulator, key, "Hello").await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, ""));
        assert_eq!(refused.json()["error"]["code"], "429 TOO_MANY_REQUESTS");
        let message = refused.message();
        assert!(
            message.starts_with("免费API限制每日200次请求，请00:00后再试"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn shutdown_closes_connections_and_frees_the_port() {
    let simulator = start_with_script(Script::new().always(Reaction::Hang)).await;
    let addr = simulator.addr();
    let request = CLIENT
        .post(format!("http://{addr}/v1/chat/completions"))
        .send();
    let pending = tokio::spawn(request);
    simulator.wait_for_requests(1).await;
    simulator.shutdown().await;
    pending.await.unwrap().unwrap_err();
    let again = start(Config::default().port(addr.port())).await;
    assert_eq!(send_prompt(&again, KEY, "Hello").await.status, 200);
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let simulator = start(Config::default()).await;
    let second = Simulator::start(Config::default().port(simulator.addr().port())).await;
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_simulator_thread_needs_no_runtime_and_stops_when_dropped() {
    let simulator = start_on_own_thread(Config::default()).unwrap();
    let addr = simulator.addr();
    assert!(!simulator.wait_for_requests(1, Duration::from_millis(1)));
    simulator.hold();
    let pending = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        exchange(&mut stream)
    });
    assert!(simulator.wait_for_requests(1, Duration::from_secs(10)));
    assert_eq!(simulator.request_log().responses, 0);
    simulator.release();
    assert!(simulator.wait_for_responses(1, Duration::from_secs(10)));
    drop(simulator);
    let (text, _) = pending.join().unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert_eq!(
        TcpStream::connect(addr).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
}
