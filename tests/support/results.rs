//! Results read from a CSV file.

use super::question;

/// A results file.
pub(crate) struct CsvResults {
    pub(crate) columns: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl CsvResults {
    /// Parses the content of a file.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
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

    /// Returns the cells of a column in order.
    #[track_caller]
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let found = self.columns.iter().position(|column| column == name);
        let at = found.unwrap_or_else(|| panic!("column {name} not found in {:?}", self.columns));
        self.rows.iter().map(|row| &row[at]).collect()
    }

    /// Returns a cell of a row, starting at 1.
    #[track_caller]
    pub(crate) fn cell(&self, row: usize, name: &str) -> &str {
        self.column(name)[row - 1]
    }

    /// Returns the number of rows with this status.
    #[track_caller]
    pub(crate) fn count(&self, status: &str) -> usize {
        let all = self.column("status");
        all.iter().filter(|cell| **cell == status).count()
    }

    /// Returns the sum of a numeric column.
    #[track_caller]
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let cells = self.column(name);
        cells.iter().map(|cell| cell.parse::<u64>().unwrap()).sum()
    }

    /// Asserts that the file contains the rows of [`jobs`](super::jobs) in order, each with the
    /// response to its prompt.
    #[track_caller]
    pub(crate) fn assert_completed(&self, rows: usize) {
        assert_eq!(self.len(), rows);
        for row in 1..=rows {
            let prompt = question(row);
            let cells = [("id", row.to_string()), ("note", format!("note, {row}"))];
            for (column, expected) in cells {
                assert_eq!(self.cell(row, column), expected);
            }
            assert_eq!(self.cell(row, "prompt"), prompt);
            assert_eq!(self.cell(row, "status"), "done", "{prompt}");
            let response = self.cell(row, "response");
            let expected = format!("Simulated answer to \"{prompt}\" (");
            assert!(response.starts_with(&expected), "{prompt} got {response:?}");
        }
    }
}
