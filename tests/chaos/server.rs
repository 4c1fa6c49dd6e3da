//! A provider on raw sockets. It violates the protocol in ways that HTTP server libraries do not
//! allow.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Maximum size of a request in these tests.
const REQUEST_BYTES: usize = 64 * 1024;
/// A block of a large body.
static BLOCK: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// How a request is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A valid response.
    Completion,
    /// A connection closed without a response.
    Close,
    /// A connection reset without a response.
    Reset,
    /// Half of the announced body, then a closed connection.
    HalfBody,
    /// A `content-length` that is too small: the JSON is truncated, and the rest is not HTTP.
    ShortLength,
    /// Two contradictory `content-length` headers.
    TwoLengths,
    /// A truncated chunk.
    HalfChunk,
    /// A chunk with an invalid size.
    BadChunk,
    /// Bytes that are not HTTP.
    Garbage,
    /// A body without a status line and headers, as in HTTP/0.9.
    NoHeaders,
    /// A NUL byte in a header.
    NulByte,
    /// Endless headers.
    EndlessHeaders,
    /// A valid response at one byte every 500 ms.
    Drip,
    /// No response at all.
    NoResponse,
    /// A valid response after the client has given up.
    Late,
    /// Endless interim responses.
    EndlessInterim,
    /// Interim responses, then a valid response.
    Interim,
    /// A compressed body that would decompress to gigabytes.
    Compressed,
    /// A body with an announced length of 2 GiB.
    TwoGigabytes,
    /// A body of 96 MiB without an announced length.
    Large,
    /// JSON nested 200,000 levels deep.
    Deep,
    /// The web page of a captive portal.
    CaptivePortal,
    /// An error object in a response with status 200.
    ErrorInOk,
    /// A body that is not valid UTF-8.
    NotUtf8,
    /// A 503 response with two different `retry-after` headers.
    TwoRetryAfters,
}

/// Selects the fault of a request by its prompt and the number of requests with that prompt,
/// including this one.
type FaultSelector = dyn Fn(&str, usize) -> Fault + Send + Sync;

/// The server. It runs until the test process ends.
pub(crate) struct Server {
    address: SocketAddr,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Server {
    /// Listens on a free local port.
    pub(crate) fn start(select: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Mutex::new(HashMap::new()));
        let (select, shared): (Arc<FaultSelector>, _) = (Arc::new(select), Arc::clone(&counts));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (select, counts) = (Arc::clone(&select), Arc::clone(&shared));
                // An error means that the client has closed the connection.
                thread::spawn(move || drop(serve(stream, &*select, &counts)));
            }
        });
        Self { address, counts }
    }

    /// Returns the base URL.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the number of requests with a prompt.
    pub(crate) fn requests_for(&self, prompt: &str) -> usize {
        self.counts
            .lock()
            .unwrap()
            .get(prompt)
            .copied()
            .unwrap_or(0)
    }

    /// Returns the total number of requests.
    pub(crate) fn requests(&self) -> usize {
        self.counts.lock().unwrap().values().sum()
    }
}

/// Serves a connection until a fault breaks it.
fn serve(
    mut stream: TcpStream,
    select: &FaultSelector,
    counts: &Mutex<HashMap<String, usize>>,
) -> io::Result<()> {
    loop {
        let (length, prompt) = peek_request(&stream)?;
        let count = {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(prompt.clone()).or_default();
            *count += 1;
            *count
        };
        let fault = select(&prompt, count);
        if fault == Fault::Reset {
            // Closing a socket with unread data sends a reset.
            return Ok(());
        }
        stream.read_exact(&mut vec![0; length])?;
        respond(&mut stream, fault, &completion(&prompt))?;
        if fault != Fault::Completion && fault != Fault::Interim {
            return Ok(());
        }
    }
}

/// Waits for a complete request and returns its length and prompt, without consuming it.
fn peek_request(stream: &TcpStream) -> io::Result<(usize, String)> {
    let mut buffer = vec![0; REQUEST_BYTES];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if length > seen
            && let Some((total, prompt)) = parse_request(&buffer[..length])
        {
            return Ok((total, prompt));
        }
        seen = length;
        thread::yield_now();
    }
}

/// Parses a request; `None` if it is incomplete.
fn parse_request(bytes: &[u8]) -> Option<(usize, String)> {
    let head = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap().to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let total = head + length.unwrap().trim().parse::<usize>().unwrap();
    let body = bytes.get(head..total)?;
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let prompt = body["messages"][0]["content"].as_str().unwrap();
    Some((total, prompt.to_owned()))
}

