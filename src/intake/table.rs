//! Rows of a table: the first record is the header, and each further record is a row.

use std::sync::Arc;

use csv::StringRecord;

use super::columns::{Columns, HEADER_HINT};
use super::error::{IntakeError, InvalidRow, Result};
use super::records::{NextRecord, RecordError, Records};
use super::request::{RequestRenderer, cells_to_json};
use super::row_keys::{RowKeys, digest_of};
use super::rows::{NextRow, Rows};
use super::source::SniffedInput;
use super::template::RenderError;
use crate::api::RequestTemplate;
use crate::domain::job::NewRow;

/// An input of CSV records.
pub(super) struct Table {
    records: Records,
    columns: Arc<Columns>,
    renderer: RequestRenderer,
    keys: RowKeys,
    id_column: Option<usize>,
    record: StringRecord,
}

impl Table {
    /// Reads the header and compiles the template for its columns.
    pub(super) fn new(input: SniffedInput, template: &RequestTemplate) -> Result<Self> {
        let delimiter = input.delimiter;
        let mut records = Records::new(input);
        let mut record = StringRecord::new();
        let columns = match records.next(&mut record)? {
            NextRecord::Record(line) => Columns::new(&record, &records.file, line, delimiter)?,
            NextRecord::Invalid(error) => return Err(header_error(records.file, &error)),
            NextRecord::End => return Err(IntakeError::Empty(records.file)),
        };
        let columns = Arc::new(columns);
        let id_column = template.id_column.as_deref();
        let id_column = id_column.map(|name| columns.require(name, "--id-column"));
        let id_column = id_column.transpose()?;
        Ok(Self {
            records,
            renderer: RequestRenderer::new(template, &columns)?,
            columns,
            keys: RowKeys::new(id_column.is_some()),
            id_column,
            record,
        })
    }

    /// Builds a row from the current record.
    fn row(&mut self, line: u64) -> Result<NewRow, RenderError> {
        let (found, expected) = (self.record.len(), self.columns.names.len());
        if found != expected {
            return Err(RenderError::Row(None, field_count_message(found, expected)));
        }
        let request = self.renderer.render(&mut self.record)?;
        let cells = cells_to_json(&self.record);
        let id = self.id_column.and_then(|index| self.record.get(index));
        let key = self.keys.key(id.unwrap_or_default(), &cells, line);
        Ok(NewRow {
            key: key.map_err(|message| RenderError::Row(self.id_column, message))?,
            digest: digest_of(&request),
            cells,
            request,
        })
    }
}

impl Rows for Table {
    fn columns(&self) -> &[String] {
        &self.columns.names
    }

    fn file(&self) -> &str {
        &self.records.file
    }

    fn next(&mut self) -> Result<NextRow> {
        let (line, row) = match self.records.next(&mut self.record)? {
            NextRecord::Record(line) => (line, self.row(line)),
            NextRecord::Invalid(error) => {
                let invalid = RenderError::Row(error.field, error.message);
                (error.line, Err(invalid))
            }
            NextRecord::End => return Ok(NextRow::End),
        };
        match row {
            Ok(row) => Ok(NextRow::Row(row)),
            Err(RenderError::Template(error)) => Err(error),
            Err(RenderError::Row(field, message)) => {
                let name = field.and_then(|index| self.columns.names.get(index));
                let column = name.filter(|name| !name.is_empty()).cloned();
                Ok(NextRow::Invalid(InvalidRow::new(line, column, message)))
            }
        }
    }

    fn check_end(&self, has_rows: bool) -> Result<()> {
        let missing = || IntakeError::NoRows(self.file().to_owned());
        has_rows.then_some(()).ok_or_else(missing)
    }
}

fn header_error(file: String, error: &RecordError) -> IntakeError {
    let message = match error.field {
        Some(index) => format!("header field {}: {}", index + 1, error.message),
        None => format!("header: {}", error.message),
    };
    IntakeError::Header {
        file,
        line: error.line,
        message,
        hint: HEADER_HINT.to_owned(),
    }
}

fn field_count_message(found: usize, expected: usize) -> String {
    let hint = if found > expected {
        "quote values that contain the delimiter"
    } else {
        "quote values that contain line breaks, and keep the delimiters of empty fields"
    };
    let fields = if expected == 1 { "field" } else { "fields" };
    format!("expected {expected} {fields}, found {found}; {hint}")
}
