//! Line numbers of the entries in the settings file, to show where a value comes from.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::CliError;
use super::file::{self, DEFAULT, line_of, parse_error};

/// The entries of a settings file, with their lines.
#[derive(Debug, Default)]
pub(super) struct TomlSpans {
    /// The path of the file.
    pub(super) path: String,
    /// Whether the file exists.
    pub(super) found: bool,
    /// The entries by name; entries of tables are named `table.key`.
    pub(super) entries: BTreeMap<String, TomlEntry>,
}

/// An entry of a settings file.
#[derive(Debug)]
pub(super) struct TomlEntry {
    /// The value: strings without quotes, others as in the file.
    pub(super) text: String,
    /// The line, from 1.
    pub(super) line: usize,
}

/// Reads the entries of the settings file.
pub(super) fn read(path: Option<&Path>) -> Result<TomlSpans, CliError> {
    let displayed = path.unwrap_or(Path::new(DEFAULT)).display().to_string();
    let mut spans = TomlSpans {
        path: displayed,
        ..TomlSpans::default()
    };
    if let Some((path, text)) = file::text(path)? {
        spans.found = true;
        let table = DeTable::parse(&text).map_err(|error| parse_error(path, &text, &error))?;
        add_entries(&mut spans.entries, "", table.get_ref(), &text);
    }
    Ok(spans)
}

fn add_entries(
    entries: &mut BTreeMap<String, TomlEntry>,
    prefix: &str,
    table: &DeTable<'_>,
    text: &str,
) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => add_entries(entries, &format!("{name}."), table, text),
            DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {}
            scalar => {
                let line = line_of(text, key.span().start);
                let source = text.get(value.span()).unwrap_or_default();
                let text = scalar.as_str().unwrap_or(source).to_owned();
                entries.insert(name, TomlEntry { text, line });
            }
        }
    }
}
