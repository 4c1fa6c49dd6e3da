//! A provider of raw sockets: it answers well, or breaks the protocol in a way that no HTTP library
//! would let a server do.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request is never larger than this in these tests.
const REQUEST_BYTES: usize = 64 * 1024;
/// What is written at once of a body without end.
static BLOCK: [u8; 64 * 1024] = [b' '; 64 * 1024];

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it is answered.
    Completion,
    /// The connection is closed without a byte.
    Close,
    /// The connection is reset without a byte.
    Reset,
    /// Half of the body that the head promises, then the end.
    HalfBody,
    /// The head promises fewer bytes than come: the JSON is cut off, the rest is no HTTP.
    ShortLength,
    /// Two lengths that contradict each other.
    TwoLengths,
    /// A chunk that is cut off.
    HalfChunk,
    /// A chunk whose size is no number.
    BadChunk,
    /// Bytes that are no HTTP.
    Garbage,
    /// An answer without a head, as before HTTP/1.0.
    Headless,
    /// A zero byte in a header.
    ZeroByte,
    /// Headers without an end.
    EndlessHead,
    /// A byte of the head now and then.
    Drip,
    /// Nothing ever.
    Never,
    /// The answer, after the client has given up.
    Late,
    /// Interim responses without an end.
    EndlessInterim,
    /// Interim responses, then the answer.
    Interim,
    /// Bytes that claim to be compressed, of which a few would unfold to gigabytes.
    Compressed,
    /// A body of 2 GiB, announced.
    TwoGigabytes,
    /// A body of 96 MiB, not announced.
    Large,
    /// JSON that is 200,000 levels deep.
    Deep,
    /// The web page of a hotel.
    Portal,
    /// An error in a success.
    ErrorInOk,
    /// An answer that is no UTF-8.
    NotUtf8,
    /// 503 with two different hints when to come back.
    TwoHints,
}

/// What is done with a request, by the prompt and by how often it has come, from 1.
type Play = dyn Fn(&str, usize) -> Fault + Send + Sync;

/// The server. It lives as long as the test's process.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Server {
    /// Listens on a free port of this machine.
    pub(crate) fn start(play: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let (play, counts): (Arc<Play>, _) = (Arc::new(play), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (play, counts) = (Arc::clone(&play), Arc::clone(&counts));
                // A client that has gone ends the connection, as it should.
                thread::spawn(move || drop(serve(stream, &*play, &counts)));
            }
        });
        Self { address, asked }
    }

    /// Returns the base URL.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns how often a prompt was asked.
    pub(crate) fn asked(&self, prompt: &str) -> usize {
        self.asked.lock().unwrap().get(prompt).copied().unwrap_or(0)
    }

    /// Returns how many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

/// Serves a connection until it is broken.
fn serve(
    mut stream: TcpStream,
    play: &Play,
    counts: &Mutex<HashMap<String, usize>>,
) -> io::Result<()> {
    loop {
        let (length, prompt) = look_at_request(&stream)?;
        let turn = {
            let mut counts = counts.lock().unwrap();
            let turn = counts.entry(prompt.clone()).or_default();
            *turn += 1;
            *turn
        };
        let fault = play(&prompt, turn);
        if fault == Fault::Reset {
            // What has come and was not read makes the system send a reset.
            return Ok(());
        }
        stream.read_exact(&mut vec![0; length])?;
        react(&mut stream, fault, &completion(&prompt))?;
        if fault != Fault::Completion && fault != Fault::Interim {
            return Ok(());
        }
    }
}

