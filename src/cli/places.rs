//! Where the entries of the settings file stand, for those who ask where a value comes from. What they
//! mean is in `file`.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::CliError;
use super::file::{self, DEFAULT, line_of, wrong};

/// Where the entries of a settings file stand.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The file, as it was named.
    pub(super) path: String,
    /// Whether it is there.
    pub(super) found: bool,
    /// The entries by name, those of tables with a dot in it.
    pub(super) entries: BTreeMap<String, Entry>,
}

/// An entry of a settings file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its value: a text as it is, all else as it is written.
    pub(super) text: String,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// Finds where the entries of the settings file stand.
pub(super) fn find(path: Option<&Path>) -> Result<Places, CliError> {
    let shown = path.unwrap_or(Path::new(DEFAULT)).display().to_string();
    let mut places = Places {
        path: shown,
        ..Places::default()
    };
    if let Some((path, text)) = file::text(path)? {
        places.found = true;
        let table = DeTable::parse(&text).map_err(|error| wrong(path, &text, &error))?;
        add_entries(&mut places.entries, "", table.get_ref(), &text);
    }
    Ok(places)
}

fn add_entries(
    entries: &mut BTreeMap<String, Entry>,
    above: &str,
    table: &DeTable<'_>,
    text: &str,
) {
    for (key, value) in table {
        let name = format!("{above}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => add_entries(entries, &format!("{name}."), table, text),
            DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {}
            value_of => {
                let written = text.get(value.span()).unwrap_or_default();
                let value = value_of.as_str().unwrap_or(written).to_owned();
                let line = line_of(text, key.span().start);
                entries.insert(name, Entry { text: value, line });
            }
        }
    }
}
