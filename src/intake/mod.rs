//! Reads input files: streams the rows, validates them, and renders the request of each.
//!
//! Bytes in, [`NewRow`](crate::domain::job::NewRow)s out. This module does not depend on the queue
//! or the network. The code is synchronous and `Send`, so that it can run on a blocking thread.
//!
//! In the order of processing: `source` opens the input, `sniff` detects its format. A `table` is
//! read by `scan`, which checks the quotes, and `records`, which splits it into fields; `objects`
//! and complete `requests` are read by `line_reader` and `fields`. `columns` resolves names,
//! `template`, `params` and `request` render the request, `row_keys` assigns the key, and `reader`
//! returns the rows in chunks. `batch_output` reads the results of the `OpenAI` Batch API.

mod batch_output;
mod columns;
mod error;
mod fields;
mod format;
mod line_reader;
mod objects;
mod params;
mod reader;
mod records;
mod request;
mod requests;
mod row_keys;
mod rows;
mod scan;
mod sniff;
mod source;
mod table;
mod template;

#[cfg(test)]
mod fixture;

pub use batch_output::{BatchOutput, BatchOutputLine, RequestResult};
pub use error::{ExitKind, IntakeError, InvalidRow, ParamError};
pub use format::{Format, Options};
pub use params::parse_set;
pub use reader::Reader;
pub use source::{FileStamp, Source};
