//! Gives every row its key, and remembers in twelve bytes a row which keys there were.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use ring::digest::{SHA256, digest};

use super::error::quoted;

/// The most bytes of an id.
const ID_BYTES: usize = 256;

/// How many bytes of a SHA-256 make a digest.
const DIGEST_BYTES: usize = 16;

/// The keys of an input.
#[derive(Debug)]
pub(super) struct Keys {
    naming: Naming,
    /// By the 64-bit print of an id: the line where it stands. By that of a row's content: how
    /// often it came.
    seen: HashMap<Print, u32, BuildHasherDefault<Through>>,
}

/// Where a row's key comes from.
#[derive(Debug)]
enum Naming {
    /// The id column, with the secret that makes its prints unpredictable.
    Ids(RandomState),
    /// The row's content.
    Content,
}

/// 64 bits of a hash, as bytes so that an entry of the map has twelve bytes and no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print([u8; 8]);

/// Takes a print as its own hash.
#[derive(Debug, Default)]
struct Through(u64);

impl Keys {
    /// Keys from the rows' ids, or else from their content.
    pub(super) fn new(has_ids: bool) -> Self {
        let naming = if has_ids {
            Naming::Ids(RandomState::new())
        } else {
            Naming::Content
        };
        let seen = HashMap::default();
        Self { naming, seen }
    }

    /// Names a row by its id, or by its cells in JSON; says what is wrong with the id.
    ///
    /// Two ids that are not the same are taken for the same once in 2^64 pairs.
    pub(super) fn key(&mut self, id: &str, cells: &str, line: u64) -> Result<String, String> {
        match &self.naming {
            Naming::Ids(secret) => {
                let print = Print::from(secret.hash_one(id));
                self.id(id, print, line)
            }
            Naming::Content => Ok(self.occurrence(cells)),
        }
    }

    fn id(&mut self, id: &str, print: Print, line: u64) -> Result<String, String> {
        if id.trim().is_empty() {
            return Err("the id is empty; each row needs one of its own".to_owned());
        }
        if id.len() > ID_BYTES {
            return Err(format!(
                "the id has {} bytes; {ID_BYTES} is the most",
                id.len()
            ));
        }
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        if let Some(first) = self.seen.insert(print, line) {
            // The first line stays the one that is named.
            self.seen.insert(print, first);
            return Err(format!(
                "the id {} stands in line {first} already; each row needs one of its own",
                quoted(id)
            ));
        }
        Ok(id.to_owned())
    }

    fn occurrence(&mut self, cells: &str) -> String {
        let hash = digest(&SHA256, cells.as_bytes());
        let hash = &hash.as_ref()[..DIGEST_BYTES];
        let (first, _) = hash
            .split_first_chunk()
            .expect("a digest has more than eight bytes");
        let count = self
            .seen
            .entry(Print::from(u64::from_le_bytes(*first)))
            .or_insert(0);
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

impl From<u64> for Print {
    fn from(bits: u64) -> Self {
        Self(bits.to_le_bytes())
    }
}

impl Hash for Print {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(self.0));
    }
}

impl Hasher for Through {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only prints are hashed; whatever else may come is folded in.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_named_by_its_hash_and_how_often_it_came() {
        let mut keys = Keys::new(false);
        let mut key = |cells| keys.key("", cells, 1).expect("content always has a key");
        // printf '["a"]' | sha256sum
        assert_eq!(key("[\"a\"]"), "0eb5b8d6f81bc677da8a08567cc4fa9a-1");
        assert_eq!(key("[\"a\"]"), "0eb5b8d6f81bc677da8a08567cc4fa9a-2");
        assert!(key("[\"b\"]").ends_with("-1"));
        assert_eq!(key("[\"a\"]"), "0eb5b8d6f81bc677da8a08567cc4fa9a-3");
    }

    #[test]
    fn an_id_is_taken_as_it_is_and_only_once() {
        let mut keys = Keys::new(true);
        let mut key = |id: &str, line| keys.key(id, "", line);
        assert_eq!(key(" A-1 ", 2).as_deref(), Ok(" A-1 "));
        assert_eq!(key("A-1", 3).as_deref(), Ok("A-1"));
        let twice = "the id `A-1` stands in line 3 already; each row needs one of its own";
        assert_eq!(key("A-1", 9), Err(twice.to_owned()));
        assert_eq!(key("A-1", 11), Err(twice.to_owned()));
        let empty = "the id is empty; each row needs one of its own";
        assert_eq!(key("", 4), Err(empty.to_owned()));
        assert_eq!(key(" ", 4), Err(empty.to_owned()));
        assert!(key(&"x".repeat(256), 5).is_ok());
        let long = "the id has 257 bytes; 256 is the most";
        assert_eq!(key(&"x".repeat(257), 6), Err(long.to_owned()));
    }

    #[test]
    fn a_digest_is_half_a_sha_256_in_hex() {
        // printf '{}' | sha256sum
        assert_eq!(digest_of("{}"), "44136fa355b3678a1146ad16f7e8649e");
    }

    #[test]
    fn an_entry_has_twelve_bytes() {
        assert_eq!(size_of::<(Print, u32)>(), 12);
    }
}
