//! Jobs and their answers become a file that a person opens.
//!
//! The caller pages through the queue and hands over one record after the other; this room knows
//! how a row is written (`csv` with its `guard`, `jsonl`, `batch`), what is said of it (`own`) and how a file
//! comes into being whole or not at all (`target`). It knows neither the queue nor the provider, and holds one record at a time.

mod guard;
mod object;
mod own;

pub mod batch;
pub mod csv;
pub mod jsonl;
pub mod target;

use std::io;
use std::path::{Path, PathBuf};

pub use self::batch::{BatchSheet, RequestFile, put_request};
pub use self::csv::{CsvSheet, Style};
pub use self::jsonl::JsonlSheet;
pub use self::target::{Draft, Target};

/// Why the results could not be written. A message with a second line says there what to do.
///
/// File names are shown in quotes with everything escaped that a terminal would act on.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Whoever read our standard output has gone (`… | head`). The caller ends quietly.
    #[error("nobody reads the output any more")]
    BrokenPipe,
    /// The directory for the results is missing.
    #[error(
        "cannot write the results to {path:?}: there is no directory {parent:?}\nhint: create it (`mkdir -p`), or name another file with `-o`"
    )]
    NoDirectory {
        /// The results file as it was asked for.
        path: PathBuf,
        /// The directory it should be in.
        parent: PathBuf,
    },
    /// The target is a directory.
    #[error("cannot write the results to {path:?}: it is a directory\nhint: name a file in it, for example `-o {}`", .path.join("results.csv").display().to_string().escape_debug())]
    IsDirectory {
        /// The results file as it was asked for.
        path: PathBuf,
    },
    /// The target is a symbolic link, which may point to where nobody wants the results.
    #[error(
        "cannot write the results to {path:?}: it is a symbolic link\nhint: name the file it points to, or remove the link; `-o -` writes to standard output"
    )]
    Symlink {
        /// The results file as it was asked for.
        path: PathBuf,
    },
    /// The target is a device, a pipe or a socket, and a rename would replace it.
    #[error(
        "cannot write the results to {path:?}: it is no regular file\nhint: name a regular file; `-o -` writes to standard output"
    )]
    NotAFile {
        /// The results file as it was asked for.
        path: PathBuf,
    },
    /// The target's directory cannot be written to, or a step on the way to the finished file failed.
    #[error("cannot write the results to {path:?}: {source}\nhint: {}", hint(.source))]
    File {
        /// The results file as it was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed part of the way.
    #[error("cannot write the results: {source}\nhint: {}", hint(.source))]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// A record has not as many cells as the header has columns.
    #[error(
        "cannot write the results: row {row} has {found} cells where the header has {expected}\nhint: import the input file again with `promptmill import`, then export"
    )]
    Cells {
        /// The row, counted from 1.
        row: u64,
        /// Cells of the record.
        found: usize,
        /// Columns of the header.
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

/// Says what a person should do about an error of the file system.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the answers are safe in the queue: free some space, then run `promptmill export`"
        }
        io::ErrorKind::PermissionDenied => {
            "give yourself the right to write in that directory, or name another file with `-o`"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "that file system is read-only: name a file elsewhere with `-o`"
        }
        io::ErrorKind::InvalidFilename => "choose a shorter or plainer file name with `-o`",
        _ => "the answers are safe in the queue: mend the cause, then run `promptmill export`",
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
    fn a_message_says_what_happened_and_then_what_to_do() {
        check(
            &ExportError::NoDirectory {
                path: "out/r.csv".into(),
                parent: "out".into(),
            },
            "cannot write the results to \"out/r.csv\": there is no directory \"out\"\n\
             hint: create it (`mkdir -p`), or name another file with `-o`",
        );
        check(
            &ExportError::IsDirectory { path: "out".into() },
            "cannot write the results to \"out\": it is a directory\n\
             hint: name a file in it, for example `-o out/results.csv`",
        );
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(ExportError::from(full).to_string().ends_with(
            "the answers are safe in the queue: free some space, then run `promptmill export`"
        ));
    }

    #[test]
    fn a_file_name_cannot_act_on_the_terminal() {
        let hostile = PathBuf::from("a\u{1b}]52;c;x\u{7}\u{202e}b");
        for error in [
            ExportError::Symlink {
                path: hostile.clone(),
            },
            ExportError::IsDirectory {
                path: hostile.clone(),
            },
            ExportError::NotAFile { path: hostile },
        ] {
            let shown = error.to_string();
            assert!(
                !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
                "{shown:?}"
            );
            assert!(shown.contains("\\u{202e}"), "{shown}");
        }
    }

    #[test]
    fn a_gone_reader_is_told_apart_from_a_failed_write() {
        let gone = ExportError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(gone, ExportError::BrokenPipe));
        let other = ExportError::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(other, ExportError::Write { .. }));
    }
}
