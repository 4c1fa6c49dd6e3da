//! Rows of a table: the header names the columns, and each record below it is a row.

use std::sync::Arc;

use csv::StringRecord;

use super::columns::Columns;
use super::error::{BadRow, IntakeError};
use super::keys::{Keys, digest_of};
use super::reader::Step;
use super::records::{Fault, Next, Records};
use super::request::{Composer, Uncomposed, write_cells};
use super::source::Begun;
use crate::domain::job::NewRow;
use crate::domain::request_template::RequestTemplate;

/// A table whose header is read.
pub(super) struct Table {
    records: Records,
    columns: Arc<Columns>,
    composer: Composer,
    keys: Keys,
    id_column: Option<usize>,
    record: StringRecord,
}

impl Table {
    /// Reads the header and fits the recipe to its columns.
    pub(super) fn new(begun: Begun, template: &RequestTemplate) -> Result<Self, IntakeError> {
        let delimiter = begun.delimiter;
        let mut records = Records::new(begun);
        let mut record = StringRecord::new();
        let columns = match records.next(&mut record)? {
            Next::Record(line) => Columns::new(&record, &records.file, line, delimiter)?,
            Next::Fault(fault) => return Err(bad_header(records.file, &fault)),
            Next::End => return Err(IntakeError::Empty { file: records.file }),
        };
        let columns = Arc::new(columns);
        let id_column = match &template.id_column {
            Some(name) => Some(columns.require(name, "--id-column")?),
            None => None,
        };
        let keys = Keys::new(id_column.is_some());
        let composer = Composer::new(template, &columns)?;
        Ok(Self {
            records,
            columns,
            composer,
            keys,
            id_column,
            record,
        })
    }

    /// Returns the names of the columns, in the order of the header.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// Returns the input as messages call it.
    pub(super) fn file(&self) -> &str {
        &self.records.file
    }

    /// Reads the next row.
    pub(super) fn next(&mut self) -> Result<Step, IntakeError> {
        let (line, row) = match self.records.next(&mut self.record)? {
            Next::Record(line) => (line, self.row(line)),
            Next::Fault(fault) => (fault.line, Err(Uncomposed::Row(fault.field, fault.what))),
            Next::End => return Ok(Step::End),
        };
        match row {
            Ok(row) => Ok(Step::Row(row)),
            Err(Uncomposed::RequestTemplate(error)) => Err(error),
            Err(Uncomposed::Row(field, what)) => {
                let name = field.and_then(|place| self.columns.names.get(place));
                let column = name.filter(|name| !name.is_empty()).cloned();
                Ok(Step::Bad(BadRow { line, column, what }))
            }
        }
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
    let hint = if found > expected {
        "put quotes around a text that holds the delimiter"
    } else {
        "a text with line breaks needs quotes, and an empty cell its delimiter"
    };
    format!("the row has {found} {fields}, the header has {expected}; {hint}")
}