fn completion(prompt: &str) -> String {
    let content = format!("Simulated answer to \"{prompt}\" (raw)");
    serde_json::json!({
        "id": "raw-1", "object": "chat.completion", "model": "gpt-4o-mini",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": content },
        }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8 },
    })
    .to_string()
}

fn ok(body: &str) -> String {
    with_headers(&format!("content-length: {}\r\n", body.len()), body)
}

fn with_headers(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}\r\n{body}")
}

fn respond(stream: &mut TcpStream, fault: Fault, body: &str) -> io::Result<()> {
    let half = &body[..body.len() / 2];
    let length = body.len();
    let content_length = |length: usize| format!("content-length: {length}\r\n");
    let text = match fault {
        Fault::Completion => ok(body),
        Fault::Close | Fault::Reset => return Ok(()),
        Fault::HalfBody => with_headers(&content_length(length), half),
        Fault::ShortLength => with_headers(&content_length(length / 2), body),
        Fault::TwoLengths => with_headers(
            &(content_length(length) + &content_length(length / 2)),
            body,
        ),
        Fault::HalfChunk => chunked(&format!("{length:x}\r\n{half}")),
        Fault::BadChunk => chunked(&format!("many\r\n{body}\r\n0\r\n\r\n")),
        Fault::Garbage => "\u{1}\u{2} SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        Fault::NoHeaders => body.to_owned(),
        Fault::NulByte => {
            with_headers(&format!("x-note: a\0b\r\n{}", content_length(length)), body)
        }
        Fault::Interim => "HTTP/1.1 102 Processing\r\n\r\n".repeat(20) + &ok(body),
        Fault::Compressed => return compressed(stream),
        Fault::Deep => ok(&("[".repeat(200_000) + &"]".repeat(200_000))),
        Fault::CaptivePortal => ok("<!doctype html><title>Welcome to the hotel</title>"),
        Fault::ErrorInOk => ok(r#"{"error":{"message":"overloaded","code":502}}"#),
        Fault::TwoRetryAfters => "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\n\
                            retry-after: 1\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        Fault::NotUtf8 => return not_utf8(stream, body),
        Fault::NoResponse => return wait_for_close(stream),
        Fault::Late => {
            wait_for_close(stream)?;
            ok(body)
        }
        Fault::EndlessHeaders => {
            return write_endlessly(stream, b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n");
        }
        Fault::EndlessInterim => {
            return write_endlessly(stream, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n");
        }
        Fault::Drip => return drip(stream, &ok(body)),
        Fault::TwoGigabytes => return flood(stream, &content_length(1 << 31), 1 << 31),
        Fault::Large => return flood(stream, "connection: close\r\n", 96 << 20),
    };
    stream.write_all(text.as_bytes())
}

fn chunked(body: &str) -> String {
    with_headers("transfer-encoding: chunked\r\n", body)
}

/// Waits until the client closes the connection.
fn wait_for_close(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 256];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Writes the same bytes until the client closes the connection.
fn write_endlessly(stream: &mut TcpStream, first: &[u8], more: &[u8]) -> io::Result<()> {
    stream.write_all(first)?;
    loop {
        stream.write_all(more)?;
    }
}

fn drip(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    for byte in text.bytes() {
        stream.write_all(&[byte])?;
        // The complete response would take minutes.
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn flood(stream: &mut TcpStream, headers: &str, bytes: usize) -> io::Result<()> {
    stream.write_all(with_headers(headers, "").as_bytes())?;
    for _ in 0..bytes / BLOCK.len() {
        stream.write_all(&BLOCK)?;
    }
    Ok(())
}

/// Sends a gzip header and deflate data that expands without limit.
fn compressed(stream: &mut TcpStream) -> io::Result<()> {
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    body.extend(std::iter::repeat_n(0xec_u8, 1 << 20));
    let headers = format!(
        "content-encoding: gzip\r\ncontent-length: {}\r\n",
        body.len()
    );
    stream.write_all(with_headers(&headers, "").as_bytes())?;
    stream.write_all(&body)
}

fn not_utf8(stream: &mut TcpStream, body: &str) -> io::Result<()> {
    let mut bytes = body.as_bytes().to_vec();
    let at = body.find("Simulated").unwrap();
    bytes[at] = 0xff;
    let headers = format!("content-length: {}\r\n", bytes.len());
    stream.write_all(with_headers(&headers, "").as_bytes())?;
    stream.write_all(&bytes)
}
