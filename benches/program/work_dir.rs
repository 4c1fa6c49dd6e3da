//! A temporary working directory with an input file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use tempfile::TempDir;

/// A temporary working directory.
pub(crate) struct WorkDir(TempDir);

/// Returns the prompt of a row, about 250 bytes.
pub(crate) fn prompt(number: usize) -> String {
    let words = "a question of some words that is as long as questions are, ".repeat(4);
    format!("{number} {words}")
}

impl WorkDir {
    /// Creates a directory with an input file `jobs.csv` of about 270 bytes per row.
    pub(crate) fn new(rows: usize) -> Self {
        let work_dir = Self(tempfile::tempdir().unwrap());
        let mut file = BufWriter::new(File::create(work_dir.path("jobs.csv")).unwrap());
        writeln!(file, "id,prompt").unwrap();
        for row in 0..rows {
            writeln!(file, "{row},\"{}\"", prompt(row)).unwrap();
        }
        file.flush().unwrap();
        work_dir
    }

    /// Returns a path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Removes the database and the results before the next round.
    pub(crate) fn clear(&self) {
        for entry in self.0.path().read_dir().unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("jobs.csv") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}
