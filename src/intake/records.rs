//! Splits the bytes into records of cells, and refuses what is no clean text: open quotes, bytes
//! that are not UTF-8, NULs, and cells or records beyond all measure. Memory stays bounded by the
//! largest record.

use csv::StringRecord;

use super::error::IntakeError;
use super::scan::{Flaw, FlawKind, Guard};
use super::source::{Begun, Bytes, Stamp};

/// The most bytes of one cell.
pub(super) const CELL_BYTES: usize = 1 << 20;

/// How many bytes are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The records of an input, in order.
#[derive(Debug)]
pub(super) struct Records {
    /// The input as messages call it.
    pub(super) file: String,
    csv: csv::Reader<Guard<Bytes>>,
    stamp: Option<Stamp>,
}

/// What comes next in the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A record, which starts at this line.
    Record(u64),
    /// A record that cannot be used.
    Fault(Fault),
    /// Nothing.
    End,
}

/// Why a record cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line to look at.
    pub(super) line: u64,
    /// The number of the field at fault, from 0.
    pub(super) field: Option<usize>,
    /// What is wrong and what to do.
    pub(super) what: String,
}

impl Records {
    /// Makes ready to read an input.
    pub(super) fn new(begun: Begun) -> Self {
        let Begun {
            file,
            delimiter,
            bytes,
            stamp,
            ..
        } = begun;
        let csv = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Guard::new(bytes, delimiter));
        Self { file, csv, stamp }
    }

    /// Reads the next record into `record`, which is empty or meaningless unless the answer is
    /// [`Next::Record`].
    ///
    /// Errors: the operating system cannot read on, or the file was written to in the meantime.
    pub(super) fn next(&mut self, record: &mut StringRecord) -> Result<Next, IntakeError> {
        let read = self.csv.read_record(record);
        if let Ok(false) = read {
            return self.end();
        }
        let not_text = match read {
            Ok(_) => None,
            Err(error) => Some(self.not_text(error)?),
        };
        let start = self.csv.get_mut().take_start();
        let line = start.map_or(0, |start| start.line);
        if let Some(flaw) = start.and_then(|start| start.flaw) {
            return Ok(Next::Fault(flaw.into()));
        }
        let fault = not_text.or_else(|| fault_in(record));
        Ok(fault.map_or(Next::Record(line), |(field, what)| {
            let field = Some(field);
            Next::Fault(Fault { line, field, what })
        }))
    }

    /// At the end, the file must still be the one that was opened.
    fn end(&self) -> Result<Next, IntakeError> {
        let (_, input) = self.csv.get_ref().input().get_ref();
        if self.stamp.is_some_and(|stamp| input.changed_since(stamp)) {
            let file = self.file.clone();
            return Err(IntakeError::Changed { file });
        }
        Ok(Next::End)
    }

    /// Tells the field that is not UTF-8, or passes the operating system's error on.
    fn not_text(&self, error: csv::Error) -> Result<(usize, String), IntakeError> {
        let said = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Utf8 { err, .. } => {
                let byte = err.valid_up_to() + 1;
                let what = format!(
                    "is not UTF-8 (byte {byte} of the cell); save the file as \"CSV UTF-8\""
                );
                Ok((err.field(), what))
            }
            kind => {
                let file = self.file.clone();
                let why = match kind {
                    csv::ErrorKind::Io(why) => why,
                    _ => std::io::Error::other(said),
                };
                Err(IntakeError::Read { file, why })
            }
        }
    }
}

impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Self {
        let what = match flaw.kind {
            FlawKind::Unclosed => {
                "a quote opens here and is never closed; close it, or double it where it belongs to the text"
            }
            FlawKind::TextAfterQuote => {
                "text follows the closing quote; a quote inside quoted text is written twice (\"\")"
            }
            FlawKind::TooLong => "the row is larger than 16 MiB; is a quote not closed here?",
        };
        Self {
            line: flaw.line,
            field: Some(flaw.field),
            what: what.to_owned(),
        }
    }
}

