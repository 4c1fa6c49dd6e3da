//! Writes results as CSV: the input columns, followed by the output columns, in input order.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;

use super::columns::{check_cells, output_columns, status};
use super::formula::escape_formula;
use super::object::object_cells;
use super::{ExportError, Result};
use crate::api::{self, Content};
use crate::domain::job::{ExportRow, RowData};

/// Buffer size: one system call for every few hundred rows.
const BUFFER: usize = 256 * 1024;

/// Options for writing CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether to write formulas unescaped (`--csv-raw`).
    pub raw: bool,
    /// The field delimiter.
    pub delimiter: u8,
}

impl Default for CsvOptions {
    /// Escapes formulas and separates fields with commas.
    fn default() -> Self {
        Self {
            raw: false,
            delimiter: b',',
        }
    }
}

/// Writes results to a CSV file.
///
/// Unless [`CsvOptions::raw`] is set, formulas are escaped in all text cells, including the header
/// and the input columns.
#[derive(Debug)]
pub struct CsvWriter<W: Write> {
    writer: csv::Writer<W>,
    options: CsvOptions,
    columns: Vec<String>,
    /// Response fields that have their own column.
    fields: Vec<String>,
    rows: u64,
    digits: String,
}

impl<W: Write> CsvWriter<W> {
    /// Creates a writer and writes the header: the input columns, the output columns, and the
    /// response fields.
    pub fn new(
        writer: W,
        columns: &[String],
        fields: &[String],
        options: CsvOptions,
    ) -> Result<Self> {
        let writer = csv::WriterBuilder::new()
            .delimiter(options.delimiter)
            .buffer_capacity(BUFFER)
            .flexible(true)
            .from_writer(writer);
        let mut csv = Self {
            writer,
            options,
            columns: columns.to_vec(),
            fields: fields.to_vec(),
            rows: 0,
            digits: String::new(),
        };
        for name in columns {
            csv.write_text(name)?;
        }
        for name in output_columns(columns, fields) {
            csv.write_text(&name)?;
        }
        csv.end_record()?;
        Ok(csv)
    }

    /// Writes a row. Running jobs are written as pending, since their result is unknown.
    pub fn write(&mut self, record: &ExportRow) -> Result<()> {
        self.rows += 1;
        match &record.input {
            RowData::Cells(cells) => self.write_cells(cells)?,
            RowData::Object(object) => self.write_object(object)?,
        }
        self.write_output_cells(record)?;
        self.end_record()
    }

    /// Flushes the buffer and returns the inner writer.
    pub fn finish(self) -> Result<W> {
        self.writer
            .into_inner()
            .map_err(|error| ExportError::from(error.into_error()))
    }

    /// Returns the number of rows written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn write_cells(&mut self, cells: &[String]) -> Result<()> {
        check_cells(self.rows, cells, self.columns.len())?;
        cells.iter().try_for_each(|cell| self.write_text(cell))
    }

    /// Writes the fields of an object in column order; missing ones are empty.
    fn write_object(&mut self, object: &str) -> Result<()> {
        let cells = object_cells(object, &self.columns);
        cells.iter().try_for_each(|cell| self.write_text(cell))
    }

    fn write_output_cells(&mut self, record: &ExportRow) -> Result<()> {
        let completion = record.completion.as_ref();
        let content = completion.and_then(|completion| api::content(&completion.body));
        self.write_text(content.as_ref().map_or("", Content::as_text))?;
        self.write_text(status(record.state))?;
        self.write_text(record.error.as_deref().unwrap_or_default())?;
        self.write_text(completion.map_or("", |completion| &completion.model))?;
        self.write_text(completion.map_or("", |completion| &completion.finish_reason))?;
        self.write_number(completion.and_then(|completion| completion.prompt_tokens))?;
        self.write_number(completion.and_then(|completion| completion.completion_tokens))?;
        self.write_number(Some(u64::from(record.attempts)))?;
        self.write_number(completion.map(|completion| completion.latency_ms))?;
        let content = content.as_ref().map_or("", Content::as_text);
        let cells = object_cells(content, &self.fields);
        cells.iter().try_for_each(|cell| self.write_text(cell))
    }

    fn write_text(&mut self, text: &str) -> Result<()> {
        let cell = if self.options.raw {
            Cow::Borrowed(text)
        } else {
            escape_formula(text)
        };
        self.writer.write_field(cell.as_bytes()).map_err(from_csv)
    }

    fn write_number(&mut self, number: Option<u64>) -> Result<()> {
        self.digits.clear();
        if let Some(number) = number {
            write!(self.digits, "{number}").expect("writing to a string cannot fail");
        }
        self.writer.write_field(&self.digits).map_err(from_csv)
    }

    fn end_record(&mut self) -> Result<()> {
        self.writer.write_record(None::<&[u8]>).map_err(from_csv)
    }
}

