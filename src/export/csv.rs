//! The results as CSV: all input columns first, then ours, one line a row, in input order.

use std::fmt::Write as _;
use std::io::Write;

use super::ExportError;
use super::guard::guard;
use super::object::object_cells;
use super::own::{own_columns, status};
use crate::domain::completion::{Content, StoredBody};
use crate::domain::job::{Cells, Record};

/// Bytes gathered before they are written: a system call for every few hundred rows.
const BUFFER: usize = 256 * 1024;

/// How cells are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Leaves text as it is, so that a spreadsheet may run it (`--csv-raw`).
    pub raw: bool,
    /// The byte between cells.
    pub delimiter: u8,
}

impl Default for Style {
    /// Guarded cells with commas between.
    fn default() -> Self {
        Self {
            raw: false,
            delimiter: b',',
        }
    }
}

/// A CSV file that is being written, record by record.
///
/// Text cells are guarded against being run by a spreadsheet unless the style is raw: those of the
/// input and the header as well, since a spreadsheet runs them all the same. Our numbers need no guard.
#[derive(Debug)]
pub struct CsvSheet<W: Write> {
    writer: csv::Writer<W>,
    style: Style,
    columns: Vec<String>,
    /// Fields of the answers that have a column each.
    fields: Vec<String>,
    rows: u64,
    digits: String,
}

impl<W: Write> CsvSheet<W> {
    /// Begins a sheet and writes its header: `columns` of the input, then our own, then `fields` of the
    /// answers.
    pub fn new(
        writer: W,
        columns: &[String],
        fields: &[String],
        style: Style,
    ) -> Result<Self, ExportError> {
        let writer = csv::WriterBuilder::new()
            .delimiter(style.delimiter)
            .buffer_capacity(BUFFER)
            .flexible(true)
            .from_writer(writer);
        let mut sheet = Self {
            writer,
            style,
            columns: columns.to_vec(),
            fields: fields.to_vec(),
            rows: 0,
            digits: String::new(),
        };
        for name in columns {
            sheet.text(name)?;
        }
        for name in own_columns(columns, fields) {
            sheet.text(&name)?;
        }
        sheet.end_record()?;
        Ok(sheet)
    }

    /// Writes one record. A job that is running is shown as pending: its end is not known.
    pub fn write(&mut self, record: &Record) -> Result<(), ExportError> {
        self.rows += 1;
        match &record.cells {
            Cells::Line(cells) => self.line(cells)?,
            Cells::Object(object) => self.object(object)?,
        }
        self.own_cells(record)?;
        self.end_record()
    }

    /// Writes out what is buffered and returns the writer beneath.
    pub fn finish(self) -> Result<W, ExportError> {
        self.writer
            .into_inner()
            .map_err(|error| ExportError::from(error.into_error()))
    }

    /// Returns how many records were written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn line(&mut self, cells: &[String]) -> Result<(), ExportError> {
        if cells.len() != self.columns.len() {
            return Err(ExportError::Cells {
                row: self.rows,
                found: cells.len(),
                expected: self.columns.len(),
            });
        }
        cells.iter().try_for_each(|cell| self.text(cell))
    }

    /// Writes the fields of an object below their columns; one that it does not have is empty.
    fn object(&mut self, object: &str) -> Result<(), ExportError> {
        let columns = std::mem::take(&mut self.columns);
        let cells = object_cells(object, &columns);
        let written = cells.iter().try_for_each(|cell| self.text(cell));
        self.columns = columns;
        written
    }

    fn own_cells(&mut self, record: &Record) -> Result<(), ExportError> {
        let completion = record.completion.as_ref();
        let stored = completion.map(|completion| StoredBody::read(&completion.body));
        let content = stored.as_ref().and_then(StoredBody::content);
        self.text(content.as_ref().map_or("", Content::as_text))?;
        self.text(status(record.state))?;
        self.text(record.error.as_deref().unwrap_or_default())?;
        self.text(completion.map_or("", |completion| &completion.model))?;
        self.text(completion.map_or("", |completion| &completion.finish_reason))?;
        self.number(completion.and_then(|completion| completion.prompt_tokens))?;
        self.number(completion.and_then(|completion| completion.completion_tokens))?;
        self.number(Some(u64::from(record.attempts)))?;
        self.number(completion.map(|completion| completion.latency_ms))?;
        let fields = std::mem::take(&mut self.fields);
        let content = content.as_ref().map_or("", Content::as_text);
        let cells = object_cells(content, &fields);
        let written = cells.iter().try_for_each(|cell| self.text(cell));
        self.fields = fields;
        written
    }

    fn text(&mut self, text: &str) -> Result<(), ExportError> {
        if self.style.raw {
            self.field(text.as_bytes())
        } else {
            self.field(guard(text).as_bytes())
        }
    }

    fn number(&mut self, number: Option<u64>) -> Result<(), ExportError> {
        self.digits.clear();
        if let Some(number) = number {
            write!(self.digits, "{number}").expect("writing to a string does not fail");
        }
        self.writer.write_field(&self.digits).map_err(from_csv)
    }

    fn field(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.writer.write_field(bytes).map_err(from_csv)
    }

    fn end_record(&mut self) -> Result<(), ExportError> {
        self.writer.write_record(None::<&[u8]>).map_err(from_csv)
    }
}

