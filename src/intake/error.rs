//! What can be wrong with an input, in words: the error of this room and the wording of names
//! that come from outside. No message holds a cell of the file, an id apart.

use std::fmt;
use std::io;

use super::params::SetError;

/// The most bad rows that are shown; the rest is counted.
pub(super) const SHOWN_ROWS: usize = 10;

/// The most characters of a foreign name that are shown.
pub(super) const SHOWN_CHARS: usize = 60;

/// Why an input was refused. Whatever it is: nothing of the file may be kept.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// There is no such file.
    #[error("{file}: no such file\nhint: check the path; `-` reads standard input")]
    NotFound {
        /// The file, as it is shown.
        file: String,
    },
    /// The path is a directory.
    #[error("{file}: is a directory\nhint: name one CSV or JSONL file in it")]
    Directory {
        /// The file, as it is shown.
        file: String,
    },
    /// The file may not be opened by this user.
    #[error("{file}: permission denied\nhint: give this user the right to read it")]
    Forbidden {
        /// The file, as it is shown.
        file: String,
    },
    /// The operating system failed to read on.
    #[error(
        "{file}: reading failed: {why}\nhint: nothing was imported; run it again when the file can be read"
    )]
    Read {
        /// The file, as it is shown.
        file: String,
        /// What the operating system said.
        why: io::Error,
    },
    /// The file was written to in the meantime.
    #[error(
        "{file}: changed while it was read\nhint: nothing was imported; run it again when the file is complete"
    )]
    Changed {
        /// The file, as it is shown.
        file: String,
    },
    /// There is nothing in the file.
    #[error(
        "{file}: is empty\nhint: the first line names the columns, `prompt` among them; each further line is a job"
    )]
    Empty {
        /// The file, as it is shown.
        file: String,
    },
    /// There is a header and nothing below it.
    #[error(
        "{file}: no rows below the header\nhint: each line below the header is a job; if the first line is a job itself, put a line `prompt` above it"
    )]
    NoRows {
        /// The file, as it is shown.
        file: String,
    },
    /// There is not a single line in the file.
    #[error("{file}: holds no line\nhint: each line is a JSON object, and a job")]
    NoLines {
        /// The file, as it is shown.
        file: String,
    },
    /// The input holds whole requests, and a flag says something about them too.
    #[error(
        "{file}: holds whole requests, to which {flag} has nothing to add\nhint: leave {flag} out; the requests are sent as they stand in the file"
    )]
    Given {
        /// The file, as it is shown.
        file: String,
        /// The flag.
        flag: &'static str,
    },
    /// The file is of another kind.
    #[error("{file}: {what}\nhint: {hint}")]
    NotCsv {
        /// The file, as it is shown.
        file: String,
        /// What it looks like.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The delimiter cannot separate fields.
    #[error(
        "the delimiter {delimiter} cannot separate fields\nhint: take one ASCII character such as `,` `;` `|` or a tab"
    )]
    Delimiter {
        /// The delimiter, as it is shown.
        delimiter: String,
    },
    /// The header cannot be used.
    #[error("{file}:{line}: {what}\nhint: {hint}")]
    Header {
        /// The file, as it is shown.
        file: String,
        /// The line where the header starts.
        line: u64,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The recipe names a column that is not there.
    #[error("{file}:{line}: {what}\nhint: {hint}")]
    NoColumn {
        /// The file, as it is shown.
        file: String,
        /// The line where the header starts.
        line: u64,
        /// Which column, who asked for it, and which columns there are.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A template cannot work, whatever the row.
    #[error("{name}: {what}\nhint: {hint}")]
    Template {
        /// The flag it was given with.
        name: String,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A request parameter cannot be set like this.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Rows that cannot become jobs.
    #[error("{}", BadRows { file, rows, more: *more })]
    BadRows {
        /// The file, as it is shown.
        file: String,
        /// The first of them, in the order of the file; 10 at most.
        rows: Vec<BadRow>,
        /// How many there are besides.
        more: u64,
    },
}

/// Which exit code an input's error earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// The input is not there or cannot be read (66).
    Missing,
    /// The input, or the recipe for it, is wrong (65).
    Bad,
}

/// A row that cannot become a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The line of the fault, counted from 1: where the row starts, or where its open quote stands.
    pub line: u64,
    /// The column at fault, where it is one.
    pub column: Option<String>,
    /// What is wrong and what to do.
    pub what: String,
}

impl IntakeError {
    /// Tells which exit code the error earns.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            Self::NotFound { .. }
            | Self::Directory { .. }
            | Self::Forbidden { .. }
            | Self::Read { .. } => ExitKind::Missing,
            _ => ExitKind::Bad,
        }
    }
}

/// Foreign text as a message may show it: without anything that moves a terminal's cursor.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        if symbol.is_control() || is_invisible(symbol) {
            out.extend(symbol.escape_default());
        } else {
            out.push(symbol);
        }
    }
    out
}

/// Foreign text as a message may show it, and no more of it than a name is long.
pub(super) fn safe(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// A foreign name in backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", safe(name))
}

struct BadRows<'a> {
    file: &'a str,
    rows: &'a [BadRow],
    more: u64,
}

impl fmt::Display for BadRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows {
            write!(f, "{}:{}: ", self.file, row.line)?;
            if let Some(column) = &row.column {
                write!(f, "column {}: ", quoted(column))?;
            }
            writeln!(f, "{}", row.what)?;
        }
        match self.more {
            0 => {}
            1 => writeln!(f, "and 1 more bad row")?,
            more => writeln!(f, "and {more} more bad rows")?,
        }
        write!(
            f,
            "hint: nothing was imported; mend the file and run it again"
        )
    }
}

/// Marks that turn the direction of text, and marks without width.
fn is_invisible(symbol: char) -> bool {
    matches!(symbol, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_cut_and_cannot_move_the_cursor() {
        assert_eq!(quoted("a\u{1b}[2Jb\n"), "`a\\u{1b}[2Jb\\n`");
        assert_eq!(quoted("a\u{202e}b"), "`a\\u{202e}b`");
        assert_eq!(quoted("国家"), "`国家`");
        assert_eq!(safe(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
    }

    #[test]
    fn bad_rows_stand_one_on_a_line_with_the_rest_counted() {
        let row = |line, column: Option<&str>| BadRow {
            line,
            column: column.map(str::to_owned),
            what: "is wrong".to_owned(),
        };
        let error = IntakeError::BadRows {
            file: "jobs.csv".to_owned(),
            rows: vec![row(3, None), row(17, Some("prompt"))],
            more: 2,
        };
        assert_eq!(
            error.to_string(),
            "jobs.csv:3: is wrong\njobs.csv:17: column `prompt`: is wrong\nand 2 more bad rows\n\
             hint: nothing was imported; mend the file and run it again"
        );
        assert_eq!(error.exit_kind(), ExitKind::Bad);
    }
}