/// Finds a NUL, or a cell that is too large.
fn fault_in(record: &StringRecord) -> Option<(usize, String)> {
    let text = record.as_slice();
    if text.len() > CELL_BYTES {
        let large = record.iter().position(|cell| cell.len() > CELL_BYTES);
        if let Some(field) = large {
            let what = "is larger than 1 MiB; shorten it".to_owned();
            return Some((field, what));
        }
    }
    if text.as_bytes().contains(&0) {
        let field = record
            .iter()
            .position(|cell| cell.as_bytes().contains(&0))?;
        let what = "holds a NUL byte; remove it".to_owned();
        return Some((field, what));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture::source;

    /// The line of a record, or the line, the field and the words of its fault.
    type Seen<'a> = Result<u64, (u64, Option<usize>, &'a str)>;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[Seen<'_>]) {
        let file = source(bytes);
        let mut records = Records::new(file.open().begin().expect("it is text"));
        let mut record = StringRecord::new();
        let mut found = Vec::new();
        loop {
            match records.next(&mut record).expect("it reads") {
                Next::Record(line) => found.push(Ok(line)),
                Next::Fault(fault) => found.push(Err((fault.line, fault.field, fault.what))),
                Next::End => break,
            }
        }
        let found: Vec<_> = found
            .iter()
            .map(|one| {
                one.as_ref()
                    .map(|line| *line)
                    .map_err(|(line, field, what)| (*line, *field, what.as_str()))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn faults_are_told_with_line_and_field_and_reading_goes_on() {
        let nul = "holds a NUL byte; remove it";
        check(
            b"a,b\nc,d\0\ne,f\n",
            &[Ok(1), Err((2, Some(1), nul)), Ok(3)],
        );
        let latin = "is not UTF-8 (byte 4 of the cell); save the file as \"CSV UTF-8\"";
        check(
            b"a\r\n\"x\r\ny\"\r\ncaf\xe9\r\nb\r\n",
            &[Ok(1), Ok(2), Err((4, Some(0), latin)), Ok(5)],
        );
        // The halves of a character in two cells are no text, though they are side by side.
        let half = "is not UTF-8 (byte 1 of the cell); save the file as \"CSV UTF-8\"";
        check(b"\xc3,\xa9\nb\n", &[Err((1, Some(0), half)), Ok(2)]);
    }

    #[test]
    fn a_cell_beyond_1_mib_is_refused_and_one_of_1_mib_is_not() {
        let large = "is larger than 1 MiB; shorten it";
        let full = "x".repeat(CELL_BYTES);
        check(format!("a,b\n1,{full}\n").as_bytes(), &[Ok(1), Ok(2)]);
        check(
            format!("a,b\n1,{full}x\n2,c\n").as_bytes(),
            &[Ok(1), Err((2, Some(1), large)), Ok(3)],
        );
    }

    #[test]
    fn a_record_beyond_16_mib_is_the_last_that_is_read() {
        let endless = "is larger than 16 MiB".to_owned();
        let bytes = format!("a,b\n1,\"{}", "text\n".repeat(4 << 20));
        let file = source(bytes.as_bytes());
        let mut records = Records::new(file.open().begin().expect("it is text"));
        let mut record = StringRecord::new();
        assert_eq!(
            records.next(&mut record).expect("it reads"),
            Next::Record(1)
        );
        let Next::Fault(fault) = records.next(&mut record).expect("it reads") else {
            panic!("the record must be refused");
        };
        assert_eq!((fault.line, fault.field), (2, Some(1)));
        assert!(fault.what.contains(&endless), "{}", fault.what);
        assert!(record.as_slice().len() < 17 << 20);
        assert_eq!(records.next(&mut record).expect("it reads"), Next::End);
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_refused() {
        let file = source(b"a\n1\n");
        let mut records = Records::new(file.open().begin().expect("it is text"));
        file.append(b"2\n");
        let mut record = StringRecord::new();
        while let Ok(next) = records.next(&mut record) {
            assert_ne!(next, Next::End, "the end must not be reached");
        }
        let error = records
            .next(&mut record)
            .expect_err("it changed")
            .to_string();
        assert!(error.contains("changed while it was read"), "{error}");
    }
}
