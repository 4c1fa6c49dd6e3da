//! The format of an input, and how to read it.

/// The format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// One request per line, in the format of the `OpenAI` Batch API.
    Batch,
}

/// Options for reading an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The format; `None` detects it by the file name and the first bytes.
    pub format: Option<Format>,
    /// The field delimiter: an ASCII byte other than a double quote, a line break or NUL.
    pub delimiter: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: None,
            delimiter: b',',
        }
    }
}
