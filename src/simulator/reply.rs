//! The responses as bytes: whole ones, and those that break off, trickle or flood.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep_until};

/// A complete response before it is sent.
pub(super) type SimulatedResponse = Response<Bytes>;

/// The piece that a flood is made of: blanks, which JSON allows before a value.
static BLANKS: [u8; 65_536] = [b' '; 65_536];

/// How a connection ends without a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is closed as usual (FIN).
    Closed,
    /// It is reset (RST).
    Reset,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "the simulated fault closes the connection",
            Self::Reset => "the simulated fault resets the connection",
        })
    }
}

impl std::error::Error for Broken {}

/// The body of a response on its way out.
#[derive(Debug)]
pub(super) enum Flow {
    /// All of it at once; `None` when it is sent.
    Whole(Option<Bytes>),
    /// Its first half, a moment for it to leave, then the end of the connection.
    Half(Half),
    /// One byte at a time.
    Drip(Drip),
    /// So many bytes, without saying how many.
    Flood(u64),
}

/// A body of which only the first half is sent.
#[derive(Debug)]
pub(super) struct Half {
    body: Bytes,
    end: Broken,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Send,
    Leave,
    End,
}

/// A body that is sent one byte at a time.
#[derive(Debug)]
pub(super) struct Drip {
    rest: Bytes,
    every: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Flow {
    /// Makes a body of which only the first half is sent before the connection ends.
    pub(super) fn half(body: Bytes, end: Broken) -> Self {
        Self::Half(Half {
            body,
            end,
            stage: Stage::Send,
        })
    }

    /// Makes a body that is sent one byte at a time.
    pub(super) fn drip(body: Bytes, every: Duration) -> Self {
        Self::Drip(Drip {
            rest: body,
            every,
            timer: Box::pin(sleep_until(Instant::now() + every)),
        })
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Half(half) => half.poll(context),
            Self::Drip(drip) => drip.poll(context),
            Self::Flood(left) => Poll::Ready(flood(left)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Self::Half(_) => false,
            Self::Drip(drip) => drip.rest.is_empty(),
            Self::Flood(left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = |bytes: &Bytes| SizeHint::with_exact(bytes.len() as u64);
        match self {
            Self::Whole(body) => body.as_ref().map_or(SizeHint::with_exact(0), length),
            Self::Half(half) => length(&half.body),
            Self::Drip(drip) => length(&drip.rest),
            Self::Flood(_) => SizeHint::default(),
        }
    }
}

impl Half {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.stage {
            Stage::Send => {
                self.stage = Stage::Leave;
                let half = self.body.slice(..self.body.len() / 2);
                Poll::Ready(Some(Ok(Frame::data(half))))
            }
            // A body that is pending makes the connection flush what it has.
            Stage::Leave => {
                self.stage = Stage::End;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::End => Poll::Ready(Some(Err(self.end))),
        }
    }
}

impl Drip {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer.as_mut().reset(Instant::now() + self.every);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(1)))))
    }
}

fn flood(left: &mut u64) -> Option<Result<Frame<Bytes>, Broken>> {
    if *left == 0 {
        return None;
    }
    let size = usize::try_from(*left).map_or(BLANKS.len(), |left| left.min(BLANKS.len()));
    *left -= size as u64;
    Some(Ok(Frame::data(Bytes::from_static(&BLANKS[..size]))))
}

/// Makes a JSON response.
pub(super) fn json(status: u16, value: &impl Serialize) -> SimulatedResponse {
    let body = serde_json::to_vec(value).expect("the wire types have string keys only");
    with_type(status, "application/json", body.into())
}

/// Makes a response with a content type.
pub(super) fn with_type(status: u16, content_type: &'static str, body: Bytes) -> SimulatedResponse {
    let mut reply = Response::new(body);
    *reply.status_mut() = final_status(status);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Returns the status, or 500 where the number is no final HTTP status.
pub(super) fn final_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
