//! Rows that are JSON objects, one per line. Fields are columns, in the order of their first
//! occurrence; a field that is missing from a line is empty.
//!
//! The set of columns is complete only at the end of the input, so unknown columns are reported
//! there.

use std::sync::Arc;

use csv::StringRecord;

use super::columns::Columns;
use super::error::{IntakeError, InvalidRow, Result};
use super::fields::{Fields, cell_text};
use super::line_reader::LineReader;
use super::records::MAX_CELL_BYTES;
use super::request::RequestRenderer;
use super::row_keys::{RowKeys, digest_of};
use super::rows::{NextRow, Rows};
use super::template::RenderError;
use crate::api::RequestTemplate;
use crate::domain::job::NewRow;

/// An input of JSON objects.
pub(super) struct Objects {
    lines: LineReader,
    template: RequestTemplate,
    columns: Arc<Columns>,
    renderer: RequestRenderer,
    keys: RowKeys,
    record: StringRecord,
}

impl Objects {
    /// Creates a reader that renders requests with this template.
    pub(super) fn new(lines: LineReader, template: &RequestTemplate) -> Result<Self> {
        let columns = Arc::new(Columns::open(&lines.file));
        Ok(Self {
            renderer: RequestRenderer::new(template, &columns)?,
            keys: RowKeys::new(template.id_column.is_some()),
            template: template.clone(),
            columns,
            lines,
            record: StringRecord::new(),
        })
    }
}

impl Rows for Objects {
    fn columns(&self) -> &[String] {
        &self.columns.names
    }

    fn file(&self) -> &str {
        &self.lines.file
    }

    fn next(&mut self) -> Result<NextRow> {
        let Some((line, text)) = self.lines.next()? else {
            return Ok(NextRow::End);
        };
        let invalid =
            |column, message| Ok(NextRow::Invalid(InvalidRow::new(line, column, message)));
        let parsed = text.and_then(|text| Ok((text, Fields::parse(text)?)));
        let (text, fields) = match parsed {
            Ok(parsed) => parsed,
            Err(message) => return invalid(None, message),
        };
        add_columns(&mut self.columns, &mut self.renderer, &fields)?;
        if let Err((name, message)) = fill(&mut self.record, &self.columns, &fields) {
            return invalid(Some(name), message);
        }
        let request = match self.renderer.render(&mut self.record) {
            Ok(request) => request,
            Err(RenderError::Template(error)) => return Err(error),
            Err(RenderError::Row(field, message)) => {
                let name = field.and_then(|index| self.columns.names.get(index));
                return invalid(name.cloned(), message);
            }
        };
        let id = self.template.id_column.as_deref();
        let index = id.and_then(|name| self.columns.find(name));
        let id_text = index.and_then(|index| self.record.get(index));
        match self.keys.key(id_text.unwrap_or_default(), text, line) {
            Err(message) => invalid(id.map(str::to_owned), message),
            Ok(key) => Ok(NextRow::Row(NewRow {
                key,
                digest: digest_of(&request),
                cells: text.to_owned(),
                request,
            })),
        }
    }

    fn check_end(&self, has_rows: bool) -> Result<()> {
        if !has_rows {
            return Err(IntakeError::NoLines(self.file().to_owned()));
        }
        if self.columns.names.is_empty() {
            return Ok(());
        }
        // Now that all columns are known, the template can be checked.
        let columns = Arc::new(self.columns.closed());
        if let Some(name) = &self.template.id_column {
            columns.require(name, "--id-column")?;
        }
        RequestRenderer::new(&self.template, &columns)?;
        for (flag, name) in self.renderer.missing_columns() {
            columns.require(&name, &flag)?;
        }
        Ok(())
    }
}

/// Adds the columns that occur for the first time.
fn add_columns(
    columns: &mut Arc<Columns>,
    renderer: &mut RequestRenderer,
    fields: &Fields<'_>,
) -> Result<()> {
    let names = fields.0.iter().map(|(name, _)| name.as_ref());
    let new: Vec<_> = names.filter(|name| columns.find(name).is_none()).collect();
    if !new.is_empty() {
        *columns = Arc::new(columns.extended(&new)?);
        renderer.set_columns(columns);
    }
    Ok(())
}

/// Writes the fields of an object to the positions of their columns.
fn fill(
    record: &mut StringRecord,
    columns: &Columns,
    fields: &Fields<'_>,
) -> Result<(), (String, String)> {
    record.clear();
    let mut next = 0;
    // Fields are usually in column order; others are searched for.
    for name in &columns.names {
        let in_order = fields.0.get(next).filter(|(known, _)| known == name);
        let found = in_order.or_else(|| fields.0.iter().find(|(known, _)| known == name));
        next += usize::from(in_order.is_some());
        let Some((_, value)) = found else {
            record.push_field("");
            continue;
        };
        let cell = cell_text(value).map_err(|message| (name.clone(), message))?;
        if cell.len() > MAX_CELL_BYTES {
            let message = "value is larger than 1 MiB; shorten it";
            return Err((name.clone(), message.to_owned()));
        }
        record.push_field(&cell);
    }
    Ok(())
}
