//! Temporary input files and tables of cases for the tests of this module.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use super::format::Options;
use super::source::Source;

/// Returns the cases of a table in text form: in each line an input and the expected output, separated
/// by ` => `.
pub(super) fn cases(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = table.trim().lines();
    lines.map(|line| line.trim_start().split_once(" => ").expect(line))
}

/// A file that is deleted on drop.
pub(super) struct Fixture(NamedTempFile);

/// Creates a file with this content.
pub(super) fn input_file(bytes: &[u8]) -> Fixture {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Fixture(file)
}

impl Fixture {
    /// Opens the file with default options.
    #[track_caller]
    pub(super) fn open(&self) -> Source {
        Source::open(self.path(), Options::default()).unwrap()
    }

    pub(super) fn append(&self, bytes: &[u8]) {
        self.0.as_file().write_all(bytes).unwrap();
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}
