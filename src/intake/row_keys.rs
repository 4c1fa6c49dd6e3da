//! Assigns a key to every row, and detects duplicate IDs with twelve bytes of memory per row.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use ring::digest::{SHA256, digest};

use super::error::quoted;

/// Maximum length of an ID.
const MAX_ID_BYTES: usize = 256;

/// Number of bytes of a SHA-256 hash that a digest keeps.
const DIGEST_BYTES: usize = 16;

/// The keys assigned to the rows of an input so far.
#[derive(Debug)]
pub(super) struct RowKeys {
    source: RowKeySource,
    /// Maps the hash of an ID to its line, or the hash of a row to its number of occurrences.
    seen: HashMap<KeyHash, u32, BuildHasherDefault<IdentityHasher>>,
}

/// The data that row keys are derived from.
#[derive(Debug)]
enum RowKeySource {
    /// The ID column. The random seed prevents crafted collisions.
    Ids(RandomState),
    /// The content of the row.
    Content,
}

/// A 64-bit hash. Stored as bytes, so that a map entry has twelve bytes and no padding.
type KeyHash = [u8; 8];

/// Uses a [`KeyHash`] as its own hash.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl RowKeys {
    /// Creates an empty set of keys, derived from IDs or from the content of rows.
    pub(super) fn new(has_ids: bool) -> Self {
        let ids = has_ids.then(|| RowKeySource::Ids(RandomState::new()));
        Self {
            source: ids.unwrap_or(RowKeySource::Content),
            seen: HashMap::default(),
        }
    }

    /// Returns the key of a row with this ID and these JSON cells, or an error message if the ID is
    /// invalid.
    ///
    /// The probability that two different IDs count as duplicates is 2^-64 per pair.
    pub(super) fn key(&mut self, id: &str, cells: &str, line: u64) -> Result<String, String> {
        match &self.source {
            RowKeySource::Ids(secret) => self.check_id(id, secret.hash_one(id).to_le_bytes(), line),
            RowKeySource::Content => Ok(self.content_key(cells)),
        }
    }

    fn check_id(&mut self, id: &str, hash: KeyHash, line: u64) -> Result<String, String> {
        if id.trim().is_empty() {
            return Err("the ID is empty; each row needs a unique ID".to_owned());
        }
        if id.len() > MAX_ID_BYTES {
            let length = id.len();
            return Err(format!(
                "the ID has {length} bytes; the maximum is {MAX_ID_BYTES}"
            ));
        }
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        if let Some(first) = self.seen.insert(hash, line) {
            // Errors refer to the first occurrence.
            self.seen.insert(hash, first);
            return Err(format!(
                "duplicate ID {}, first used in line {first}; each row needs a unique ID",
                quoted(id)
            ));
        }
        Ok(id.to_owned())
    }

    fn content_key(&mut self, cells: &str) -> String {
        let hash = digest(&SHA256, cells.as_bytes());
        let hash = &hash.as_ref()[..DIGEST_BYTES];
        let first = hash.first_chunk();
        let first = first.expect("a digest has more than eight bytes");
        let count = self.seen.entry(*first).or_insert(0);
        *count = count.saturating_add(1);
        let mut key = String::with_capacity(2 * DIGEST_BYTES + 2);
        push_hex(&mut key, hash);
        key.push('-');
        key.push_str(&count.to_string());
        key
    }
}

/// Returns the first 16 bytes of the SHA-256 of a text, in hex.
pub(super) fn digest_of(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    let mut out = String::with_capacity(2 * DIGEST_BYTES);
    push_hex(&mut out, &hash.as_ref()[..DIGEST_BYTES]);
    out
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The length of a key is written first, and then replaced by its bytes.
        self.0 = bytes.try_into().map_or(0, u64::from_le_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_keys_are_a_hash_and_an_occurrence_number() {
        let mut keys = RowKeys::new(false);
        let mut key = |cells| keys.key("", cells, 1).unwrap();
        // printf '["a"]' | sha256sum
        assert_eq!(key("[\"a\"]"), "0eb5b8d6f81bc677da8a08567cc4fa9a-1");
        assert_eq!(key("[\"a\"]"), "0eb5b8d6f81bc677da8a08567cc4fa9a-2");
        assert!(key("[\"b\"]").ends_with("-1"));
        assert_eq!(key("[\"a\"]"), "0eb5b8d6f81bc677da8a08567cc4fa9a-3");
    }

    #[test]
    fn ids_are_unchanged_and_unique() {
        let mut keys = RowKeys::new(true);
        let mut key = |id: &str, line| keys.key(id, "", line);
        assert_eq!(key(" A-1 ", 2).as_deref(), Ok(" A-1 "));
        assert_eq!(key("A-1", 3).as_deref(), Ok("A-1"));
        let duplicate = "duplicate ID `A-1`, first used in line 3; each row needs a unique ID";
        assert_eq!(key("A-1", 9), Err(duplicate.to_owned()));
        assert_eq!(key("A-1", 11), Err(duplicate.to_owned()));
        let empty = "the ID is empty; each row needs a unique ID";
        assert_eq!(key("", 4), Err(empty.to_owned()));
        assert_eq!(key(" ", 4), Err(empty.to_owned()));
        assert!(key(&"x".repeat(256), 5).is_ok());
        let long = "the ID has 257 bytes; the maximum is 256";
        assert_eq!(key(&"x".repeat(257), 6), Err(long.to_owned()));
    }

    #[test]
    fn a_digest_is_half_of_a_sha_256_in_hex() {
        // printf '{}' | sha256sum
        assert_eq!(digest_of("{}"), "44136fa355b3678a1146ad16f7e8649e");
    }

    #[test]
    fn a_map_entry_has_twelve_bytes() {
        assert_eq!(size_of::<(KeyHash, u32)>(), 12);
    }
}
