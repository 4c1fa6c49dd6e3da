//! A file becomes rows: it is read as a stream, every row is checked, and a recipe turns it into
//! the request that will be sent.
//!
//! The border: bytes come in, [`NewRow`](crate::domain::job::NewRow)s go out. Nothing in here
//! knows the queue or the network. Code is synchronous and `Send`, for a blocking thread.
//!
//! In the order of a row's way: `source` opens, `sniff` tells the form and refuses what is no text.
//! A `table` is read by `scan`, which watches the quotes, and `records`, which splits and checks;
//! `objects` and whole `requests` are read by `lines` and `fields`. `columns` knows the names,
//! `template`, `params` and `request` write the request, `keys` name the row, `reader` hands it out
//! in chunks. `outcomes` is the way back: what became of requests that somebody else has sent.

mod columns;
mod error;
mod fields;
mod keys;
mod lines;
mod objects;
mod outcomes;
mod params;
mod reader;
mod records;
mod request;
mod requests;
mod scan;
mod sniff;
mod source;
mod table;
mod template;

#[cfg(test)]
mod fixture;

pub use error::{BadRow, ExitKind, IntakeError};
pub use outcomes::{Brought, Outcome, Outcomes};
pub use params::{SetError, parse_set};
pub use reader::Reader;
pub use source::{Format, Options, Source, Stamp};
