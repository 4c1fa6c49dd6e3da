//! Writes results as JSONL: one object per row, in input order. The fields of the input come first,
//! unchanged, followed by the output columns. Formulas are not escaped, since spreadsheets do not
//! read this format.

use std::io::{BufWriter, IntoInnerError, Write};

use serde::Serialize;

use super::Result;
use super::columns::{OUTPUT_COLUMNS, check_cells, output_columns, status};
use super::object::{object_values, without_closing_brace};
use crate::api::{self, Content};
use crate::domain::job::{Completion, ExportRow, RowData};

/// Buffer size: one system call for every few hundred rows.
const BUFFER: usize = 256 * 1024;

/// Writes results to a JSONL file.
#[derive(Debug)]
pub struct JsonlWriter<W: Write> {
    writer: BufWriter<W>,
    /// The names of the input columns as JSON.
    columns: Vec<Vec<u8>>,
    /// The names of the output columns and the response fields as JSON.
    output_names: Vec<Vec<u8>>,
    /// Response fields to write after the output columns.
    fields: Vec<String>,
    rows: u64,
    line: Vec<u8>,
}

impl<W: Write> JsonlWriter<W> {
    /// Creates a writer for an input with these columns and responses with these fields.
    #[must_use]
    pub fn new(writer: W, columns: &[String], fields: &[String]) -> Self {
        let json = |name: &String| {
            let mut text = Vec::new();
            append_json(&mut text, name);
            text
        };
        Self {
            writer: BufWriter::with_capacity(BUFFER, writer),
            columns: columns.iter().map(json).collect(),
            output_names: output_columns(columns, fields).iter().map(json).collect(),
            fields: fields.to_vec(),
            rows: 0,
            line: Vec::new(),
        }
    }

    /// Writes a row. Running jobs are written as pending, since their result is unknown.
    pub fn write(&mut self, record: &ExportRow) -> Result<()> {
        self.rows += 1;
        self.line.clear();
        match &record.input {
            RowData::Cells(cells) => self.write_input_cells(cells)?,
            RowData::Object(object) => self.write_input_object(object),
        }
        self.write_output_fields(record);
        self.line.extend_from_slice(b"}\n");
        Ok(self.writer.write_all(&self.line)?)
    }

    /// Flushes the buffer and returns the inner writer.
    pub fn finish(self) -> Result<W> {
        Ok(self
            .writer
            .into_inner()
            .map_err(IntoInnerError::into_error)?)
    }

    fn write_input_cells(&mut self, cells: &[String]) -> Result<()> {
        check_cells(self.rows, cells, self.columns.len())?;
        self.line.push(b'{');
        for (name, cell) in self.columns.iter().zip(cells) {
            append_field(&mut self.line, name, cell);
            self.line.push(b',');
        }
        self.line.pop_if(|last| *last == b',');
        Ok(())
    }

    fn write_input_object(&mut self, object: &str) {
        self.line
            .extend_from_slice(without_closing_brace(object).0.as_bytes());
    }

    fn write_output_fields(&mut self, record: &ExportRow) {
        let completion = record.completion.as_ref();
        let content = completion.and_then(|completion| api::content(&completion.body));
        match &content {
            Some(Content::Vector(json)) => self.write_raw_field(0, json),
            Some(Content::Text(text)) => self.write_field(0, text),
            None => self.write_field(0, &None::<&str>),
        }
        self.write_field(1, &status(record.state));
        self.write_field(2, &record.error);
        let model = completion.map(|completion| &completion.model);
        self.write_field(3, &model.filter(|text| !text.is_empty()));
        let finish_reason = completion.map(|completion| &completion.finish_reason);
        self.write_field(4, &finish_reason.filter(|text| !text.is_empty()));
        let tokens = |count: fn(&Completion) -> Option<u64>| completion.and_then(count);
        self.write_field(5, &tokens(|completion| completion.prompt_tokens));
        self.write_field(6, &tokens(|completion| completion.completion_tokens));
        self.write_field(7, &record.attempts);
        self.write_field(8, &completion.map(|completion| completion.latency_ms));
        if !self.fields.is_empty() {
            let object = content.as_ref().map_or("", Content::as_text);
            let values = object_values(object, &self.fields);
            for (index, value) in values.iter().enumerate() {
                self.write_raw_field(OUTPUT_COLUMNS.len() + index, value);
            }
        }
    }

