//! The HTTP server of the simulated provider: accepts connections, reads requests, and executes
//! their response plans.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::error;
use super::plan::{PlannedOutcome, ResponsePlan};
use super::response::{Disconnect, SimulatedBody};
use super::route::SimulatedProvider;

/// Maximum size of a request body in bytes, larger than any provider accepts.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Pause after a failed `accept`, for example when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Accepts connections until `stop` is sent or dropped, then closes all of them.
pub(super) async fn serve(
    listener: TcpListener,
    provider: Arc<SimulatedProvider>,
    mut stop: oneshot::Receiver<()>,
) {
    // Dropping this future drops the set, which closes the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&provider)));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stop => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Serves one connection until it closes.
async fn serve_connection(stream: TcpStream, provider: Arc<SimulatedProvider>) {
    // Without this, the second of two small writes waits for an ACK. A failure only costs time.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(Arc::clone(&provider), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    let stream = connection.into_parts().io.into_inner();
    if ended.is_err_and(|error| is_reset(&error)) {
        // With zero linger, closing the socket resets the connection. If the option cannot be set,
        // the client sees an early close, which is a fault as well.
        let _ = stream.set_zero_linger();
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause == Some(&Disconnect::Reset)
}

/// Responds to one request, or disconnects.
async fn respond(
    provider: Arc<SimulatedProvider>,
    request: Request<Incoming>,
) -> Result<Response<SimulatedBody>, Disconnect> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        // Either the body is too large, or the client has disconnected and will not read this.
        let personality = provider.config.personality;
        let response = personality.error_response(&error::too_large());
        return Ok(response.map(|body| SimulatedBody::Whole(Some(body))));
    };
    let (plan, in_flight) = provider.plan(&head, &body.to_bytes());
    let ResponsePlan { delay, outcome } = plan;
    provider.gate.pass().await;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    match outcome {
        PlannedOutcome::Respond(response) => {
            in_flight.end_with_response();
            Ok(response)
        }
        PlannedOutcome::Disconnect(disconnect) => Err(disconnect),
        PlannedOutcome::Hang => match pending::<Infallible>().await {},
    }
}
