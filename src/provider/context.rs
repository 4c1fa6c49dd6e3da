//! What is known about a response before it is parsed.

use crate::domain::time::Timestamp;

/// The minimum length of a key to redact, in bytes. Placeholders such as `none` for local servers
/// are not secret and can be words of a completion.
const MIN_SECRET_BYTES: usize = 16;

/// The keys to redact from a response, and the time it was received.
#[derive(Clone, Copy)]
pub(super) struct ParseContext<'a> {
    pub(super) known_keys: &'a [&'a str],
    pub(super) received_at: Timestamp,
}

impl<'a> ParseContext<'a> {
    /// Returns the keys that are secret.
    pub(super) fn secrets(self) -> impl Iterator<Item = &'a str> {
        let keys = self.known_keys.iter().copied();
        keys.filter(|key| key.len() >= MIN_SECRET_BYTES)
    }
}
