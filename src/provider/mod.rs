//! The provider: the one room that talks HTTP. It takes a request body and a key, and gives back an
//! answer or a failure as data. What a failure means is judged elsewhere (`domain::verdict`).

mod base_url;
mod client;
mod completion;
mod headers;
mod imported;
pub mod refusal;
mod response;
mod transport;

pub use base_url::{BaseUrlError, Endpoint, Note};
pub use client::{Attempt, Client, ClientError, ClientLimits, Other};
pub use completion::ParsedCompletion;
pub use headers::RateHeaders;
pub use imported::read_imported;
