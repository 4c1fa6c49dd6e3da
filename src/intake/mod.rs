//! A file becomes rows: CSV is read as a stream, every row is checked, and a recipe turns it into
//! the request that will be sent.
//!
//! The border: bytes come in, [`NewRow`](crate::domain::job::NewRow)s go out. Nothing in here
//! knows the queue or the network. Code is synchronous and `Send`, for a blocking thread.
//!
//! In the order of a row's way: `source` opens, `sniff` refuses what is no text, `scan` watches
//! the quotes, `records` splits and checks, `columns` knows the header, `template`, `params` and
//! `request` write the request, `keys` name the row, `reader` hands it out in chunks.

mod columns;
mod error;
mod keys;
mod params;
mod reader;
mod records;
mod request;
mod scan;
mod sniff;
mod source;
mod template;

pub use error::{BadRow, ExitKind, IntakeError};
pub use params::{SetError, parse_set};
pub use reader::Reader;
pub use source::{Options, Source, Stamp};

#[cfg(test)]
mod fixture;