/// Takes the system's error out of the csv crate's; a flexible writer meets no other kind.
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

    fn record(cells: &[&str], state: JobState) -> Record {
        Record {
            cells: Cells::Line(cells.iter().map(ToString::to_string).collect()),
            state,
            attempts: 0,
            completion: None,
            error: None,
        }
    }

    fn answered(cells: &[&str], text: &str) -> Record {
        let choice = serde_json::json!({"message": {"role": "assistant", "content": text}});
        let completion = Completion {
            body: serde_json::json!({"choices": [choice]}).to_string(),
            model: "gpt-4o-mini".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(12),
            completion_tokens: None,
            latency_ms: 345,
            request_id: String::new(),
        };
        Record {
            attempts: 2,
            completion: Some(completion),
            ..record(cells, JobState::Done)
        }
    }

    fn names(columns: &[&str]) -> Vec<String> {
        columns.iter().map(ToString::to_string).collect()
    }

    fn sheet(columns: &[&str], style: Style, records: &[Record]) -> String {
        let mut sheet = CsvSheet::new(Vec::new(), &names(columns), &[], style).unwrap();
        for record in records {
            sheet.write(record).unwrap();
        }
        String::from_utf8(sheet.finish().unwrap()).unwrap()
    }

    /// Checks the second line, without the header.
    #[track_caller]
    fn check(record: Record, style: Style, expected: &str) {
        let written = sheet(&["a", "b"], style, &[record]);
        let (_, row) = written.split_once('\n').unwrap();
        assert_eq!(row, expected);
    }

    #[test]
    fn input_columns_come_first_then_ours() {
        assert_eq!(
            sheet(&["id", "prompt"], Style::default(), &[]),
            "id,prompt,response,status,error,model,finish_reason,prompt_tokens,\
             completion_tokens,attempts,latency_ms\n"
        );
    }

    #[test]
    fn a_record_shows_what_became_of_it() {
        let style = Style::default();
        check(
            answered(&["1", "hi"], "Hello, \"you\"\nthere"),
            style,
            "1,hi,\"Hello, \"\"you\"\"\nthere\",done,,gpt-4o-mini,stop,12,,2,345\n",
        );
        check(
            record(&["1", ""], JobState::Pending),
            style,
            "1,,,pending,,,,,,0,\n",
        );
        check(
            record(&["1", ""], JobState::Running),
            style,
            "1,,,pending,,,,,,0,\n",
        );
        let mut failed = record(&["1", "x"], JobState::Failed);
        failed.error = Some("request: too long (context-length)".to_owned());
        failed.attempts = 1;
        check(
            failed,
            style,
            "1,x,,failed,request: too long (context-length),,,,,1,\n",
        );
    }

    #[test]
    fn an_answer_of_tool_calls_shows_them_and_a_body_without_text_an_empty_cell() {
        #[track_caller]
        fn check_body(body: &str, content: &str) {
            let mut row = answered(&["1", ""], "");
            if let Some(completion) = &mut row.completion {
                body.clone_into(&mut completion.body);
            }
            let expected = format!("1,,{content},done,,gpt-4o-mini,stop,12,,2,345\n");
            check(row, Style::default(), &expected);
        }
        let calls = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"id":7}]}}]}"#;
        check_body(calls, "\"[{\"\"id\"\":7}]\"");
        check_body(r#"{"choices":[]}"#, "");
        check_body("cut off", "");
    }

    #[test]
    fn fields_of_an_answer_have_their_columns_behind_ours() {
        let fields = names(&["city", "people", "status"]);
        let mut sheet =
            CsvSheet::new(Vec::new(), &names(&["a"]), &fields, Style::default()).unwrap();
        for text in [r#"{"people":[1, 2],"city":"=Rome","x":1}"#, "no JSON"] {
            sheet.write(&answered(&["1"], text)).unwrap();
        }
        sheet.write(&record(&["2"], JobState::Pending)).unwrap();
        let written = String::from_utf8(sheet.finish().unwrap()).unwrap();
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
    fn a_vector_is_json_in_a_cell() {
        let mut row = answered(&["1", ""], "");
        if let Some(completion) = &mut row.completion {
            r#"{"data":[{"embedding":[-0.50, 1e-3]}]}"#.clone_into(&mut completion.body);
        }
        let expected = "1,,\"[-0.50, 1e-3]\",done,,gpt-4o-mini,stop,12,,2,345\n";
        check(row, Style::default(), expected);
    }

    #[test]
    fn the_fields_of_an_object_stand_below_their_columns() {
        let mut row = record(&[], JobState::Pending);
        let object = r#"{"b": {"k": [1, "x"]}, "a":"=1+1\n"}"#;
        row.cells = Cells::Object(object.to_owned());
        let nested = "\"{\"\"k\"\": [1, \"\"x\"\"]}\"";
        check(
            row.clone(),
            Style::default(),
            &format!("\"'=1+1\n\",{nested},,pending,,,,,,0,\n"),
        );
        row.cells = Cells::Object(r#"{"b":null,"c":1}"#.to_owned());
        check(row, Style::default(), ",,,pending,,,,,,0,\n");
    }

    #[test]
    fn every_text_cell_is_guarded_unless_raw() {
        let mut hostile = answered(&["=1+1", "-5"], "@cmd");
        hostile.error = Some("+err".to_owned());
        if let Some(completion) = &mut hostile.completion {
            completion.model = "=m".to_owned();
            completion.finish_reason = "\tstop".to_owned();
        }
        let guarded = "'=1+1,-5,'@cmd,done,'+err,'=m,'\tstop,12,,2,345\n";
        check(hostile.clone(), Style::default(), guarded);
        let raw = Style {
            raw: true,
            ..Style::default()
        };
        check(hostile, raw, "=1+1,-5,@cmd,done,+err,=m,\tstop,12,,2,345\n");
        assert!(sheet(&["=h"], Style::default(), &[]).starts_with("'=h,"));
    }

    #[test]
    fn another_delimiter_is_quoted_where_it_stands_in_a_cell() {
        let style = Style {
            delimiter: b';',
            ..Style::default()
        };
        check(
            answered(&["1", "a;b"], "c,d"),
            style,
            "1;\"a;b\";c,d;done;;gpt-4o-mini;stop;12;;2;345\n",
        );
    }

    #[test]
    fn a_record_that_does_not_fit_the_header_is_refused_by_number() {
        let mut sheet =
            CsvSheet::new(Vec::new(), &names(&["a", "b"]), &[], Style::default()).unwrap();
        sheet.write(&record(&["1", "2"], JobState::Done)).unwrap();
        let error = sheet.write(&record(&["1"], JobState::Done)).unwrap_err();
        assert!(matches!(
            error,
            ExportError::Cells {
                row: 2,
                found: 1,
                expected: 2
            }
        ));
    }

    #[test]
    fn what_is_written_is_read_back_cell_by_cell() {
        let cells = ["multi\r\nline \"q\"", "\u{1F600} 中文, \u{1b}[31m"];
        let written = sheet(
            &["a", "b"],
            Style::default(),
            &[answered(&cells, "x\ny\0z")],
        );
        let mut reader = csv::Reader::from_reader(written.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!(
            row.iter().take(3).collect::<Vec<_>>(),
            [cells[0], cells[1], "x\ny\u{fffd}z"]
        );
        assert_eq!(row.len(), 11);
    }

    #[test]
    fn a_gone_reader_is_told_to_the_caller() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sheet = CsvSheet::new(Gone, &names(&["a"]), &[], Style::default()).unwrap();
        assert!(matches!(
            sheet.finish().map(drop).unwrap_err(),
            ExportError::BrokenPipe
        ));
    }
}