/// Returns the I/O error in an error of the csv crate; a flexible writer has no other errors.
fn from_csv(error: csv::Error) -> ExportError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => std::io::Error::other(format!("{other:?}")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Completion, JobState};

    fn record(cells: &[&str], state: JobState) -> ExportRow {
        ExportRow {
            input: RowData::Cells(cells.iter().map(ToString::to_string).collect()),
            state,
            attempts: 0,
            completion: None,
            error: None,
        }
    }

    fn completed(cells: &[&str], text: &str) -> ExportRow {
        let choice = serde_json::json!({"message": {"role": "assistant", "content": text}});
        let completion = Completion {
            body: serde_json::json!({"choices": [choice]}).to_string(),
            model: "gpt-4o-mini".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(12),
            latency_ms: 345,
            ..Completion::default()
        };
        ExportRow {
            attempts: 2,
            completion: Some(completion),
            ..record(cells, JobState::Done)
        }
    }

    fn names(columns: &[&str]) -> Vec<String> {
        columns.iter().map(ToString::to_string).collect()
    }

    fn write_csv(columns: &[&str], options: CsvOptions, records: &[ExportRow]) -> String {
        let mut csv = CsvWriter::new(Vec::new(), &names(columns), &[], options).unwrap();
        for record in records {
            csv.write(record).unwrap();
        }
        String::from_utf8(csv.finish().unwrap()).unwrap()
    }

    /// Checks the output without its header.
    #[track_caller]
    fn check(record: ExportRow, options: CsvOptions, expected: &str) {
        let written = write_csv(&["a", "b"], options, &[record]);
        let (_, row) = written.split_once('\n').unwrap();
        assert_eq!(row, expected);
    }

    #[test]
    fn input_columns_come_first() {
        assert_eq!(
            write_csv(&["id", "prompt"], CsvOptions::default(), &[]),
            "id,prompt,response,status,error,model,finish_reason,prompt_tokens,\
             completion_tokens,attempts,latency_ms\n"
        );
    }

    #[test]
    fn writes_the_status_of_a_row() {
        let options = CsvOptions::default();
        check(
            completed(&["1", "hi"], "Hello, \"you\"\nthere"),
            options,
            "1,hi,\"Hello, \"\"you\"\"\nthere\",done,,gpt-4o-mini,stop,12,,2,345\n",
        );
        for state in [JobState::Pending, JobState::Running] {
            check(record(&["1", ""], state), options, "1,,,pending,,,,,,0,\n");
        }
        let mut failed = record(&["1", "x"], JobState::Failed);
        failed.error = Some("request: too long (context-length)".to_owned());
        failed.attempts = 1;
        let expected = "1,x,,failed,request: too long (context-length),,,,,1,\n";
        check(failed, options, expected);
    }

    #[test]
    fn tool_calls_and_vectors_are_json_and_a_body_without_either_is_an_empty_cell() {
        #[track_caller]
        fn check_body(body: &str, content: &str) {
            let mut row = completed(&["1", ""], "");
            if let Some(completion) = &mut row.completion {
                body.clone_into(&mut completion.body);
            }
            let expected = format!("1,,{content},done,,gpt-4o-mini,stop,12,,2,345\n");
            check(row, CsvOptions::default(), &expected);
        }
        let calls = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":7}]}}]}"#;
        check_body(calls, "\"[{\"\"id\"\":7}]\"");
        check_body(r#"{"choices":[]}"#, "");
        check_body("cut off", "");
        let vector = r#"{"data":[{"embedding":[-0.50, 1e-3]}]}"#;
        check_body(vector, "\"[-0.50, 1e-3]\"");
    }

    #[test]
    fn response_fields_follow_the_output_columns() {
        let fields = names(&["city", "people", "status"]);
        let mut csv =
            CsvWriter::new(Vec::new(), &names(&["a"]), &fields, CsvOptions::default()).unwrap();
        for text in [r#"{"people":[1, 2],"city":"=Rome","x":1}"#, "no JSON"] {
            csv.write(&completed(&["1"], text)).unwrap();
        }
        csv.write(&record(&["2"], JobState::Pending)).unwrap();
        let written = String::from_utf8(csv.finish().unwrap()).unwrap();
        let ends: Vec<_> = written
            .lines()
            .map(|line| line.split_once("latency_ms").map_or(line, |(_, end)| end))
            .collect();
        assert_eq!(ends[0], ",city,people,promptmill_status");
        assert!(ends[1].ends_with(",345,'=Rome,\"[1, 2]\","), "{}", ends[1]);
        assert!(ends[2].ends_with(",345,,,"), "{}", ends[2]);
        assert_eq!(ends[3], "2,,pending,,,,,,0,,,,");
    }

    #[test]
    fn object_fields_are_written_in_column_order() {
        let mut row = record(&[], JobState::Pending);
        let object = r#"{"b": {"k": [1, "x"]}, "a":"=1+1\n"}"#;
        row.input = RowData::Object(object.to_owned());
        let nested = "\"{\"\"k\"\": [1, \"\"x\"\"]}\"";
        let expected = format!("\"'=1+1\n\",{nested},,pending,,,,,,0,\n");
        check(row.clone(), CsvOptions::default(), &expected);
        row.input = RowData::Object(r#"{"b":null,"c":1}"#.to_owned());
        check(row, CsvOptions::default(), ",,,pending,,,,,,0,\n");
    }

    #[test]
    fn formulas_are_escaped_unless_raw() {
        let mut hostile = completed(&["=1+1", "-5"], "@cmd");
        hostile.error = Some("+err".to_owned());
        if let Some(completion) = &mut hostile.completion {
            completion.model = "=m".to_owned();
            completion.finish_reason = "\tstop".to_owned();
        }
        let escaped = "'=1+1,-5,'@cmd,done,'+err,'=m,'\tstop,12,,2,345\n";
        check(hostile.clone(), CsvOptions::default(), escaped);
        let raw = CsvOptions {
            raw: true,
            ..CsvOptions::default()
        };
        check(hostile, raw, "=1+1,-5,@cmd,done,+err,=m,\tstop,12,,2,345\n");
        assert!(write_csv(&["=h"], CsvOptions::default(), &[]).starts_with("'=h,"));
    }

    #[test]
    fn cells_with_the_delimiter_are_quoted() {
        let options = CsvOptions {
            delimiter: b';',
            ..CsvOptions::default()
        };
        let expected = "1;\"a;b\";c,d;done;;gpt-4o-mini;stop;12;;2;345\n";
        check(completed(&["1", "a;b"], "c,d"), options, expected);
    }

    #[test]
    fn rejects_rows_with_a_wrong_number_of_cells() {
        let mut csv =
            CsvWriter::new(Vec::new(), &names(&["a", "b"]), &[], CsvOptions::default()).unwrap();
        csv.write(&record(&["1", "2"], JobState::Done)).unwrap();
        let error = csv.write(&record(&["1"], JobState::Done)).unwrap_err();
        let expected = "Cells { row: 2, found: 1, expected: 2 }";
        assert_eq!(format!("{error:?}"), expected);
    }

    #[test]
    fn the_output_can_be_parsed() {
        let cells = ["multi\r\nline \"q\"", "\u{1F600} 中文, \u{1b}[31m"];
        let row = completed(&cells, "x\ny\0z");
        let written = write_csv(&["a", "b"], CsvOptions::default(), &[row]);
        let mut reader = csv::Reader::from_reader(written.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        let expected = [cells[0], cells[1], "x\ny\u{fffd}z"];
        assert_eq!(row.iter().take(3).collect::<Vec<_>>(), expected);
        assert_eq!(row.len(), 11);
    }

    #[test]
    fn a_closed_pipe_is_reported() {
        struct ClosedPipe;
        impl Write for ClosedPipe {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let csv = CsvWriter::new(ClosedPipe, &names(&["a"]), &[], CsvOptions::default()).unwrap();
        let finished = csv.finish().map(drop);
        assert!(matches!(finished, Err(ExportError::BrokenPipe)));
    }
}
