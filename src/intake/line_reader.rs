//! Splits an input into lines and rejects those that are not UTF-8 or too long. Memory is bounded
//! by the maximum line length.

use std::io::{BufRead, BufReader, Read};

use super::error::{IntakeError, Result};
use super::scan::MAX_RECORD_BYTES;
use super::source::{Bytes, FileStamp, SniffedInput, check_unchanged};

/// Size of the read buffer.
const BUFFER_BYTES: usize = 64 << 10;

/// Reads the lines of an input, except blank ones.
#[derive(Debug)]
pub(super) struct LineReader {
    /// The name of the input in messages.
    pub(super) file: String,
    input: BufReader<Bytes>,
    stamp: Option<FileStamp>,
    line: u64,
    buffer: Vec<u8>,
    /// Whether the next call of `next` returns the same line again.
    is_unread: bool,
}

/// The number of a line, and its trimmed text or an error message.
pub(super) type Line<'a> = (u64, Result<&'a str, String>);

impl LineReader {
    /// Creates a reader for an input.
    pub(super) fn new(input: SniffedInput) -> Self {
        Self {
            file: input.file,
            input: BufReader::with_capacity(BUFFER_BYTES, input.bytes),
            stamp: input.stamp,
            line: 0,
            buffer: Vec::new(),
            is_unread: false,
        }
    }

    /// Reads the next line that is not blank; `None` at the end.
    ///
    /// Errors: an I/O error, or the file was modified while it was being read.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>> {
        if !std::mem::take(&mut self.is_unread) && !self.read_nonblank()? {
            let unchanged = check_unchanged(&self.file, self.input.get_ref(), self.stamp);
            return unchanged.map(|()| None);
        }
        let limit = usize::try_from(MAX_RECORD_BYTES).unwrap_or(usize::MAX);
        let text = if self.buffer.len() > limit {
            Err("the line is larger than 16 MiB".to_owned())
        } else {
            std::str::from_utf8(&self.buffer)
                .map(str::trim_ascii)
                .map_err(|error| {
                    let byte = error.valid_up_to() + 1;
                    format!("invalid UTF-8 at byte {byte} of the line; save the file as UTF-8")
                })
        };
        Ok(Some((self.line, text)))
    }

    /// Makes `next` return the last line again.
    pub(super) fn unread(&mut self) {
        self.is_unread = true;
    }

    /// Reads up to the next line that is not blank; returns whether there is one.
    fn read_nonblank(&mut self) -> Result<bool> {
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

    /// Reads a line into the buffer, or the first part of a line that is too long. Returns `false` at
    /// the end of the input.
    fn read_line(&mut self) -> Result<bool> {
        let mut start = self.input.by_ref().take(MAX_RECORD_BYTES + 1);
        let read = start.read_until(b'\n', &mut self.buffer).and_then(|read| {
            if self.buffer.ends_with(b"\n") {
                return Ok(read);
            }
            self.input.skip_until(b'\n').map(|skipped| read + skipped)
        });
        read.map(|read| read > 0)
            .map_err(|error| IntakeError::Read(self.file.clone(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture;

    fn lines(bytes: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let file = fixture::input_file(bytes);
        let mut lines = LineReader::new(file.open().sniff().unwrap());
        let mut found = Vec::new();
        while let Some((line, text)) = lines.next().unwrap() {
            found.push((line, text.map(str::to_owned)));
        }
        found
    }

    #[test]
    fn blank_lines_are_skipped_but_counted() {
        let text = |line, text: &str| (line, Ok(text.to_owned()));
        assert_eq!(
            lines(b"\xef\xbb\xbf{\"a\":1}\r\n\n \t\n {\"b\":2} "),
            [text(1, "{\"a\":1}"), text(4, "{\"b\":2}")]
        );
        assert_eq!(lines(b"\n\n"), []);
    }

    #[test]
    fn reading_continues_after_an_invalid_line() {
        let found = lines(b"{\"a\":1}\ncaf\xe9\n{\"b\":2}\n");
        let expected = "invalid UTF-8 at byte 4 of the line; save the file as UTF-8";
        assert_eq!(found[1], (2, Err(expected.to_owned())));
        assert_eq!(found.len(), 3);
        let mut long = b"{\"a\":\"".to_vec();
        long.resize(17 << 20, b'x');
        long.extend_from_slice(b"\n{}\n");
        let found = lines(&long);
        assert_eq!(found[0].1, Err("the line is larger than 16 MiB".to_owned()));
        assert_eq!(found[1], (2, Ok("{}".to_owned())));
    }

    #[test]
    fn an_unread_line_is_returned_again() {
        let file = fixture::input_file(b"a\nb\n");
        let mut lines = LineReader::new(file.open().sniff().unwrap());
        lines.next().unwrap();
        lines.unread();
        assert_eq!(lines.next().unwrap(), Some((1, Ok("a"))));
        assert_eq!(lines.next().unwrap(), Some((2, Ok("b"))));
    }
}