    /// Writes the output field at this index.
    fn write_field(&mut self, index: usize, value: &impl Serialize) {
        self.begin_field(index);
        append_json(&mut self.line, value);
    }

    /// Writes the output field at this index with a JSON value, without its line breaks.
    fn write_raw_field(&mut self, index: usize, json: &str) {
        self.begin_field(index);
        let bytes = json.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'));
        self.line.extend(bytes);
    }

    fn begin_field(&mut self, index: usize) {
        if self.line.trim_ascii() != b"{" {
            self.line.push(b',');
        }
        self.line.extend_from_slice(&self.output_names[index]);
        self.line.push(b':');
    }
}

fn append_field(line: &mut Vec<u8>, name: &[u8], value: &impl Serialize) {
    line.extend_from_slice(name);
    line.push(b':');
    append_json(line, value);
}

fn append_json(line: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(line, value).expect("serializing plain values to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::JobState;
    use crate::export::ExportError;

    fn record(input: RowData) -> ExportRow {
        ExportRow {
            input,
            state: JobState::Pending,
            attempts: 0,
            completion: None,
            error: None,
        }
    }

    fn done(input: RowData, text: &str) -> ExportRow {
        let choice = serde_json::json!({"message": {"content": text}});
        let completion = Completion {
            body: serde_json::json!({"choices": [choice]}).to_string(),
            model: "m".to_owned(),
            finish_reason: "stop".to_owned(),
            prompt_tokens: Some(3),
            latency_ms: 9,
            ..Completion::default()
        };
        ExportRow {
            state: JobState::Done,
            attempts: 1,
            completion: Some(completion),
            ..record(input)
        }
    }

    #[track_caller]
    fn check(columns: &[&str], record: &ExportRow, expected: &str) {
        let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
        let mut writer = JsonlWriter::new(Vec::new(), &columns, &[]);
        writer.write(record).unwrap();
        let written = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert_eq!(written, format!("{expected}\n"));
        serde_json::from_str::<serde_json::Value>(&written).unwrap();
    }

    const PENDING: &str = r#""status":"pending","error":null,"model":null,"finish_reason":null,"prompt_tokens":null,"completion_tokens":null,"attempts":0,"latency_ms":null}"#;

    #[test]
    fn input_objects_are_unchanged_and_followed_by_output_fields() {
        let given = r#"{"n": 1.50, "nested": {"a": [ {} ]}, "s":"\u00e9"}"#;
        let object = RowData::Object(given.to_owned());
        check(
            &["n", "nested", "s"],
            &done(object.clone(), "=1+1\n\0é"),
            r#"{"n": 1.50, "nested": {"a": [ {} ]}, "s":"\u00e9","response":"=1+1\n\u0000é","status":"done","error":null,"model":"m","finish_reason":"stop","prompt_tokens":3,"completion_tokens":null,"attempts":1,"latency_ms":9}"#,
        );
        let empty = RowData::Object("{ }".to_owned());
        let expected = format!(r#"{{ "response":null,{PENDING}"#);
        check(&[], &record(empty), &expected);
    }

    #[test]
    fn cells_of_a_table_are_strings() {
        let cells = RowData::Cells(vec!["1".to_owned(), "=a\"\n".to_owned()]);
        let expected =
            format!(r#"{{"id":"1","response":"=a\"\n","promptmill_response":null,{PENDING}"#);
        check(&["id", "response"], &record(cells), &expected);
    }

    #[test]
    fn rejects_rows_with_a_wrong_number_of_cells() {
        let mut writer = JsonlWriter::new(Vec::new(), &["a".to_owned()], &[]);
        let written = writer.write(&record(RowData::Cells(Vec::new())));
        let error = written.unwrap_err();
        assert!(matches!(error, ExportError::Cells { row: 1, .. }));
    }
}
