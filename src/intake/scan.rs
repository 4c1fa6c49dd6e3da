//! Watches the bytes on their way into the CSV reader, which always finds *a* reading and never
//! complains: where a record starts, whether its quotes are closed, and whether it ever ends.
//!
//! It walks through the same states as the `csv` crate, so that its n-th record is the crate's
//! n-th record; a test holds the two together.

use std::collections::VecDeque;
use std::io::{self, Read};

/// The most bytes of one record. What is larger is an open quote as a rule.
pub(super) const RECORD_BYTES: u64 = 16 << 20;

/// So many bytes are looked at together where nothing special is expected.
const STRIDE: usize = 32;

/// A reader that scans what it hands out, and ends early in a record without an end.
#[derive(Debug)]
pub(super) struct Guard<R> {
    input: R,
    scan: Scan,
    ended: bool,
}

/// Where a record starts, and what is wrong with its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The line, counted from 1.
    pub(super) line: u64,
    /// The first flaw of the record.
    pub(super) flaw: Option<Flaw>,
}

/// What is wrong with a record as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// The line where the field's quote opens; where the record starts if it has none.
    pub(super) line: u64,
    /// The number of the field, from 0.
    pub(super) field: usize,
    /// What it is.
    pub(super) kind: FlawKind,
}

/// The kinds of flaws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlawKind {
    /// A quoted field goes on behind its closing quote.
    TextAfterQuote,
    /// The file ends inside quotes.
    Unclosed,
    /// The record is larger than [`RECORD_BYTES`].
    TooLong,
}

/// The state of the watch.
#[derive(Debug)]
struct Scan {
    delimiter: u8,
    place: Place,
    /// The line of the next byte.
    line: u64,
    /// The last byte was a `\r` outside of quotes, so that a `\n` belongs to the same line break.
    after_return: bool,
    /// Bytes of the record so far.
    record_bytes: u64,
    /// The number of the field in its record.
    field: usize,
    /// The line where the last quote opened.
    quote_line: u64,
    /// The records that were seen and not yet taken, oldest first.
    starts: VecDeque<Start>,
}

/// Where in a record a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between two records.
    Between,
    /// At the start of a field.
    FieldStart,
    /// In a field without quotes.
    Plain,
    /// Inside quotes.
    Quoted,
    /// Behind a quote inside quotes: the end of the field, or the first half of `""`.
    Closing,
}

impl<R: Read> Guard<R> {
    /// Watches `input`, from the first byte behind a byte order mark.
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        let scan = Scan::new(delimiter);
        Self {
            input,
            scan,
            ended: false,
        }
    }

    /// Takes what is known of the oldest record that was not yet taken. The flaws are complete as
    /// soon as the record's last byte, or the end of the input, was read.
    pub(super) fn take_start(&mut self) -> Option<Start> {
        self.scan.starts.pop_front()
    }

    /// Returns the reader below.
    pub(super) fn input(&self) -> &R {
        &self.input
    }
}

impl<R: Read> Read for Guard<R> {
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
            self.scan.end();
        } else {
            self.scan.feed(&buffer[..count]);
        }
        self.ended = count == 0 || self.scan.is_overlong();
        Ok(count)
    }
}

impl Scan {
    fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            place: Place::Between,
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
            let run = match self.place {
                Place::Plain => self.plain_run(rest),
                Place::Quoted => self.quoted_run(rest),
                _ => 0,
            };
            self.record_bytes += run as u64;
            rest = &rest[run..];
            if let Some((&byte, behind)) = rest.split_first() {
                self.step(byte);
                rest = behind;
            }
        }
        if self.is_overlong() {
            self.note(FlawKind::TooLong);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.place == Place::Between {
            if is_break(byte) {
                return self.count_break(byte);
            }
            self.begin();
        }
        self.record_bytes += 1;
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::Closing,
            (Place::Quoted, _) => {
                self.line += u64::from(byte == b'\n');
                Place::Quoted
            }
            (_, byte) if is_break(byte) => {
                self.finish();
                self.count_break(byte);
                Place::Between
            }
            (_, byte) if byte == self.delimiter => {
                self.field += 1;
                Place::FieldStart
            }
            (Place::FieldStart, b'"') => {
                self.quote_line = self.line;
                Place::Quoted
            }
            (Place::Closing, b'"') => Place::Quoted,
            (Place::Closing, _) => {
                self.note(FlawKind::TextAfterQuote);
                Place::Plain
            }
            _ => Place::Plain,
        };
    }

    /// The input is at its end.
    fn end(&mut self) {
        if self.place == Place::Quoted {
            self.note(FlawKind::Unclosed);
        }
    }

    fn begin(&mut self) {
        let line = self.line;
        self.starts.push_back(Start { line, flaw: None });
        self.place = Place::FieldStart;
        self.record_bytes = 0;
        self.field = 0;
        self.quote_line = line;
        self.after_return = false;
    }

    fn finish(&mut self) {
        if self.record_bytes > RECORD_BYTES {
            self.note(FlawKind::TooLong);
        }
    }

    fn note(&mut self, kind: FlawKind) {
        let (line, field) = (self.quote_line, self.field);
        if let Some(start) = self.starts.back_mut() {
            start.flaw.get_or_insert(Flaw { line, field, kind });
        }
    }

    fn is_overlong(&self) -> bool {
        self.place != Place::Between && self.record_bytes > RECORD_BYTES
    }

    /// Counts a line break outside of quotes: `\n`, `\r\n` or `\r`.
    fn count_break(&mut self, byte: u8) {
        let second_half = byte == b'\n' && self.after_return;
        self.line += u64::from(!second_half);
        self.after_return = byte == b'\r';
    }

    /// How many bytes of a plain field come next.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        let ends = |byte: u8| byte == self.delimiter || is_break(byte);
        let calm = |stride: &[u8]| !any(stride, ends);
        let strides = bytes.chunks_exact(STRIDE).take_while(|stride| calm(stride));
        let run = strides.count() * STRIDE;
        run + bytes[run..].iter().take_while(|&&byte| !ends(byte)).count()
    }

    /// How many bytes inside quotes come next. Counts the lines among them.
    fn quoted_run(&mut self, bytes: &[u8]) -> usize {
        let calm = |stride: &[u8]| !any(stride, |byte| byte == b'"');
        let strides = bytes.chunks_exact(STRIDE).take_while(|stride| calm(stride));
        let run = strides.count() * STRIDE;
        let tail = bytes[run..].iter().take_while(|&&byte| byte != b'"');
        let run = run + tail.count();
        let breaks = bytes[..run].iter().map(|&byte| u64::from(byte == b'\n'));
        self.line += breaks.sum::<u64>();
        run
    }
}

