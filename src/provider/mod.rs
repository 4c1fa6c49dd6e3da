//! The provider: the one room that talks HTTP. It takes a request body and a key, and gives back an
//! answer or a failure as data. What a failure means is judged elsewhere (`domain::verdict`).

mod answer;
mod base_url;
mod client;
mod headers;
mod kept;
pub mod refusal;
mod response;
mod transport;

pub use answer::Success;
pub use base_url::{BaseUrlError, Endpoint, Note};
pub use client::{Attempt, Client, ClientError, Limits, Other};
pub use headers::RateHeaders;
pub use kept::read_kept;
