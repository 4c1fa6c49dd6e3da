//! Many texts handed to one statement: one behind the other in a blob, with their places in the
//! JSON beside it. As JSON each of them would be escaped, parsed and unescaped again.

/// Texts, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Pack(Vec<u8>);

/// Where a text stands in its pack: the number of its first byte, from 1, and how many there are.
pub(super) type Place = (usize, usize);

impl Pack {
    /// Adds a text. In SQL it is `CAST(substr(pack, place, bytes) AS TEXT)`.
    pub(super) fn add(&mut self, text: &str) -> Place {
        let place = self.0.len() + 1;
        self.0.extend_from_slice(text.as_bytes());
        (place, text.len())
    }

    /// Returns the blob to bind.
    pub(super) fn into_blob(self) -> Vec<u8> {
        self.0
    }
}
