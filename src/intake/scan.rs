//! Scans the bytes that the CSV parser reads. The `csv` crate accepts any input; this scanner finds
//! the first line of each record, unclosed quotes, and records that are too long.
//!
//! It has the same states as the `csv` crate, so that its n-th record is the crate's n-th record; a
//! test compares the two.

use std::collections::VecDeque;
use std::io::{self, Read};

/// Maximum length of a record. A longer one usually has an unclosed quote.
pub(super) const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Number of bytes that are checked at once for special characters.
const STRIDE: usize = 32;

/// A reader that scans the bytes it returns. It stops after [`MAX_RECORD_BYTES`] of one record.
#[derive(Debug)]
pub(super) struct ScanningReader<R> {
    input: R,
    scanner: CsvScanner,
    ended: bool,
}

/// The start of a record, and its first error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordStart {
    /// The line, counted from 1.
    pub(super) line: u64,
    pub(super) error: Option<CsvError>,
}

/// A syntax error in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CsvError {
    /// The line of the last opening quote, or of the start of the record if there is none.
    pub(super) line: u64,
    /// The position of the field, counted from 0.
    pub(super) field: usize,
    pub(super) kind: CsvErrorKind,
}

/// The kinds of syntax errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CsvErrorKind {
    /// A quoted field has text after its closing quote.
    TextAfterQuote,
    /// The input ends inside quotes.
    UnclosedQuote,
    /// The record is larger than [`MAX_RECORD_BYTES`].
    RecordTooLong,
}

/// Tracks records, lines and quotes.
#[derive(Debug)]
struct CsvScanner {
    delimiter: u8,
    state: CsvState,
    /// The line of the next byte.
    line: u64,
    /// Whether the last byte was a `\r` outside quotes, so that a following `\n` does not start
    /// another line.
    after_return: bool,
    /// Length of the record so far.
    record_bytes: u64,
    /// The position of the field in its record.
    field: usize,
    /// The line of the last opening quote.
    quote_line: u64,
    /// The records that have not been taken yet, oldest first.
    starts: VecDeque<RecordStart>,
}

/// The state of the CSV state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CsvState {
    /// Between two records.
    BetweenRecords,
    /// At the start of a field.
    FieldStart,
    /// In an unquoted field.
    Unquoted,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the end of the field, or the first half of `""`.
    AfterQuote,
}

impl<R: Read> ScanningReader<R> {
    /// Scans `input`, which must not start with a byte order mark.
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self {
            input,
            scanner: CsvScanner::new(delimiter),
            ended: false,
        }
    }

    /// Removes and returns the start of the oldest record. Its error is final once the last byte of
    /// the record, or the end of the input, has been read.
    pub(super) fn take_start(&mut self) -> Option<RecordStart> {
        self.scanner.starts.pop_front()
    }

    /// Returns the inner reader.
    pub(super) fn input(&self) -> &R {
        &self.input
    }
}

impl<R: Read> Read for ScanningReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let count = loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if count == 0 {
            self.scanner.end();
        } else {
            self.scanner.feed(&buffer[..count]);
        }
        self.ended = count == 0 || self.scanner.is_overlong();
        Ok(count)
    }
}

