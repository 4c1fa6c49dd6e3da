//! The results as JSONL: one object a row, in input order. The row's own fields come first, exactly
//! as they were given, then ours under the names that a table has for its columns. Text is never
//! changed: no spreadsheet reads this.

use std::io::{BufWriter, Write};

use serde::Serialize;

use super::ExportError;
use super::object::{object_values, reopened};
use super::own::{COLUMNS, own_columns, status};
use crate::domain::completion::{Content, StoredBody};
use crate::domain::job::{Cells, Record};

/// Bytes gathered before they are written: a system call for every few hundred rows.
const BUFFER: usize = 256 * 1024;

/// A JSONL file that is being written, record by record.
#[derive(Debug)]
pub struct JsonlSheet<W: Write> {
    writer: BufWriter<W>,
    /// The names of the input's columns, each as JSON.
    columns: Vec<Vec<u8>>,
    /// Our own names, each as JSON, then those of the fields.
    own: Vec<Vec<u8>>,
    /// Fields of the answers that stand behind ours.
    fields: Vec<String>,
    rows: u64,
    line: Vec<u8>,
}

impl<W: Write> JsonlSheet<W> {
    /// Begins a file for rows of an input with these columns, with these fields of the answers.
    #[must_use]
    pub fn new(writer: W, columns: &[String], fields: &[String]) -> Self {
        let json = |name: &String| {
            let mut text = Vec::new();
            put(&mut text, name);
            text
        };
        Self {
            writer: BufWriter::with_capacity(BUFFER, writer),
            columns: columns.iter().map(json).collect(),
            own: own_columns(columns, fields).iter().map(json).collect(),
            fields: fields.to_vec(),
            rows: 0,
            line: Vec::new(),
        }
    }

    /// Writes one record. A job that is running is shown as pending: its end is not known.
    pub fn write(&mut self, record: &Record) -> Result<(), ExportError> {
        self.rows += 1;
        self.line.clear();
        match &record.cells {
            Cells::Line(cells) => self.begin_line(cells)?,
            Cells::Object(object) => self.begin_object(object),
        }
        self.own_fields(record);
        self.line.extend_from_slice(b"}\n");
        Ok(self.writer.write_all(&self.line)?)
    }

    /// Writes out what is buffered and returns the writer beneath.
    pub fn finish(self) -> Result<W, ExportError> {
        self.writer
            .into_inner()
            .map_err(|error| ExportError::from(error.into_error()))
    }

    fn begin_line(&mut self, cells: &[String]) -> Result<(), ExportError> {
        if cells.len() != self.columns.len() {
            return Err(ExportError::Cells {
                row: self.rows,
                found: cells.len(),
                expected: self.columns.len(),
            });
        }
        self.line.push(b'{');
        for (name, cell) in self.columns.iter().zip(cells) {
            field(&mut self.line, name, cell);
            self.line.push(b',');
        }
        self.line.pop_if(|last| *last == b',');
        Ok(())
    }

    fn begin_object(&mut self, object: &str) {
        self.line.extend_from_slice(reopened(object).0.as_bytes());
    }

    fn own_fields(&mut self, record: &Record) {
        let completion = record.completion.as_ref();
        let stored = completion.map(|completion| StoredBody::read(&completion.body));
        let content = stored.as_ref().and_then(StoredBody::content);
        let told = |text: &String| (!text.is_empty()).then(|| text.clone());
        match &content {
            Some(Content::Vector(json)) => self.own_json(0, json),
            Some(Content::Text(text)) => self.own(0, text),
            None => self.own(0, &None::<&str>),
        }
        self.own(1, &status(record.state));
        self.own(2, &record.error);
        self.own(
            3,
            &completion.and_then(|completion| told(&completion.model)),
        );
        self.own(
            4,
            &completion.and_then(|completion| told(&completion.finish_reason)),
        );
        self.own(
            5,
            &completion.and_then(|completion| completion.prompt_tokens),
        );
        self.own(
            6,
            &completion.and_then(|completion| completion.completion_tokens),
        );
        self.own(7, &record.attempts);
        self.own(8, &completion.map(|completion| completion.latency_ms));
        if !self.fields.is_empty() {
            let object = content.as_ref().map_or("", Content::as_text);
            let values = object_values(object, &self.fields);
            for (place, value) in values.iter().enumerate() {
                self.own_json(COLUMNS.len() + place, value);
            }
        }
    }

