//! The print of a key: what stands for it in the queue and on the screen.

use ring::hmac;
use secrecy::ExposeSecret;

use super::key_sources::NamedKey;

/// What makes the prints of one database.
#[derive(Debug)]
pub(super) struct Salt(hmac::Key);

impl Salt {
    /// Takes the salt of a database.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Makes the print of a key: ten hexadecimal digits of a keyed hash.
    pub(super) fn print(&self, key: &NamedKey) -> String {
        let tag = hmac::sign(&self.0, key.secret.expose_secret().as_bytes());
        let bytes = tag.as_ref().iter().take(5);
        bytes.fold(String::new(), |print, byte| print + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_tells_keys_and_databases_apart() {
        let key = |text: &str| NamedKey::new("key-1".to_owned(), text.to_owned().into());
        let print = |salt: &[u8], text| Salt::new(salt).print(&key(text));
        assert_eq!(print(b"one", "sk-a"), print(b"one", "sk-a"));
        assert_ne!(print(b"one", "sk-a"), print(b"one", "sk-b"));
        assert_ne!(print(b"one", "sk-a"), print(b"two", "sk-a"));
        assert_eq!(print(b"one", "sk-a").len(), 10);
    }
}
