//! Response bodies: complete, truncated, slow, or very large; and the gate that holds them back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// A complete response.
pub(super) type SimulatedResponse = Response<Bytes>;

/// One chunk of a flood: spaces, which JSON allows before a value.
static BLANKS: [u8; 65_536] = [b' '; 65_536];

/// How a connection is ended before its response is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disconnect {
    /// Closed (FIN).
    Close,
    /// Reset (RST).
    Reset,
}

impl fmt::Display for Disconnect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Close => "simulated fault: connection closed",
            Self::Reset => "simulated fault: connection reset",
        })
    }
}

impl std::error::Error for Disconnect {}

/// The body of a response.
#[derive(Debug)]
pub(super) enum SimulatedBody {
    /// The complete body; `None` once it was sent.
    Whole(Option<Bytes>),
    /// The first half, then the end of the connection.
    Truncated(TruncatedBody),
    /// One byte at a time.
    Slow(SlowBody),
    /// This many bytes, without `Content-Length`.
    Flood(u64),
}

/// A body of which only the first half is sent.
#[derive(Debug)]
pub(super) struct TruncatedBody {
    body: Bytes,
    disconnect: Disconnect,
    stage: TruncationStage,
}

#[derive(Debug)]
enum TruncationStage {
    Send,
    Flush,
    Disconnect,
}

/// A body that is sent one byte at a time.
#[derive(Debug)]
pub(super) struct SlowBody {
    remaining: Bytes,
    interval: Duration,
    timer: Pin<Box<Sleep>>,
}

impl SimulatedBody {
    /// Creates a body whose first half is sent before the connection ends.
    pub(super) fn truncated(body: Bytes, disconnect: Disconnect) -> Self {
        Self::Truncated(TruncatedBody {
            body,
            disconnect,
            stage: TruncationStage::Send,
        })
    }

    /// Creates a body that is sent one byte per `interval`.
    pub(super) fn slow(body: Bytes, interval: Duration) -> Self {
        Self::Slow(SlowBody {
            remaining: body,
            interval,
            timer: Box::pin(sleep_until(Instant::now() + interval)),
        })
    }
}

impl Body for SimulatedBody {
    type Data = Bytes;
    type Error = Disconnect;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Disconnect>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Truncated(truncated) => truncated.poll(context),
            Self::Slow(slow) => slow.poll(context),
            Self::Flood(remaining) => Poll::Ready(flood(remaining)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Self::Truncated(_) => false,
            Self::Slow(slow) => slow.remaining.is_empty(),
            Self::Flood(remaining) => *remaining == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = |bytes: &Bytes| SizeHint::with_exact(bytes.len() as u64);
        match self {
            Self::Whole(body) => body.as_ref().map_or(SizeHint::with_exact(0), length),
            Self::Truncated(truncated) => length(&truncated.body),
            Self::Slow(slow) => length(&slow.remaining),
            Self::Flood(_) => SizeHint::default(),
        }
    }
}

impl TruncatedBody {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Disconnect>>> {
        match self.stage {
            TruncationStage::Send => {
                self.stage = TruncationStage::Flush;
                let first_half = self.body.slice(..self.body.len() / 2);
                Poll::Ready(Some(Ok(Frame::data(first_half))))
            }
            // A pending body makes the connection flush its buffer.
            TruncationStage::Flush => {
                self.stage = TruncationStage::Disconnect;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            TruncationStage::Disconnect => Poll::Ready(Some(Err(self.disconnect))),
        }
    }
}

impl SlowBody {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Disconnect>>> {
        if self.remaining.is_empty() {
            return Poll::Ready(None);
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer.as_mut().reset(Instant::now() + self.interval);
        Poll::Ready(Some(Ok(Frame::data(self.remaining.split_to(1)))))
    }
}

fn flood(remaining: &mut u64) -> Option<Result<Frame<Bytes>, Disconnect>> {
    if *remaining == 0 {
        return None;
    }
    let size =
        usize::try_from(*remaining).map_or(BLANKS.len(), |remaining| remaining.min(BLANKS.len()));
    *remaining -= size as u64;
    Some(Ok(Frame::data(Bytes::from_static(&BLANKS[..size]))))
}

/// Builds a JSON response.
pub(super) fn json(status: u16, value: &impl Serialize) -> SimulatedResponse {
    let body = serde_json::to_vec(value).expect("the wire types have string keys only");
    with_type(status, "application/json", body.into())
}

/// Builds a response with a content type.
pub(super) fn with_type(status: u16, content_type: &'static str, body: Bytes) -> SimulatedResponse {
    let mut response = Response::new(body);
    *response.status_mut() = final_status(status);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Returns the status, or 500 if the number is not a final HTTP status.
pub(super) fn final_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A gate that can hold back all responses, so that tests can act at a known moment. Initially open.
#[derive(Debug, Default)]
pub(super) struct ResponseGate {
    closed: AtomicBool,
    opened: Notify,
}

impl ResponseGate {
    /// Holds back responses from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets the waiting and all later responses pass.
    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    /// Waits until the gate is open.
    pub(super) async fn pass(&self) {
        while self.closed.load(Ordering::SeqCst) {
            // Subscribe before checking again, or an opening in between would be missed.
            let opened = self.opened.notified();
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}