impl CsvScanner {
    fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            state: CsvState::BetweenRecords,
            line: 1,
            after_return: false,
            record_bytes: 0,
            field: 0,
            quote_line: 1,
            starts: VecDeque::new(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let run = match self.state {
                CsvState::Unquoted => self.unquoted_run(rest),
                CsvState::Quoted => self.quoted_run(rest),
                _ => 0,
            };
            self.record_bytes += run as u64;
            rest = &rest[run..];
            if let Some((&byte, tail)) = rest.split_first() {
                self.advance(byte);
                rest = tail;
            }
        }
        if self.is_overlong() {
            self.set_error(CsvErrorKind::RecordTooLong);
        }
    }

    fn advance(&mut self, byte: u8) {
        if self.state == CsvState::BetweenRecords {
            if is_line_break(byte) {
                return self.count_line_break(byte);
            }
            self.start_record();
        }
        self.record_bytes += 1;
        self.state = match (self.state, byte) {
            (CsvState::Quoted, b'"') => CsvState::AfterQuote,
            (CsvState::Quoted, _) => {
                self.line += u64::from(byte == b'\n');
                CsvState::Quoted
            }
            (_, byte) if is_line_break(byte) => {
                self.finish_record();
                self.count_line_break(byte);
                CsvState::BetweenRecords
            }
            (_, byte) if byte == self.delimiter => {
                self.field += 1;
                CsvState::FieldStart
            }
            (CsvState::FieldStart, b'"') => {
                self.quote_line = self.line;
                CsvState::Quoted
            }
            (CsvState::AfterQuote, b'"') => CsvState::Quoted,
            (CsvState::AfterQuote, _) => {
                self.set_error(CsvErrorKind::TextAfterQuote);
                CsvState::Unquoted
            }
            _ => CsvState::Unquoted,
        };
    }

    /// Handles the end of the input.
    fn end(&mut self) {
        if self.state == CsvState::Quoted {
            self.set_error(CsvErrorKind::UnclosedQuote);
        }
    }

    fn start_record(&mut self) {
        let line = self.line;
        self.starts.push_back(RecordStart { line, error: None });
        self.state = CsvState::FieldStart;
        self.record_bytes = 0;
        self.field = 0;
        self.quote_line = line;
        self.after_return = false;
    }

    fn finish_record(&mut self) {
        if self.record_bytes > MAX_RECORD_BYTES {
            self.set_error(CsvErrorKind::RecordTooLong);
        }
    }

    fn set_error(&mut self, kind: CsvErrorKind) {
        let (line, field) = (self.quote_line, self.field);
        if let Some(start) = self.starts.back_mut() {
            start.error.get_or_insert(CsvError { line, field, kind });
        }
    }

    fn is_overlong(&self) -> bool {
        self.state != CsvState::BetweenRecords && self.record_bytes > MAX_RECORD_BYTES
    }

    /// Counts a line break outside of quotes: `\n`, `\r\n` or `\r`.
    fn count_line_break(&mut self, byte: u8) {
        let is_crlf = byte == b'\n' && self.after_return;
        self.line += u64::from(!is_crlf);
        self.after_return = byte == b'\r';
    }

    /// Returns the length of the unquoted text at the start of `bytes`.
    fn unquoted_run(&self, bytes: &[u8]) -> usize {
        let ends = |byte: u8| byte == self.delimiter || is_line_break(byte);
        let is_plain = |stride: &[u8]| !contains(stride, ends);
        let strides = bytes
            .chunks_exact(STRIDE)
            .take_while(|stride| is_plain(stride));
        let run = strides.count() * STRIDE;
        run + bytes[run..].iter().take_while(|&&byte| !ends(byte)).count()
    }

    /// Returns the length of the quoted text at the start of `bytes`, and counts its lines.
    fn quoted_run(&mut self, bytes: &[u8]) -> usize {
        let is_plain = |stride: &[u8]| !contains(stride, |byte| byte == b'"');
        let strides = bytes
            .chunks_exact(STRIDE)
            .take_while(|stride| is_plain(stride));
        let run = strides.count() * STRIDE;
        let tail = bytes[run..].iter().take_while(|&&byte| byte != b'"');
        let run = run + tail.count();
        let breaks = bytes[..run].iter().map(|&byte| u64::from(byte == b'\n'));
        self.line += breaks.sum::<u64>();
        run
    }
}

/// Returns whether a stride contains a matching byte. Checks all bytes, so that the compiler can
/// vectorize the loop.
fn contains(stride: &[u8], matches: impl Fn(u8) -> bool) -> bool {
    stride
        .iter()
        .map(|&byte| u8::from(matches(byte)))
        .fold(0, |all, one| all | one)
        != 0
}

