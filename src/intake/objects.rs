//! Rows that are JSON objects, one a line: a field is a column, whichever line it first shows up
//! in. A field that a line does not have is empty there, as a cell of a table may be.
//!
//! What columns there are is known at the end only, so a name that stands in no line at all is
//! found out then.

use std::sync::Arc;

use csv::StringRecord;

use super::columns::Columns;
use super::error::{BadRow, IntakeError};
use super::fields::{Fields, cell};
use super::keys::{Keys, digest_of};
use super::lines::Lines;
use super::reader::Step;
use super::records::CELL_BYTES;
use super::request::{Composer, Uncomposed};
use crate::domain::job::NewRow;
use crate::domain::request_template::RequestTemplate;

/// An input of objects.
pub(super) struct Objects {
    lines: Lines,
    template: RequestTemplate,
    columns: Arc<Columns>,
    composer: Composer,
    keys: Keys,
    record: StringRecord,
}

impl Objects {
    /// Makes ready to read the lines with this recipe.
    pub(super) fn new(lines: Lines, template: &RequestTemplate) -> Result<Self, IntakeError> {
        let columns = Arc::new(Columns::open(&lines.file));
        Ok(Self {
            composer: Composer::new(template, &columns)?,
            keys: Keys::new(template.id_column.is_some()),
            template: template.clone(),
            columns,
            lines,
            record: StringRecord::new(),
        })
    }

    /// Returns the names of the columns that have shown up, in the order they did.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// Returns the input as messages call it.
    pub(super) fn file(&self) -> &str {
        &self.lines.file
    }

    /// Reads the next row.
    pub(super) fn next(&mut self) -> Result<Step, IntakeError> {
        let Self {
            lines,
            template,
            columns,
            composer,
            keys,
            record,
        } = self;
        let Some((line, text)) = lines.next()? else {
            return Ok(Step::End);
        };
        let bad = |column: Option<String>, what| Ok(Step::Bad(BadRow { line, column, what }));
        let text = match text {
            Ok(text) => text,
            Err(what) => return bad(None, what),
        };
        let fields = match Fields::read(text) {
            Ok(fields) => fields,
            Err(what) => return bad(None, what),
        };
        grow(columns, composer, &fields)?;
        if let Err((name, what)) = fill(record, columns, &fields) {
            return bad(Some(name), what);
        }
        let request = match composer.compose(record) {
            Ok(request) => request,
            Err(Uncomposed::RequestTemplate(error)) => return Err(error),
            Err(Uncomposed::Row(field, what)) => {
                let name = field.and_then(|place| columns.names.get(place));
                return bad(name.cloned(), what);
            }
        };
        let id = template.id_column.as_deref();
        let place = id.and_then(|name| columns.find(name));
        let id_text = place
            .and_then(|place| record.get(place))
            .unwrap_or_default();
        match keys.key(id_text, text, line) {
            Err(what) => bad(id.map(str::to_owned), what),
            Ok(key) => Ok(Step::Row(NewRow {
                key,
                digest: digest_of(&request),
                cells: text.to_owned(),
                request,
            })),
        }
    }

    /// Holds the recipe to the columns that there are, now that all have shown up.
    pub(super) fn check_end(&self) -> Result<(), IntakeError> {
        let columns = Arc::new(self.columns.closed());
        if let Some(name) = &self.template.id_column {
            columns.require(name, "--id-column")?;
        }
        Composer::new(&self.template, &columns)?;
        for (flag, name) in self.composer.missed() {
            columns.require(&name, &flag)?;
        }
        Ok(())
    }
}

/// Takes up the columns that show up for the first time.
fn grow(
    columns: &mut Arc<Columns>,
    composer: &mut Composer,
    fields: &Fields<'_>,
) -> Result<(), IntakeError> {
    let names = fields.0.iter().map(|(name, _)| name.as_ref());
    let new: Vec<_> = names.filter(|name| columns.find(name).is_none()).collect();
    if !new.is_empty() {
        *columns = Arc::new(columns.with(&new)?);
        composer.grow(columns);
    }
    Ok(())
}

/// Puts the cells of an object at the places of their columns.
fn fill(
    record: &mut StringRecord,
    columns: &Columns,
    fields: &Fields<'_>,
) -> Result<(), (String, String)> {
    record.clear();
    let mut at = 0;
    // As a rule an object has its fields in the order of the columns; what has not is looked up.
    for name in &columns.names {
        let in_order = fields.0.get(at).filter(|(known, _)| known == name);
        let found = in_order.or_else(|| fields.0.iter().find(|(known, _)| known == name));
        at += usize::from(in_order.is_some());
        let Some((_, value)) = found else {
            record.push_field("");
            continue;
        };
        let cell = cell(value).map_err(|what| (name.clone(), what))?;
        if cell.len() > CELL_BYTES {
            return Err((name.clone(), "is larger than 1 MiB; shorten it".to_owned()));
        }
        record.push_field(&cell);
    }
    Ok(())
}
