//! Files for the tests of this room.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use super::source::{Options, Source};

/// A file that lives as long as the value.
pub(super) struct Fixture(NamedTempFile);

/// Writes a file with this content.
pub(super) fn source(bytes: &[u8]) -> Fixture {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("it is written");
    Fixture(file)
}

impl Fixture {
    /// Opens the file with commas between its fields.
    #[track_caller]
    pub(super) fn open(&self) -> Source {
        Source::open(self.path(), Options::default()).expect("it opens")
    }

    /// Writes more at the end of the file.
    pub(super) fn append(&self, bytes: &[u8]) {
        self.0.as_file().write_all(bytes).expect("it is written");
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}
