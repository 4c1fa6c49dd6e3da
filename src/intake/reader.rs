//! Reads the rows of an input in chunks that are ready to be stored, or reports all invalid rows.

use std::fmt;

use super::error::{IntakeError, InvalidRow, MAX_SHOWN_ROWS, Result};
use super::format::Format;
use super::line_reader::LineReader;
use super::objects::Objects;
use super::requests::{self, Requests};
use super::rows::{NextRow, Rows};
use super::source::Source;
use super::table::Table;
use crate::api::{RequestTemplate, RowFormat};
use crate::domain::job::Chunk;

/// A chunk of this many bytes is full, regardless of its number of rows.
const CHUNK_BYTES: usize = 8 << 20;

/// Reads an input and renders the request of each row.
pub struct Reader {
    rows: Box<dyn Rows>,
    template: RequestTemplate,
    has_rows: bool,
    /// Number of columns returned so far.
    returned_columns: usize,
    invalid: Vec<InvalidRow>,
    more_invalid: u64,
}

impl Reader {
    /// Creates a reader. Reads the header of a table, or the first line of another format.
    ///
    /// Errors: the format is not supported; the header, a template or a parameter is invalid; a
    /// required column is missing.
    pub fn new(source: Source, template: &RequestTemplate) -> Result<Self> {
        let input = source.sniff()?;
        let mut template = template.clone();
        let rows: Box<dyn Rows> = if input.format == Format::Csv {
            template.row_format = RowFormat::Table;
            Box::new(Table::new(input, &template)?)
        } else {
            let is_explicit = input.is_explicit;
            let mut is_batch = input.format == Format::Batch;
            let mut lines = LineReader::new(input);
            if !is_explicit && let Some((_, first)) = lines.next()? {
                is_batch = first.is_ok_and(requests::is_request);
                lines.unread();
            }
            if is_batch {
                let (requests, settings) = Requests::new(lines, &template)?;
                template = settings;
                Box::new(requests)
            } else {
                template.row_format = RowFormat::Objects;
                Box::new(Objects::new(lines, &template)?)
            }
        };
        Ok(Self {
            rows,
            template,
            has_rows: false,
            returned_columns: 0,
            invalid: Vec::new(),
            more_invalid: 0,
        })
    }

    /// Returns the template with the values that the input determines: the row format and, for
    /// complete requests, the endpoint and the model.
    #[must_use]
    pub fn template(&self) -> &RequestTemplate {
        &self.template
    }

    /// Returns the names of the columns found so far, in order. For a table, the list is complete.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        self.rows.columns()
    }

    /// Reads the next rows: at most `max_rows`, and fewer when they are large. A chunk without rows
    /// marks the end of the input.
    ///
    /// After an invalid row, no more rows are returned; the rest of the input is read to report
    /// all errors at once. On any error, discard the chunks that were returned before.
    pub fn next_chunk(&mut self, max_rows: usize) -> Result<Chunk> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < max_rows.max(1) && bytes < CHUNK_BYTES {
            match self.rows.next()? {
                NextRow::End => {
                    self.check_end()?;
                    break;
                }
                NextRow::Row(row) if self.invalid.is_empty() => {
                    bytes += row.cells.len() + row.request.len();
                    rows.push(row);
                }
                NextRow::Row(_) => {}
                NextRow::Invalid(row) => {
                    rows.clear();
                    if self.invalid.len() == MAX_SHOWN_ROWS {
                        self.more_invalid += 1;
                    } else {
                        self.invalid.push(row);
                    }
                }
            }
            self.has_rows = true;
        }
        let columns = self.columns()[self.returned_columns..].to_vec();
        self.returned_columns += columns.len();
        Ok(Chunk { rows, columns })
    }

    fn check_end(&self) -> Result<()> {
        // Checked first: an unknown column is the cause of invalid rows, not a consequence.
        self.rows.check_end(self.has_rows)?;
        if self.invalid.is_empty() {
            return Ok(());
        }
        Err(IntakeError::InvalidRows {
            file: self.rows.file().to_owned(),
            rows: self.invalid.clone(),
            more: self.more_invalid,
        })
    }
}

/// Omits the current row: prompts must not appear in logs.
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown
            .field("file", &self.rows.file())
            .finish_non_exhaustive()
    }
}