/// Waits for a whole request, and returns its length and its prompt. It is not read yet.
fn look_at_request(stream: &TcpStream) -> io::Result<(usize, String)> {
    let mut buffer = vec![0; REQUEST_BYTES];
    let mut seen = 0;
    loop {
        let length = stream.peek(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if length > seen
            && let Some((whole, prompt)) = request(&buffer[..length])
        {
            return Ok((whole, prompt));
        }
        seen = length;
        thread::yield_now();
    }
}

fn request(bytes: &[u8]) -> Option<(usize, String)> {
    let head = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap().to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let whole = head + length.unwrap().trim().parse::<usize>().unwrap();
    let body = bytes.get(head..whole)?;
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let prompt = body["messages"][0]["content"].as_str().unwrap();
    Some((whole, prompt.to_owned()))
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

fn whole(body: &str) -> String {
    with_head(&format!("content-length: {}\r\n", body.len()), body)
}

fn with_head(head: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}\r\n{body}")
}

fn react(stream: &mut TcpStream, fault: Fault, body: &str) -> io::Result<()> {
    let half = &body[..body.len() / 2];
    let length = body.len();
    let promise = |length: usize| format!("content-length: {length}\r\n");
    let text = match fault {
        Fault::Completion => whole(body),
        Fault::Close | Fault::Reset => return Ok(()),
        Fault::HalfBody => with_head(&promise(length), half),
        Fault::ShortLength => with_head(&promise(length / 2), body),
        Fault::TwoLengths => with_head(&(promise(length) + &promise(length / 2)), body),
        Fault::HalfChunk => chunked(&format!("{length:x}\r\n{half}")),
        Fault::BadChunk => chunked(&format!("many\r\n{body}\r\n0\r\n\r\n")),
        Fault::Garbage => "\u{1}\u{2} SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        Fault::Headless => body.to_owned(),
        Fault::ZeroByte => with_head(&format!("x-note: a\0b\r\n{}", promise(length)), body),
        Fault::Interim => "HTTP/1.1 102 Processing\r\n\r\n".repeat(20) + &whole(body),
        Fault::Compressed => return compressed(stream),
        Fault::Deep => whole(&("[".repeat(200_000) + &"]".repeat(200_000))),
        Fault::Portal => whole("<!doctype html><title>Welcome to the hotel</title>"),
        Fault::ErrorInOk => whole(r#"{"error":{"message":"overloaded","code":502}}"#),
        Fault::TwoHints => "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\n\
                            retry-after: 1\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        Fault::NotUtf8 => return not_utf8(stream, body),
        Fault::Never => return until_it_goes(stream),
        Fault::Late => {
            until_it_goes(stream)?;
            whole(body)
        }
        Fault::EndlessHead => {
            return forever(stream, b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n");
        }
        Fault::EndlessInterim => return forever(stream, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        Fault::Drip => return drip(stream, &whole(body)),
        Fault::TwoGigabytes => return flood(stream, &promise(1 << 31), 1 << 31),
        Fault::Large => return flood(stream, "connection: close\r\n", 96 << 20),
    };
    stream.write_all(text.as_bytes())
}

fn chunked(body: &str) -> String {
    with_head("transfer-encoding: chunked\r\n", body)
}

/// Reads until the client closes its side.
fn until_it_goes(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 256];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Writes the same again and again until the client has had enough.
fn forever(stream: &mut TcpStream, first: &[u8], more: &[u8]) -> io::Result<()> {
    stream.write_all(first)?;
    loop {
        stream.write_all(more)?;
    }
}

fn drip(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    for byte in text.bytes() {
        stream.write_all(&[byte])?;
        // So slowly that all of it would take minutes.
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn flood(stream: &mut TcpStream, head: &str, bytes: usize) -> io::Result<()> {
    stream.write_all(with_head(head, "").as_bytes())?;
    for _ in 0..bytes / BLOCK.len() {
        stream.write_all(&BLOCK)?;
    }
    Ok(())
}

/// The head of a gzip member, and deflated blocks without an end to what they unfold to.
fn compressed(stream: &mut TcpStream) -> io::Result<()> {
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    body.extend(std::iter::repeat_n(0xec_u8, 1 << 20));
    let head = format!(
        "content-encoding: gzip\r\ncontent-length: {}\r\n",
        body.len()
    );
    stream.write_all(with_head(&head, "").as_bytes())?;
    stream.write_all(&body)
}

fn not_utf8(stream: &mut TcpStream, body: &str) -> io::Result<()> {
    let mut bytes = body.as_bytes().to_vec();
    let at = body.find("Simulated").unwrap();
    bytes[at] = 0xff;
    let head = format!("content-length: {}\r\n", bytes.len());
    stream.write_all(with_head(&head, "").as_bytes())?;
    stream.write_all(&bytes)
}
