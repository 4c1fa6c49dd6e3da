//! The HTTP client for OpenAI-compatible endpoints, the only module that sends HTTP requests. It
//! sends a request body with an API key and returns a completion or a failure as data. Failures are
//! classified in `domain::verdict`.

mod base_url;
mod client;
mod completion;
mod context;
mod endpoint;
pub mod error_response;
mod headers;
mod limits;
mod response;
mod transport;

pub use base_url::{BaseUrlError, BaseUrlFix};
pub use client::{Client, ClientError, Exchange, ProbeTarget};
pub use completion::{ParsedCompletion, parse_imported};
pub use endpoint::Endpoint;
pub use headers::RateHeaders;
pub use limits::ClientLimits;
