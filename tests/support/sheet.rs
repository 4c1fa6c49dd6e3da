//! Results as a reader of the CSV file sees them: rows, and cells by the name of their column.

use super::question;

/// A file of results.
pub(crate) struct Sheet {
    pub(crate) columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl Sheet {
    /// Reads the text of a file.
    #[track_caller]
    pub(crate) fn read(text: &str) -> Self {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = reader.headers().unwrap().iter().map(str::to_owned);
        Self {
            columns: columns.collect(),
            rows: reader.records().map(Result::unwrap).collect(),
        }
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the cells of a column, from the first row to the last.
    #[track_caller]
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let found = self.columns.iter().position(|column| column == name);
        let at = found.unwrap_or_else(|| panic!("no column {name} in {:?}", self.columns));
        self.rows.iter().map(|row| &row[at]).collect()
    }

    /// Returns a cell of a row, counted from 1.
    #[track_caller]
    pub(crate) fn cell(&self, row: usize, name: &str) -> &str {
        self.column(name)[row - 1]
    }

    /// Returns how many rows have this status.
    #[track_caller]
    pub(crate) fn count(&self, status: &str) -> usize {
        let all = self.column("status");
        all.iter().filter(|cell| **cell == status).count()
    }

    /// Returns the sum of a column of numbers.
    #[track_caller]
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let cells = self.column(name);
        cells.iter().map(|cell| cell.parse::<u64>().unwrap()).sum()
    }

    /// Holds it to the rows of [`jobs`](super::jobs), all answered: in order, whole, each answer
    /// beside its prompt.
    #[track_caller]
    pub(crate) fn answers(&self, rows: usize) {
        assert_eq!(self.len(), rows);
        for row in 1..=rows {
            let prompt = question(row);
            let own = [("id", row.to_string()), ("note", format!("note, {row}"))];
            for (column, expected) in own {
                assert_eq!(self.cell(row, column), expected);
            }
            assert_eq!(self.cell(row, "prompt"), prompt);
            assert_eq!(self.cell(row, "status"), "done", "{prompt}");
            let completion = self.cell(row, "response");
            let expected = format!("Simulated answer to \"{prompt}\" (");
            assert!(
                completion.starts_with(&expected),
                "{prompt} got {completion:?}"
            );
        }
    }
}
