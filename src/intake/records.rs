//! Splits a table into records. Rejects unclosed quotes, invalid UTF-8, NUL bytes, and fields or
//! records that are too long. Memory is bounded by the maximum record length.

use csv::StringRecord;

use super::error::{IntakeError, Result};
use super::scan::{CsvError, CsvErrorKind, ScanningReader};
use super::source::{Bytes, FileStamp, SniffedInput, check_unchanged};

/// Maximum length of a field.
pub(super) const MAX_CELL_BYTES: usize = 1 << 20;

/// Size of the read buffer.
const BUFFER_BYTES: usize = 64 << 10;

/// Reads the records of a table.
#[derive(Debug)]
pub(super) struct Records {
    /// The name of the input in messages.
    pub(super) file: String,
    csv: csv::Reader<ScanningReader<Bytes>>,
    stamp: Option<FileStamp>,
}

/// The next item of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextRecord {
    /// A record that starts on this line.
    Record(u64),
    Invalid(RecordError),
    End,
}

/// Why a record is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RecordError {
    /// The line of the error.
    pub(super) line: u64,
    /// The position of the field with the error, counted from 0.
    pub(super) field: Option<usize>,
    /// The error and how to fix it.
    pub(super) message: String,
}

impl Records {
    /// Creates a reader for an input.
    pub(super) fn new(input: SniffedInput) -> Self {
        let csv = csv::ReaderBuilder::new()
            .delimiter(input.delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(ScanningReader::new(input.bytes, input.delimiter));
        Self {
            file: input.file,
            csv,
            stamp: input.stamp,
        }
    }

    /// Reads the next record into `record`, whose contents are only valid if this returns
    /// [`NextRecord::Record`].
    ///
    /// Errors: an I/O error, or the file was modified while it was being read.
    pub(super) fn next(&mut self, record: &mut StringRecord) -> Result<NextRecord> {
        let read = self.csv.read_record(record);
        if let Ok(false) = read {
            let bytes = self.csv.get_ref().input();
            return check_unchanged(&self.file, bytes, self.stamp).map(|()| NextRecord::End);
        }
        let encoding_error = match read {
            Ok(_) => None,
            Err(error) => Some(self.encoding_error(error)?),
        };
        let start = self.csv.get_mut().take_start();
        let line = start.map_or(0, |start| start.line);
        if let Some(error) = start.and_then(|start| start.error) {
            return Ok(NextRecord::Invalid(error.into()));
        }
        let error = encoding_error.or_else(|| check_cells(record));
        Ok(error.map_or(NextRecord::Record(line), |(field, message)| {
            let field = Some(field);
            NextRecord::Invalid(RecordError {
                line,
                field,
                message,
            })
        }))
    }

    /// Returns the field with invalid UTF-8, or the I/O error.
    fn encoding_error(&self, error: csv::Error) -> Result<(usize, String)> {
        let text = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Utf8 { err, .. } => {
                let byte = err.valid_up_to() + 1;
                let message = format!(
                    "invalid UTF-8 at byte {byte} of the field; save the file as \"CSV UTF-8\""
                );
                Ok((err.field(), message))
            }
            csv::ErrorKind::Io(error) => Err(IntakeError::Read(self.file.clone(), error)),
            _ => {
                let error = std::io::Error::other(text);
                Err(IntakeError::Read(self.file.clone(), error))
            }
        }
    }
}

impl From<CsvError> for RecordError {
    fn from(error: CsvError) -> Self {
        let message = match error.kind {
            CsvErrorKind::UnclosedQuote => {
                "the quote opened here is never closed; close it, or double it if it is part of the text"
            }
            CsvErrorKind::TextAfterQuote => {
                "unexpected text after the closing quote; double the quotes inside a quoted field (\"\")"
            }
            CsvErrorKind::RecordTooLong => {
                "the row is larger than 16 MiB; check for an unclosed quote"
            }
        };
        Self {
            line: error.line,
            field: Some(error.field),
            message: message.to_owned(),
        }
    }
}

