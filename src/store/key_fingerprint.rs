//! Fingerprints, which identify a key in the database and in output without revealing it.

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// The salt of a database, which makes its fingerprints differ from those of other databases.
#[derive(Debug)]
pub struct Salt(hmac::Key);

impl Salt {
    /// Creates the salt from its bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Returns the fingerprint of a key: ten hexadecimal digits of a keyed hash.
    #[must_use]
    pub fn fingerprint(&self, key: &SecretString) -> String {
        let tag = hmac::sign(&self.0, key.expose_secret().as_bytes());
        let bytes = tag.as_ref().iter().take(5);
        bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_differ_by_key_and_by_database() {
        let fingerprint =
            |salt: &[u8], text| Salt::new(salt).fingerprint(&SecretString::from(text));
        assert_eq!(fingerprint(b"one", "sk-a"), fingerprint(b"one", "sk-a"));
        assert_ne!(fingerprint(b"one", "sk-a"), fingerprint(b"one", "sk-b"));
        assert_ne!(fingerprint(b"one", "sk-a"), fingerprint(b"two", "sk-a"));
        assert_eq!(fingerprint(b"one", "sk-a").len(), 10);
    }
}
