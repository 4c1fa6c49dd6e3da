//! The APIs that requests can be sent to: chat completions and embeddings.
//!
//! Each API has a file, `chat` or `embeddings`, with everything that is specific to it: its path,
//! the structure of its requests, and the parsing of its responses. `format` defines what that is,
//! and `registry` lists the APIs. The provider module parses responses with this module, and the
//! export parses the stored bodies with it, so both see the same content.

mod chat;
mod completion;
mod embeddings;
mod format;
mod registry;
mod request_template;

pub use completion::{CompletionMetadata, Content, FindError, InvalidCompletion};
pub use format::{ApiFormat, RequestLayout, StructuredOutput};
pub use registry::{Api, content, follow_up};
pub use request_template::{RequestTemplate, ReservedParam, RowFormat, reserved_param};
