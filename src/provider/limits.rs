//! The limits of a client.

use std::time::Duration;

/// Time and size limits of requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// The timeout for establishing a connection, including DNS and TLS.
    pub connect_timeout: Duration,
    /// The timeout of a request, from connecting to the last byte of the response.
    pub total_timeout: Duration,
    /// The maximum size of a success response, in bytes.
    pub max_response_bytes: usize,
    /// The number of bytes to read of an error response.
    pub max_error_bytes: usize,
}

impl Default for ClientLimits {
    /// Timeouts of 10 s and 300 s; sizes of 8 MiB and 64 KiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(5),
            max_response_bytes: 8 * 1024 * 1024,
            max_error_bytes: 64 * 1024,
        }
    }
}
