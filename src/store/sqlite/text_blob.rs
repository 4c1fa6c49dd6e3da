//! Passes many texts to one statement: concatenated in a blob, with their spans in the JSON
//! parameter. In the JSON itself, each text would have to be escaped, parsed and unescaped.

/// Concatenated texts.
#[derive(Debug, Default)]
pub(super) struct TextBlob(Vec<u8>);

/// The span of a text in its blob: the index of its first byte, starting at 1, and its length.
pub(super) type TextSpan = (usize, usize);

impl TextBlob {
    /// Appends a text. In SQL it is `CAST(substr(blob, start, length) AS TEXT)`.
    pub(super) fn add(&mut self, text: &str) -> TextSpan {
        let start = self.0.len() + 1;
        self.0.extend_from_slice(text.as_bytes());
        (start, text.len())
    }

    /// Returns the blob to bind.
    pub(super) fn into_blob(self) -> Vec<u8> {
        self.0
    }
}