/// Returns whether a byte ends a line. `Source::open` rejects these bytes as delimiters.
fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `text` in chunks of `size` bytes.
    fn scan(text: &str, size: usize) -> Vec<RecordStart> {
        let mut scanner = CsvScanner::new(b',');
        for chunk in text.as_bytes().chunks(size) {
            scanner.feed(chunk);
        }
        scanner.end();
        scanner.starts.into()
    }

    /// The line of a record, and the line, field and kind of its error.
    type ScannedRecord = (u64, Option<(u64, usize, CsvErrorKind)>);

    fn scanned(start: RecordStart) -> ScannedRecord {
        let error = start
            .error
            .map(|error| (error.line, error.field, error.kind));
        (start.line, error)
    }

    #[track_caller]
    fn check(text: &str, expected: &[ScannedRecord]) {
        for size in [1, 2, 3, 7, 1000] {
            let found: Vec<_> = scan(text, size).into_iter().map(scanned).collect();
            assert_eq!(found, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn line_numbers_match_those_of_an_editor() {
        check("", &[]);
        check("\n\r\n\n", &[]);
        check("a\nb\nc", &[(1, None), (2, None), (3, None)]);
        check("a\r\nb\r\n\r\nc\r\n", &[(1, None), (2, None), (4, None)]);
        check("a\rb\r\rc", &[(1, None), (2, None), (4, None)]);
        check("\n\na,b\n\n\nc", &[(3, None), (6, None)]);
        check("\"a\r\nb\n\n\",c\nd", &[(1, None), (5, None)]);
        let long = "x".repeat(40);
        check(
            &format!("\"{long}\n{long}\"\n{long}\n{long}"),
            &[(1, None), (3, None), (4, None)],
        );
    }

    #[test]
    fn finds_the_start_of_unclosed_quotes() {
        use CsvErrorKind::{TextAfterQuote, UnclosedQuote};
        check("a,\"b\nc", &[(1, Some((1, 1, UnclosedQuote)))]);
        let given = "a\n\"b\n\",x,\"c\nd\n";
        check(given, &[(1, None), (2, Some((3, 2, UnclosedQuote)))]);
        let given = "1,\"a\n2,\"b\"\n3,c";
        check(given, &[(1, Some((1, 1, TextAfterQuote))), (3, None)]);
        check("\"a\" ,b", &[(1, Some((1, 0, TextAfterQuote)))]);
    }

    #[test]
    fn accepts_valid_quotes() {
        check("\"\"", &[(1, None)]);
        check("\"a\"\"b\",\"\"\"\"\n", &[(1, None)]);
        check("5\" pipe,a \"b\" c\n", &[(1, None)]);
    }

    #[test]
    fn stops_reading_in_an_endless_record() {
        let endless = io::repeat(b'x').take(64 << 20);
        let mut reader = ScanningReader::new(io::Read::chain(&b"a\n1,\"b\n"[..], endless), b',');
        let read = io::copy(&mut reader, &mut io::sink()).unwrap();
        assert!(read < MAX_RECORD_BYTES + (1 << 20), "{read} bytes");
        let second = reader.take_start().and_then(|_| reader.take_start());
        let (line, field, kind) = (2, 1, CsvErrorKind::RecordTooLong);
        let error = Some(CsvError { line, field, kind });
        assert_eq!(second, Some(RecordStart { line: 2, error }));
    }

    #[test]
    fn finds_the_same_records_as_the_csv_crate() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let byte = |rng: &mut fastrand::Rng| *rng.choice(b"a\",\n\r\"x").unwrap();
            let text: Vec<u8> = (0..rng.usize(0..24)).map(|_| byte(&mut rng)).collect();
            let mut csv = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_slice());
            let fields: Vec<usize> = csv.byte_records().map(|row| row.unwrap().len()).collect();
            let starts = scan(std::str::from_utf8(&text).unwrap(), 5);
            assert_eq!(starts.len(), fields.len(), "{}", text.escape_ascii());
        }
    }
}
