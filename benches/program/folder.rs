//! A folder of its own for a measurement, with an input in it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use tempfile::TempDir;

/// The folder; it is gone at the end.
pub(crate) struct Folder(TempDir);

/// The prompt of a row, some 250 bytes.
pub(crate) fn prompt(number: usize) -> String {
    let words = "a question of some words that is as long as questions are, ".repeat(4);
    format!("{number} {words}")
}

impl Folder {
    /// Makes a folder with an input of so many rows, `jobs.csv`, some 270 bytes each.
    pub(crate) fn new(rows: usize) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut file = BufWriter::new(File::create(folder.path("jobs.csv")).unwrap());
        writeln!(file, "id,prompt").unwrap();
        for row in 0..rows {
            writeln!(file, "{row},\"{}\"", prompt(row)).unwrap();
        }
        file.flush().unwrap();
        folder
    }

    /// Returns a path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Removes the queue and the results, for the next round.
    pub(crate) fn clear(&self) {
        for entry in self.0.path().read_dir().unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("jobs.csv") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}
