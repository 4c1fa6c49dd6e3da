//! Writes result files.
//!
//! The caller reads the rows from the database and passes them one by one. `csv` (with `formula`),
//! `jsonl` and `batch` write a row, `columns` defines the output columns, and `target` replaces the
//! output file atomically. This module depends neither on the queue nor on the provider.

mod columns;
mod formula;
mod object;

pub mod batch;
pub mod csv;
pub mod jsonl;
pub mod target;

use std::io;
use std::path::{Path, PathBuf};

pub use self::batch::{BatchFileSize, BatchWriter, write_request};
pub use self::csv::{CsvOptions, CsvWriter};
pub use self::jsonl::JsonlWriter;
pub use self::target::{OutputWriter, Target};

/// The result of writing a file.
type Result<T, E = ExportError> = std::result::Result<T, E>;

/// Why the results could not be written. File names in messages are quoted, and control characters
/// are escaped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The reader of standard output has closed it (`… | head`). The caller exits silently.
    #[error("standard output was closed")]
    BrokenPipe,
    /// The directory of the results file does not exist.
    #[error(
        "cannot write the results to {path:?}: directory {parent:?} not found\nhint: create it with `mkdir -p`, or choose another file with `-o`"
    )]
    NoDirectory {
        /// The path of the results file.
        path: PathBuf,
        /// Its directory.
        parent: PathBuf,
    },
    /// The target is a directory.
    #[error("cannot write the results to {path:?}: it is a directory\nhint: choose a file in it, for example `-o {}`", .path.join("results.csv").display().to_string().escape_debug())]
    IsDirectory {
        /// The path of the results file.
        path: PathBuf,
    },
    /// The target is a symbolic link, which could redirect the results to another place.
    #[error(
        "cannot write the results to {path:?}: it is a symbolic link\nhint: use the file it points to, or remove the link; `-o -` writes to standard output"
    )]
    Symlink {
        /// The path of the results file.
        path: PathBuf,
    },
    /// The target is a device, a pipe or a socket, and a rename would replace it.
    #[error(
        "cannot write the results to {path:?}: it is not a regular file\nhint: choose another file; `-o -` writes to standard output"
    )]
    NotAFile {
        /// The path of the results file.
        path: PathBuf,
    },
    /// The directory is not writable, or the file could not be completed.
    #[error("cannot write the results to {path:?}: {source}\nhint: {}", hint(.source))]
    File {
        /// The path of the results file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Writing the rows failed.
    #[error("cannot write the results: {source}\nhint: {}", hint(.source))]
    Write {
        /// The error of the operating system.
        source: io::Error,
    },
    /// The number of cells of a row differs from that of the header.
    #[error(
        "cannot write the results: row {row} has {found} cells, but the header has {expected}\nhint: import the input file again with `promptmill import`, then export"
    )]
    Cells {
        /// The row number, counted from 1.
        row: u64,
        /// The number of cells of the row.
        found: usize,
        /// The number of columns of the header.
        expected: usize,
    },
}

impl ExportError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Write { source: error },
        }
    }
}

/// Returns the hint for a file system error.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free up disk space, then run `promptmill export`; all responses are stored in the database"
        }
        io::ErrorKind::PermissionDenied => {
            "grant yourself write access to the directory, or choose another file with `-o`"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; choose another file with `-o`"
        }
        io::ErrorKind::InvalidFilename => "choose a shorter or simpler file name with `-o`",
        _ => {
            "fix the cause, then run `promptmill export`; all responses are stored in the database"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &ExportError, expected: &str) {
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn messages_contain_a_hint() {
        check(
            &ExportError::NoDirectory {
                path: "out/r.csv".into(),
                parent: "out".into(),
            },
            "cannot write the results to \"out/r.csv\": directory \"out\" not found\n\
             hint: create it with `mkdir -p`, or choose another file with `-o`",
        );
        check(
            &ExportError::IsDirectory { path: "out".into() },
            "cannot write the results to \"out\": it is a directory\n\
             hint: choose a file in it, for example `-o out/results.csv`",
        );
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(ExportError::from(full).to_string().ends_with(
            "free up disk space, then run `promptmill export`; all responses are stored in the database"
        ));
    }

    #[test]
    fn file_names_are_escaped() {
        let hostile = PathBuf::from("a\u{1b}]52;c;x\u{7}\u{202e}b");
        let errors: [fn(PathBuf) -> ExportError; 3] = [
            |path| ExportError::Symlink { path },
            |path| ExportError::IsDirectory { path },
            |path| ExportError::NotAFile { path },
        ];
        for error in errors {
            let shown = error(hostile.clone()).to_string();
            let has_control = shown.contains(['\u{1b}', '\u{7}', '\u{202e}']);
            assert!(!has_control, "{shown:?}");
            assert!(shown.contains("\\u{202e}"), "{shown}");
        }
    }

    #[test]
    fn a_closed_pipe_is_not_a_failed_write() {
        let closed = ExportError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, ExportError::BrokenPipe));
        let other = ExportError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(other, ExportError::Write { .. }));
    }
}
