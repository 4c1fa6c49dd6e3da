//! An address at which nobody listens, for as long as a test needs it.

use tokio::net::TcpSocket;

/// A base URL at which nobody listens, and nobody will while this is held.
pub(crate) struct Deaf(TcpSocket);

impl Deaf {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.0.local_addr().unwrap())
    }
}