/// Returns the first field that is too long or contains a NUL byte.
fn check_cells(record: &StringRecord) -> Option<(usize, String)> {
    let text = record.as_slice();
    if text.len() > MAX_CELL_BYTES
        && let Some(field) = record.iter().position(|cell| cell.len() > MAX_CELL_BYTES)
    {
        return Some((field, "value is larger than 1 MiB; shorten it".to_owned()));
    }
    if !text.as_bytes().contains(&0) {
        return None;
    }
    let field = record
        .iter()
        .position(|cell| cell.as_bytes().contains(&0))?;
    Some((field, "value contains a NUL byte; remove it".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture::input_file;

    /// The line of a record, or the line, field and message of its error.
    type RecordResult<'a> = Result<u64, (u64, Option<usize>, &'a str)>;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[RecordResult<'_>]) {
        let file = input_file(bytes);
        let mut records = Records::new(file.open().sniff().unwrap());
        let mut record = StringRecord::new();
        for expected in expected {
            match (records.next(&mut record).unwrap(), expected) {
                (NextRecord::Record(line), Ok(expected)) => assert_eq!(line, *expected),
                (NextRecord::Invalid(error), Err(expected)) => {
                    assert_eq!((error.line, error.field, &*error.message), *expected);
                }
                (found, _) => panic!("expected {expected:?}, found {found:?}"),
            }
        }
        assert_eq!(records.next(&mut record).unwrap(), NextRecord::End);
    }

    #[test]
    fn errors_have_a_line_and_a_field_and_reading_continues() {
        let nul = "value contains a NUL byte; remove it";
        let given = b"a,b\nc,d\0\ne,f\n";
        check(given, &[Ok(1), Err((2, Some(1), nul)), Ok(3)]);
        let latin = "invalid UTF-8 at byte 4 of the field; save the file as \"CSV UTF-8\"";
        let given = b"a\r\n\"x\r\ny\"\r\ncaf\xe9\r\nb\r\n";
        check(given, &[Ok(1), Ok(2), Err((4, Some(0), latin)), Ok(5)]);
        // The bytes of one character, split over two adjacent fields.
        let half = "invalid UTF-8 at byte 1 of the field; save the file as \"CSV UTF-8\"";
        check(b"\xc3,\xa9\nb\n", &[Err((1, Some(0), half)), Ok(2)]);
    }

    #[test]
    fn a_field_is_at_most_1_mib() {
        let large = "value is larger than 1 MiB; shorten it";
        let full = "x".repeat(MAX_CELL_BYTES);
        check(format!("a,b\n1,{full}\n").as_bytes(), &[Ok(1), Ok(2)]);
        check(
            format!("a,b\n1,{full}x\n2,c\n").as_bytes(),
            &[Ok(1), Err((2, Some(1), large)), Ok(3)],
        );
    }

    #[test]
    fn reading_stops_after_a_record_beyond_16_mib() {
        let too_long = "is larger than 16 MiB";
        let bytes = format!("a,b\n1,\"{}", "text\n".repeat(4 << 20));
        let file = input_file(bytes.as_bytes());
        let mut records = Records::new(file.open().sniff().unwrap());
        let mut record = StringRecord::new();
        assert_eq!(records.next(&mut record).unwrap(), NextRecord::Record(1));
        let NextRecord::Invalid(error) = records.next(&mut record).unwrap() else {
            panic!("the record must be rejected");
        };
        assert_eq!((error.line, error.field), (2, Some(1)));
        assert!(error.message.contains(too_long), "{}", error.message);
        assert!(record.as_slice().len() < 17 << 20);
        assert_eq!(records.next(&mut record).unwrap(), NextRecord::End);
    }

    #[test]
    fn rejects_a_file_that_grows_while_it_is_read() {
        let file = input_file(b"a\n1\n");
        let mut records = Records::new(file.open().sniff().unwrap());
        file.append(b"2\n");
        let mut record = StringRecord::new();
        while let Ok(next) = records.next(&mut record) {
            assert_ne!(next, NextRecord::End, "the change must be detected");
        }
        let error = records.next(&mut record).unwrap_err().to_string();
        assert!(error.contains("changed while it was being read"), "{error}");
    }
}