    /// Writes the field of ours at this place of our names.
    fn own(&mut self, place: usize, value: &impl Serialize) {
        self.begin_own(place);
        put(&mut self.line, value);
    }

    /// Writes the field of ours at this place, its value as the JSON that it is, but on one line.
    fn own_json(&mut self, place: usize, json: &str) {
        self.begin_own(place);
        let bytes = json.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'));
        self.line.extend(bytes);
    }

    fn begin_own(&mut self, place: usize) {
        if self.line.trim_ascii() != b"{" {
            self.line.push(b',');
        }
        self.line.extend_from_slice(&self.own[place]);
        self.line.push(b':');
    }
}

fn field(line: &mut Vec<u8>, name: &[u8], value: &impl Serialize) {
    line.extend_from_slice(name);
    line.push(b':');
    put(line, value);
}

fn put(line: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(line, value).expect("plain values are written into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Completion, JobState};

    fn record(cells: Cells) -> Record {
        Record {
            cells,
            state: JobState::Pending,
            attempts: 0,
            completion: None,
            error: None,
        }
    }

    fn done(cells: Cells, text: &str) -> Record {
        let choice = serde_json::json!({"message": {"content": text}});
        let completion = Completion {
            body: serde_json::json!({"choices": [choice]}).to_string(),
            model: "m".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(3),
            completion_tokens: None,
            latency_ms: 9,
            request_id: String::new(),
        };
        Record {
            state: JobState::Done,
            attempts: 1,
            completion: Some(completion),
            ..record(cells)
        }
    }

    #[track_caller]
    fn check(columns: &[&str], record: &Record, expected: &str) {
        let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
        let mut sheet = JsonlSheet::new(Vec::new(), &columns, &[]);
        sheet.write(record).unwrap();
        let written = String::from_utf8(sheet.finish().unwrap()).unwrap();
        assert_eq!(written, format!("{expected}\n"));
        serde_json::from_str::<serde_json::Value>(&written).expect("it is JSON");
    }

    const PENDING: &str = r#""status":"pending","error":null,"model":null,"finish_reason":null,"prompt_tokens":null,"completion_tokens":null,"attempts":0,"latency_ms":null}"#;

    #[test]
    fn an_object_comes_back_as_it_was_given_with_our_fields_behind() {
        let given = r#"{"n": 1.50, "nested": {"a": [ {} ]}, "s":"\u00e9"}"#;
        let object = Cells::Object(given.to_owned());
        check(
            &["n", "nested", "s"],
            &done(object.clone(), "=1+1\n\0é"),
            r#"{"n": 1.50, "nested": {"a": [ {} ]}, "s":"\u00e9","response":"=1+1\n\u0000é","status":"done","error":null,"model":"m","finish_reason":"stop","prompt_tokens":3,"completion_tokens":null,"attempts":1,"latency_ms":9}"#,
        );
        let empty = Cells::Object("{ }".to_owned());
        check(
            &[],
            &record(empty),
            &format!(r#"{{ "response":null,{PENDING}"#),
        );
    }

    #[test]
    fn the_cells_of_a_table_are_texts_by_the_names_of_its_columns() {
        let cells = Cells::Line(vec!["1".to_owned(), "=a\"\n".to_owned()]);
        check(
            &["id", "response"],
            &record(cells),
            &format!(r#"{{"id":"1","response":"=a\"\n","promptmill_response":null,{PENDING}"#),
        );
    }

    #[test]
    fn a_line_that_does_not_fit_the_columns_is_refused_by_number() {
        let mut sheet = JsonlSheet::new(Vec::new(), &["a".to_owned()], &[]);
        let error = sheet.write(&record(Cells::Line(Vec::new()))).unwrap_err();
        assert!(matches!(error, ExportError::Cells { row: 1, .. }));
    }
}
