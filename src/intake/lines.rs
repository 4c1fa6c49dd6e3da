//! Splits the bytes into lines and refuses what is no text: bytes that are not UTF-8, and lines
//! beyond all measure. Memory stays bounded by the largest line.

use std::io::{BufRead, BufReader};

use super::error::IntakeError;
use super::scan::RECORD_BYTES;
use super::source::{Begun, Bytes, Stamp};

/// How many bytes are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The lines of an input that are not blank, in order.
#[derive(Debug)]
pub(super) struct Lines {
    /// The input as messages call it.
    pub(super) file: String,
    input: BufReader<Bytes>,
    stamp: Option<Stamp>,
    line: u64,
    buffer: Vec<u8>,
    /// The line that was read is to be read again.
    held: bool,
}

/// A line: where it stands, and its text without blanks around it or what is wrong with it.
pub(super) type Line<'a> = (u64, Result<&'a str, String>);

impl Lines {
    /// Makes ready to read an input.
    pub(super) fn new(begun: Begun) -> Self {
        Self {
            file: begun.file,
            input: BufReader::with_capacity(BUFFER_BYTES, begun.bytes),
            stamp: begun.stamp,
            line: 0,
            buffer: Vec::new(),
            held: false,
        }
    }

    /// Reads the next line that is not blank; `None` at the end.
    ///
    /// Errors: the operating system cannot read on, or the file was written to in the meantime.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, IntakeError> {
        if !std::mem::take(&mut self.held) && !self.read_on()? {
            return self.end().map(|()| None);
        }
        let limit = usize::try_from(RECORD_BYTES).unwrap_or(usize::MAX);
        let text = if self.buffer.len() > limit {
            Err("the line is larger than 16 MiB".to_owned())
        } else {
            std::str::from_utf8(&self.buffer)
                .map(str::trim_ascii)
                .map_err(|error| {
                    let byte = error.valid_up_to() + 1;
                    format!("is not UTF-8 (byte {byte} of the line); save the file as UTF-8")
                })
        };
        Ok(Some((self.line, text)))
    }

    /// Makes the line that was read the next one again.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// Reads to the next line that is not blank; returns whether there is one.
    fn read_on(&mut self) -> Result<bool, IntakeError> {
        loop {
            self.buffer.clear();
            if !self.read_line()? {
                return Ok(false);
            }
            self.line += 1;
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads a line into the buffer, and of one that is too long no more than shows it.
    fn read_line(&mut self) -> Result<bool, IntakeError> {
        let limit = usize::try_from(RECORD_BYTES).unwrap_or(usize::MAX);
        let mut any = false;
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(why) => {
                    let file = self.file.clone();
                    return Err(IntakeError::Read { file, why });
                }
            };
            if bytes.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            if self.buffer.len() <= limit {
                self.buffer.extend_from_slice(&bytes[..taken]);
            }
            self.input.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// At the end, the file must still be the one that was opened.
    fn end(&self) -> Result<(), IntakeError> {
        let (_, input) = self.input.get_ref().get_ref();
        if self.stamp.is_some_and(|stamp| input.changed_since(stamp)) {
            let file = self.file.clone();
            return Err(IntakeError::Changed { file });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture;

    fn lines(bytes: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let file = fixture::source(bytes);
        let mut lines = Lines::new(file.open().begin().expect("it is text"));
        let mut found = Vec::new();
        while let Some((line, text)) = lines.next().expect("it can be read") {
            found.push((line, text.map(str::to_owned)));
        }
        found
    }

    #[test]
    fn blank_lines_are_passed_over_and_counted() {
        let text = |line, text: &str| (line, Ok(text.to_owned()));
        assert_eq!(
            lines(b"\xef\xbb\xbf{\"a\":1}\r\n\n \t\n {\"b\":2} "),
            [text(1, "{\"a\":1}"), text(4, "{\"b\":2}")]
        );
        assert_eq!(lines(b"\n\n"), []);
    }

    #[test]
    fn a_line_that_is_no_text_is_told_and_the_next_one_is_read() {
        let found = lines(b"{\"a\":1}\ncaf\xe9\n{\"b\":2}\n");
        let said = "is not UTF-8 (byte 4 of the line); save the file as UTF-8";
        assert_eq!(found[1], (2, Err(said.to_owned())));
        assert_eq!(found.len(), 3);
        let mut long = b"{\"a\":\"".to_vec();
        long.resize(17 << 20, b'x');
        long.extend_from_slice(b"\n{}\n");
        let found = lines(&long);
        assert_eq!(found[0].1, Err("the line is larger than 16 MiB".to_owned()));
        assert_eq!(found[1], (2, Ok("{}".to_owned())));
    }

    #[test]
    fn a_held_line_comes_again() {
        let file = fixture::source(b"a\nb\n");
        let mut lines = Lines::new(file.open().begin().expect("it is text"));
        lines.next().expect("a line");
        lines.hold();
        assert_eq!(lines.next().expect("it reads"), Some((1, Ok("a"))));
        assert_eq!(lines.next().expect("it reads"), Some((2, Ok("b"))));
    }
}