/// Tells whether a stride holds a byte of some kind. It looks at all of them, so that the compiler
/// can look at many at a time.
fn any(stride: &[u8], is: impl Fn(u8) -> bool) -> bool {
    stride
        .iter()
        .map(|&byte| u8::from(is(byte)))
        .fold(0, |all, one| all | one)
        != 0
}

/// A delimiter is never a line break: `Source::open` sees to it.
fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `text` in pieces of `size` bytes.
    fn scan(text: &str, size: usize) -> Vec<Start> {
        let mut scan = Scan::new(b',');
        for piece in text.as_bytes().chunks(size) {
            scan.feed(piece);
        }
        scan.end();
        scan.starts.into()
    }

    /// The line of a record, and its flaw's line, field and kind.
    type Seen = (u64, Option<(u64, usize, FlawKind)>);

    #[track_caller]
    fn check(text: &str, expected: &[Seen]) {
        for size in [1, 2, 3, 7, 1000] {
            let found: Vec<_> = scan(text, size)
                .iter()
                .map(|start| {
                    (
                        start.line,
                        start.flaw.map(|flaw| (flaw.line, flaw.field, flaw.kind)),
                    )
                })
                .collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn records_start_on_the_line_an_editor_shows() {
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
    fn quotes_that_do_not_close_are_found_where_they_open() {
        use FlawKind::{TextAfterQuote, Unclosed};
        check("a,\"b\nc", &[(1, Some((1, 1, Unclosed)))]);
        check(
            "a\n\"b\n\",x,\"c\nd\n",
            &[(1, None), (2, Some((3, 2, Unclosed)))],
        );
        check(
            "1,\"a\n2,\"b\"\n3,c",
            &[(1, Some((1, 1, TextAfterQuote))), (3, None)],
        );
        check("\"a\" ,b", &[(1, Some((1, 0, TextAfterQuote)))]);
    }

    #[test]
    fn quotes_that_are_in_order_are_left_alone() {
        check("\"\"", &[(1, None)]);
        check("\"a\"\"b\",\"\"\"\"\n", &[(1, None)]);
        check("5\" pipe,a \"b\" c\n", &[(1, None)]);
    }

    #[test]
    fn a_record_without_an_end_ends_the_input() {
        let endless = io::repeat(b'x').take(64 << 20);
        let mut guard = Guard::new(io::Read::chain(&b"a\n1,\"b\n"[..], endless), b',');
        let handed_out = io::copy(&mut guard, &mut io::sink()).expect("it reads");
        assert!(handed_out < RECORD_BYTES + (1 << 20), "{handed_out} bytes");
        let second = guard.take_start().and_then(|_| guard.take_start());
        let (line, field, kind) = (2, 1, FlawKind::TooLong);
        let flaw = Some(Flaw { line, field, kind });
        assert_eq!(second, Some(Start { line: 2, flaw }));
    }

    #[test]
    fn it_sees_the_same_records_as_the_csv_crate() {
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let symbol = |dice: &mut fastrand::Rng| *dice.choice(b"a\",\n\r\"x").expect("one");
            let text: Vec<u8> = (0..dice.usize(0..24)).map(|_| symbol(&mut dice)).collect();
            let mut csv = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_slice());
            let fields: Vec<usize> = csv
                .byte_records()
                .map(|row| row.expect("reads").len())
                .collect();
            let starts = scan(std::str::from_utf8(&text).expect("ASCII"), 5);
            assert_eq!(starts.len(), fields.len(), "{}", text.escape_ascii());
        }
    }
}
