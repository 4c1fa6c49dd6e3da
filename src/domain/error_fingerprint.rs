//! Fingerprints of error responses: the status, the code and the message without the parts that
//! vary between requests.
//!
//! If two keys get the same fingerprint for one job, the cause is the job or the endpoint rather
//! than the keys. A fingerprint must therefore not depend on anything that identifies a key, a
//! request or a row.

use serde::{Deserialize, Serialize};

use super::failure::ErrorResponse;

/// Identifies an error response. Stable across runs and machines, so it can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorFingerprint(pub u64);

/// Maximum length of a word in bytes. Longer words in mixed case are treated as IDs.
const MAX_WORD_BYTES: usize = 16;

/// Returns the fingerprint of an error response, without allocating.
#[must_use]
pub fn of(response: &ErrorResponse) -> ErrorFingerprint {
    let mut hash = Fnv1a::new();
    hash.bytes(&response.status.to_be_bytes());
    for byte in response.code.bytes() {
        hash.byte(byte.to_ascii_lowercase());
    }
    words(&response.message, &mut |word| {
        hash.byte(b' ');
        for byte in word.bytes() {
            hash.byte(byte.to_ascii_lowercase());
        }
    });
    ErrorFingerprint(hash.0)
}

/// Passes the significant words of a message to `visit`: no quoted parts, numbers, IDs or keys.
fn words<'a>(message: &'a str, visit: &mut impl FnMut(&'a str)) {
    let mut rest = message;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let length = quoted(rest, before)
            .unwrap_or_else(|| rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()))
            .max(first.len_utf8());
        let (word, after) = rest.split_at(length);
        if is_word_char(first) && is_significant(word) {
            visit(word);
        }
        before = word.chars().next_back().unwrap_or(' ');
        rest = after;
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '*' | '…' | '•')
}

/// Returns the length of the quoted part at the start of a text, including quotes. An apostrophe
/// inside a word does not open one.
fn quoted(text: &str, before: char) -> Option<usize> {
    let open = text.chars().next()?;
    let close = match open {
        '"' | '`' => open,
        '\'' if !before.is_alphanumeric() => open,
        '[' => ']',
        '“' => '”',
        '‘' => '’',
        '「' => '」',
        '『' => '』',
        _ => return None,
    };
    let inside = &text[open.len_utf8()..];
    let end = inside.match_indices(close).map(|(at, _)| at).find(|at| {
        let next = inside[at + close.len_utf8()..].chars().next();
        close != '\'' || next.is_none_or(|c| !c.is_alphanumeric())
    })?;
    Some(open.len_utf8() + end + close.len_utf8())
}

/// Returns whether a word is significant: without digits or mask characters, and not an ID.
fn is_significant(word: &str) -> bool {
    let masked = word.contains(['*', '…', '•']);
    let digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let hex = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let upper = word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let lower = word.bytes().any(|byte| byte.is_ascii_lowercase());
    let id = word.is_ascii() && word.len() > MAX_WORD_BYTES && upper && lower;
    let id_prefixes = ["org-", "proj_", "req_", "user-", "user_", "sk-"];
    !(masked || digit || hex || id || id_prefixes.iter().any(|prefix| word.starts_with(prefix)))
}

/// 64-bit FNV-1a. Unlike the hashers of std, its results are guaranteed to be stable.
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(status: u16, code: &str, message: &str) -> ErrorFingerprint {
        of(&ErrorResponse {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            ..ErrorResponse::default()
        })
    }

    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        assert_eq!(
            fingerprint(403, "x", one) == fingerprint(403, "x", other),
            same,
            "{one} | {other}"
        );
    }

    #[test]
    fn ignores_what_varies_by_key_and_request() {
        check(
            "Incorrect key sk-ab****wxyz (request id: 2025a)",
            "Incorrect key [redacted] (request id: 77b)",
            true,
        );
        check(
            "Forbidden 8f14e45f-ceea-467f-a8dd-3c6f in org-QwErTyUiOpAsDfGh",
            "forbidden 1 in org-X",
            true,
        );
        check(
            "The prompt \"write about cats\" was flagged",
            "The prompt \"dogs, it's\" was flagged",
            true,
        );
        check("trace deadbeef", "trace cafebabe", true);
        check(
            "Limit 3, Used 3. Try again in 20s",
            "Limit 5, Used 5. Try again in 7ms",
            true,
        );
        check("第 3 次请求被拒绝", "第 45 次请求被拒绝", true);
    }

    #[test]
    fn keeps_significant_differences() {
        check("Your key is disabled", "Your key is unknown", false);
        check(
            "You've no access, it's closed",
            "You've no access, it's over",
            false,
        );
        check("余额不足", "模型不存在", false);
        assert_ne!(fingerprint(403, "a", "no"), fingerprint(401, "a", "no"));
        assert_ne!(fingerprint(403, "a", "no"), fingerprint(403, "b", "no"));
        assert_eq!(
            fingerprint(403, "Forbidden", ""),
            fingerprint(403, "forbidden", "")
        );
    }

    #[test]
    fn is_pinned_because_it_is_stored() {
        assert_eq!(
            fingerprint(403, "forbidden", "Your key is disabled"),
            ErrorFingerprint(PINNED)
        );
    }

    const PINNED: u64 = 5_470_198_666_481_005_574;
}
