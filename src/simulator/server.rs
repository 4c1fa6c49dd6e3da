//! The socket side of the simulated provider: accepts connections, reads requests, waits as long
//! as was decided, and sends or breaks off what was decided.

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

use super::react::{Outcome, Plan};
use super::refusal;
use super::reply::{Broken, Flow};
use super::route::Provider;

/// The largest request body, in bytes: above what any provider takes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How long to wait before the next try when no connection can be accepted, as when the process
/// has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Accepts connections until `stop` is told or gone, then ends them all.
pub(super) async fn serve(
    listener: TcpListener,
    provider: Arc<Provider>,
    mut stop: oneshot::Receiver<()>,
) {
    // Whoever drops this future drops the set with it, and so ends the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&provider)));
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

/// Serves one connection to its end.
async fn converse(stream: TcpStream, provider: Arc<Provider>) {
    // Without it the second of two small writes waits for the other side; a failure only costs
    // time.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(Arc::clone(&provider), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    let stream = connection.into_parts().io.into_inner();
    if ended.is_err_and(|error| is_reset(&error)) {
        // A socket that does not linger is reset when it is closed. If that cannot be set, the
        // other side sees a plain end, which is a fault as well.
        let _ = stream.set_zero_linger();
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause == Some(&Broken::Reset)
}

/// Answers one request, or breaks its connection.
async fn respond(
    provider: Arc<Provider>,
    request: Request<Incoming>,
) -> Result<Response<Flow>, Broken> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        // Either the body is too large or the client is gone; the latter will not read this.
        let refusal = refusal::too_large().reply(provider.config.personality);
        return Ok(refusal.map(|body| Flow::Whole(Some(body))));
    };
    let (plan, flight) = provider.decide(&head, &body.to_bytes());
    let Plan { delay, outcome } = plan;
    provider.gate.pass().await;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    match outcome {
        Outcome::Respond(response) => {
            flight.answered();
            Ok(response)
        }
        Outcome::Break(end) => Err(end),
        Outcome::Hang => match pending::<Infallible>().await {},
    }
}
