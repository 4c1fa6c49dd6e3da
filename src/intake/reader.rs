//! Hands out the rows of an input in chunks, ready to be stored, or all that is wrong with them.

use std::fmt;

use super::error::{BadRow, IntakeError, SHOWN_ROWS};
use super::lines::Lines;
use super::objects::Objects;
use super::requests::{self, Requests};
use super::source::{Format, Source};
use super::table::Table;
use crate::domain::job::{Chunk, NewRow};
use crate::domain::request_template::{Form, RequestTemplate};

/// From this many bytes on a chunk is full, however few its rows.
const CHUNK_BYTES: usize = 8 << 20;

/// An input that has begun to be read, and whose recipe fits it as far as that is known.
pub struct Reader {
    rows: Rows,
    template: RequestTemplate,
    has_rows: bool,
    /// Columns that were handed out.
    told_columns: usize,
    bad: Vec<BadRow>,
    more: u64,
}

/// What comes next in an input.
pub(super) enum Step {
    /// A row.
    Row(NewRow),
    /// A row that cannot become a job.
    Bad(BadRow),
    /// Nothing.
    End,
}

enum Rows {
    Table(Box<Table>),
    Objects(Box<Objects>),
    Requests(Box<Requests>),
}

impl Reader {
    /// Begins to read a source: the header of a table, the first line of anything else.
    ///
    /// Errors: the file has none of our forms, or no usable header; a column that the recipe
    /// names is not there; a template or a parameter cannot work.
    pub fn new(source: Source, template: &RequestTemplate) -> Result<Self, IntakeError> {
        let begun = source.begin()?;
        let mut template = template.clone();
        let rows = if begun.format == Format::Csv {
            template.form = Form::Table;
            Rows::Table(Box::new(Table::new(begun, &template)?))
        } else {
            let is_told = begun.told;
            let mut is_batch = begun.format == Format::Batch;
            let mut lines = Lines::new(begun);
            if !is_told && let Some((_, first)) = lines.next()? {
                is_batch = first.is_ok_and(requests::is_request);
                lines.hold();
            }
            if is_batch {
                let (requests, given) = Requests::new(lines, &template)?;
                template = given;
                Rows::Requests(Box::new(requests))
            } else {
                template.form = Form::Objects;
                Rows::Objects(Box::new(Objects::new(lines, &template)?))
            }
        };
        Ok(Self {
            rows,
            template,
            has_rows: false,
            told_columns: 0,
            bad: Vec::new(),
            more: 0,
        })
    }

    /// Returns the recipe as the input completes it: with the form of its rows, and with the model
    /// that its requests name.
    #[must_use]
    pub fn template(&self) -> &RequestTemplate {
        &self.template
    }

    /// Returns the names of the columns that have shown up so far, in that order. Those of a table
    /// are all known from the start.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        match &self.rows {
            Rows::Table(table) => table.columns(),
            Rows::Objects(objects) => objects.columns(),
            Rows::Requests(requests) => requests.columns(),
        }
    }

    /// Reads the next rows, `max_rows` at most and fewer when they are large. A chunk without rows
    /// is the end of the input.
    ///
    /// After a bad row no row is handed out any more: the rest of the input is read to tell all
    /// that is wrong with it at once. With any error, the chunks that were handed out before must
    /// not be kept.
    pub fn next_chunk(&mut self, max_rows: usize) -> Result<Chunk, IntakeError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < max_rows.max(1) && bytes < CHUNK_BYTES {
            let step = match &mut self.rows {
                Rows::Table(table) => table.next(),
                Rows::Objects(objects) => objects.next(),
                Rows::Requests(requests) => requests.next(),
            };
            match step? {
                Step::End => {
                    self.check_end()?;
                    break;
                }
                Step::Row(row) if self.bad.is_empty() => {
                    bytes += row.cells.len() + row.request.len();
                    rows.push(row);
                }
                Step::Row(_) => {}
                Step::Bad(bad) => {
                    self.note(bad);
                    rows.clear();
                }
            }
            self.has_rows = true;
        }
        let columns = self.columns()[self.told_columns..].to_vec();
        self.told_columns += columns.len();
        Ok(Chunk { rows, columns })
    }

    fn note(&mut self, bad: BadRow) {
        if self.bad.len() == SHOWN_ROWS {
            self.more += 1;
        } else {
            self.bad.push(bad);
        }
    }

    fn file(&self) -> &str {
        match &self.rows {
            Rows::Table(table) => table.file(),
            Rows::Objects(objects) => objects.file(),
            Rows::Requests(requests) => requests.file(),
        }
    }

    fn check_end(&self) -> Result<(), IntakeError> {
        let file = self.file().to_owned();
        if !self.has_rows {
            return Err(match self.rows {
                Rows::Table(_) => IntakeError::NoRows { file },
                Rows::Objects(_) | Rows::Requests(_) => IntakeError::NoLines { file },
            });
        }
        // A name that stands nowhere is why rows are bad, and not the other way round.
        if let Rows::Objects(objects) = &self.rows
            && !objects.columns().is_empty()
        {
            objects.check_end()?;
        }
        if !self.bad.is_empty() {
            let (rows, more) = (self.bad.clone(), self.more);
            return Err(IntakeError::BadRows { file, rows, more });
        }
        Ok(())
    }
}

/// The row at hand is not shown: a prompt belongs in no log.
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown.field("file", &self.file()).finish_non_exhaustive()
    }
}
