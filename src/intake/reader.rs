//! Hands out the rows of an input in chunks, ready to be stored, or all that is wrong with them.

use std::fmt;
use std::sync::Arc;

use csv::StringRecord;

use super::columns::Columns;
use super::error::{BadRow, IntakeError, SHOWN_ROWS};
use super::keys::{Keys, digest_of};
use super::records::{Fault, Next, Records};
use super::request::{Composer, Uncomposed, write_cells};
use super::source::Source;
use crate::domain::job::NewRow;
use crate::domain::recipe::Recipe;

/// From this many bytes on a chunk is full, however few its rows.
const CHUNK_BYTES: usize = 8 << 20;

/// An input whose header is read and whose recipe fits it.
pub struct Reader {
    records: Records,
    columns: Arc<Columns>,
    composer: Composer,
    keys: Keys,
    id_column: Option<usize>,
    record: StringRecord,
    has_rows: bool,
    bad: Vec<BadRow>,
    more: u64,
}

impl Reader {
    /// Reads the header of a source and fits the recipe to its columns.
    ///
    /// Errors: the file is no CSV in UTF-8 or has no usable header; a column that the recipe
    /// names is not there; a template or a parameter cannot work.
    pub fn new(source: Source, recipe: &Recipe) -> Result<Self, IntakeError> {
        let delimiter = source.options.delimiter;
        let mut records = Records::new(source)?;
        let mut record = StringRecord::new();
        let columns = match records.next(&mut record)? {
            Next::Record(line) => Columns::new(&record, &records.file, line, delimiter)?,
            Next::Fault(fault) => return Err(bad_header(records.file, &fault)),
            Next::End => return Err(IntakeError::Empty { file: records.file }),
        };
        let columns = Arc::new(columns);
        let id_column = match &recipe.id_column {
            Some(name) => Some(columns.require(name, "--id-column")?),
            None => None,
        };
        let keys = if id_column.is_some() {
            Keys::from_ids()
        } else {
            Keys::from_content()
        };
        let composer = Composer::new(recipe, &columns)?;
        Ok(Self {
            records,
            columns,
            composer,
            keys,
            id_column,
            record,
            has_rows: false,
            bad: Vec::new(),
            more: 0,
        })
    }

    /// Returns the names of the columns, in the order of the header.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// Reads the next rows, `max_rows` at most and fewer when they are large. An empty chunk is
    /// the end of the input.
    ///
    /// After a bad row no row is handed out any more: the rest of the input is read to tell all
    /// that is wrong with it at once. With any error, the chunks that were handed out before must
    /// not be kept.
    pub fn next_chunk(&mut self, max_rows: usize) -> Result<Vec<NewRow>, IntakeError> {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while chunk.len() < max_rows.max(1) && bytes < CHUNK_BYTES {
            let (line, row) = match self.records.next(&mut self.record)? {
                Next::Record(line) => (line, self.row(line)),
                Next::Fault(fault) => (fault.line, Err(Uncomposed::Row(fault.field, fault.what))),
                Next::End => {
                    self.check_end()?;
                    break;
                }
            };
            self.has_rows = true;
            match row {
                Ok(row) if self.bad.is_empty() => {
                    bytes += row.cells.len() + row.request.len();
                    chunk.push(row);
                }
                Ok(_) => {}
                Err(Uncomposed::Row(field, what)) => {
                    self.note(line, field, what);
                    chunk.clear();
                }
                Err(Uncomposed::Recipe(error)) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// Makes a row of the record that was read.
    fn row(&mut self, line: u64) -> Result<NewRow, Uncomposed> {
        let (found, expected) = (self.record.len(), self.columns.names.len());
        if found != expected {
            return Err(Uncomposed::Row(None, ragged(found, expected)));
        }
        let request = self.composer.compose(&mut self.record)?;
        let cells = write_cells(&self.record);
        let id = self.id_column.and_then(|place| self.record.get(place));
        let key = self.keys.key(id.unwrap_or_default(), &cells, line);
        Ok(NewRow {
            key: key.map_err(|what| Uncomposed::Row(self.id_column, what))?,
            digest: digest_of(&request),
            cells,
            request,
        })
    }

    fn note(&mut self, line: u64, field: Option<usize>, what: String) {
        if self.bad.len() == SHOWN_ROWS {
            self.more += 1;
            return;
        }
        let name = field.and_then(|place| self.columns.names.get(place));
        let column = name.filter(|name| !name.is_empty()).cloned();
        self.bad.push(BadRow { line, column, what });
    }

    fn check_end(&self) -> Result<(), IntakeError> {
        let file = self.records.file.clone();
        if !self.bad.is_empty() {
            let (rows, more) = (self.bad.clone(), self.more);
            return Err(IntakeError::BadRows { file, rows, more });
        }
        if !self.has_rows {
            return Err(IntakeError::NoRows { file });
        }
        Ok(())
    }
}

/// The row at hand is not shown: a prompt belongs in no log.
impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown
            .field("file", &self.records.file)
            .finish_non_exhaustive()
    }
}

fn bad_header(file: String, fault: &Fault) -> IntakeError {
    let what = match fault.field {
        Some(place) => format!("the header's field {}: {}", place + 1, fault.what),
        None => format!("the header: {}", fault.what),
    };
    IntakeError::Header {
        file,
        line: fault.line,
        what,
        hint: "the first line names the columns, `prompt` among them".to_owned(),
    }
}

fn ragged(found: usize, expected: usize) -> String {
    let fields = if found == 1 { "field" } else { "fields" };
    let cure = if found > expected {
        "put quotes around a text that holds the delimiter"
    } else {
        "a text with line breaks needs quotes, and an empty cell its delimiter"
    };
    format!("the row has {found} {fields}, the header has {expected}; {cure}")
}
