//! The errors of an input, and the escaping of untrusted names. Messages never contain the value
//! of a field, except for IDs.

use std::fmt;
use std::io;

use crate::api::ReservedParam;

/// Maximum number of invalid rows in a message; the rest are counted.
pub(super) const MAX_SHOWN_ROWS: usize = 10;

/// Maximum number of characters of a name in a message.
pub(super) const MAX_SHOWN_CHARS: usize = 60;

/// The result of reading an input.
pub(super) type Result<T, E = IntakeError> = std::result::Result<T, E>;

/// Why an input was rejected, with its name. The caller must not import any of its rows.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The file does not exist.
    #[error("{0}: no such file\nhint: check the path, or use `-` for standard input")]
    NotFound(String),
    /// The path is a directory.
    #[error("{0}: is a directory\nhint: pass a CSV or JSONL file")]
    Directory(String),
    /// The user is not allowed to read the file.
    #[error("{0}: permission denied\nhint: grant yourself read access to the file")]
    PermissionDenied(String),
    /// An I/O error while reading.
    #[error(
        "{0}: read error: {1}\nhint: nothing was imported; try again when the file can be read"
    )]
    Read(String, io::Error),
    /// The file was modified while it was being read.
    #[error(
        "{0}: file changed while it was being read\nhint: nothing was imported; try again when the file is complete"
    )]
    Changed(String),
    /// The file is empty.
    #[error(
        "{0}: input is empty\nhint: name the columns in the first line, including `prompt`, and add one line per job"
    )]
    Empty(String),
    /// The file contains a header only.
    #[error(
        "{0}: no rows after the header\nhint: add one line per job; if the first line is a job, insert a line `prompt` above it"
    )]
    NoRows(String),
    /// A JSONL file contains no objects.
    #[error("{0}: input is empty\nhint: write one JSON object per line; each is a job")]
    NoLines(String),
    /// The input contains complete requests, to which a flag does not apply.
    #[error(
        "{0}: {1} cannot be used with complete requests\nhint: remove {1}; requests are sent unchanged"
    )]
    ConflictingFlag(String, &'static str),
    /// The file is not in a supported format.
    #[error("{file}: {message}\nhint: {hint}")]
    UnsupportedFormat {
        /// The name of the input.
        file: String,
        /// The detected format.
        message: &'static str,
        /// How to fix it.
        hint: &'static str,
    },
    /// The delimiter is invalid.
    #[error(
        "invalid delimiter {0}\nhint: use a single ASCII character such as `,` `;` `|` or a tab"
    )]
    Delimiter(String),
    /// The header is invalid, or a required column is missing.
    #[error("{file}:{line}: {message}\nhint: {hint}")]
    Header {
        /// The name of the input.
        file: String,
        /// The first line of the header.
        line: u64,
        /// The error.
        message: String,
        /// How to fix it.
        hint: String,
    },
    /// A template is invalid.
    #[error("{name}: {message}\nhint: {hint}")]
    Template {
        /// The name of its flag.
        name: String,
        /// The error.
        message: String,
        /// How to fix it.
        hint: &'static str,
    },
    /// A request parameter is invalid.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// Rows that cannot be imported.
    #[error("{}", InvalidRows { file, rows, more: *more })]
    InvalidRows {
        /// The name of the input.
        file: String,
        /// The first invalid rows, in input order; at most 10.
        rows: Vec<InvalidRow>,
        /// The number of further invalid rows.
        more: u64,
    },
}

/// Why a request parameter is invalid, with the escaped name or argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// There is no `=`.
    #[error(
        "--set {0}: missing `=`\nhint: use --set name=value, for example --set temperature=0.2"
    )]
    NoValue(String),
    /// The name is empty, too long, or has characters other than letters, digits, `_`, `-`, `.`.
    #[error(
        "invalid parameter name {0}\nhint: use --set name=value, for example --set temperature=0.2"
    )]
    Name(String),
    /// The parameter has its own flag, or would break the request.
    #[error("cannot set parameter `{}`: {}\nhint: {}", .0.name, .0.reason, .0.hint)]
    Reserved(ReservedParam),
    /// The parameter is set more than once.
    #[error("parameter {0} is set more than once\nhint: remove all but one")]
    Duplicate(String),
    /// The value starts like JSON but is invalid: the name and the error.
    #[error(
        "invalid JSON in parameter {0}: {1}\nhint: enclose the value in single quotes in the shell; to send it as text, write a JSON string"
    )]
    NotJson(String, String),
}

/// The exit code of an input error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// The input does not exist or cannot be read (66).
    NoInput,
    /// The input, or a request setting for it, is invalid (65).
    DataError,
}

/// A row that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRow {
    /// The line of the error, counted from 1: the start of the row, or of an unclosed quote.
    pub line: u64,
    /// The column with the error, if any.
    pub column: Option<String>,
    /// The error and how to fix it.
    pub message: String,
}

impl IntakeError {
    /// Returns the error for an invalid row after which reading stops.
    pub(super) fn invalid_row(file: &str, line: u64, message: String) -> Self {
        Self::InvalidRows {
            file: file.to_owned(),
            rows: vec![InvalidRow::new(line, None, message)],
            more: 0,
        }
    }

    /// Returns the exit code of the error.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            Self::NotFound(_) | Self::Directory(_) | Self::PermissionDenied(_) | Self::Read(..) => {
                ExitKind::NoInput
            }
            _ => ExitKind::DataError,
        }
    }
}

impl InvalidRow {
    pub(super) fn new(line: u64, column: Option<String>, message: String) -> Self {
        Self {
            line,
            column,
            message,
        }
    }
}

/// Escapes control characters and invisible characters of untrusted text.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Escapes untrusted text and truncates it to the length of a name.
pub(super) fn safe(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// Formats an untrusted name in backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", safe(name))
}

struct InvalidRows<'a> {
    file: &'a str,
    rows: &'a [InvalidRow],
    more: u64,
}

impl fmt::Display for InvalidRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows {
            write!(f, "{}:{}: ", self.file, row.line)?;
            if let Some(column) = &row.column {
                write!(f, "column {}: ", quoted(column))?;
            }
            writeln!(f, "{}", row.message)?;
        }
        match self.more {
            0 => {}
            1 => writeln!(f, "and 1 more invalid row")?,
            more => writeln!(f, "and {more} more invalid rows")?,
        }
        write!(f, "hint: nothing was imported; fix the file and try again")
    }
}

/// Returns whether a character has no width or changes the direction of text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_names_are_truncated_and_escaped() {
        assert_eq!(quoted("a\u{1b}[2Jb\n"), "`a\\u{1b}[2Jb\\n`");
        assert_eq!(quoted("a\u{202e}b"), "`a\\u{202e}b`");
        assert_eq!(quoted("国家"), "`国家`");
        assert_eq!(safe(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
    }

    #[test]
    fn invalid_rows_are_listed_one_per_line() {
        let row = |line, column: Option<&str>| {
            InvalidRow::new(line, column.map(str::to_owned), "is invalid".to_owned())
        };
        let error = IntakeError::InvalidRows {
            file: "jobs.csv".to_owned(),
            rows: vec![row(3, None), row(17, Some("prompt"))],
            more: 2,
        };
        assert_eq!(
            error.to_string(),
            "jobs.csv:3: is invalid\njobs.csv:17: column `prompt`: is invalid\nand 2 more invalid rows\n\
             hint: nothing was imported; fix the file and try again"
        );
        assert_eq!(error.exit_kind(), ExitKind::DataError);
    }
}
