//! What makes two refusals the same: their status, their code, and what they say without what
//! differs from request to request.
//!
//! When two different keys get the same fingerprint for one job, the job or the endpoint is at
//! fault and not the keys. So whatever names a key, a request or a row has to fall out of it.

use serde::{Deserialize, Serialize};

use super::failure::Refusal;

/// Stands for a refusal as such. Equal over runs and machines, so it may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

/// The longest word of a message that is taken for a word, in bytes; longer ones are ids where
/// they mix upper and lower case.
const WORD_BYTES: usize = 16;

/// Returns the fingerprint of a refusal, without allocating.
#[must_use]
pub fn of(refusal: &Refusal) -> Fingerprint {
    let mut hash = Hash::new();
    hash.bytes(&refusal.status.to_be_bytes());
    for byte in refusal.code.bytes() {
        hash.byte(byte.to_ascii_lowercase());
    }
    words(&refusal.message, &mut |word| {
        hash.byte(b' ');
        for byte in word.bytes() {
            hash.byte(byte.to_ascii_lowercase());
        }
    });
    Fingerprint(hash.0)
}

/// Hands on the words of a message that say what happened: no quoted parts, numbers, ids or keys.
fn words<'a>(message: &'a str, take: &mut impl FnMut(&'a str)) {
    let mut rest = message;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let length = quoted(rest, before)
            .unwrap_or_else(|| rest.find(|c| !of_a_word(c)).unwrap_or(rest.len()))
            .max(first.len_utf8());
        let (word, after) = rest.split_at(length);
        if of_a_word(first) && says_something(word) {
            take(word);
        }
        before = word.chars().next_back().unwrap_or(' ');
        rest = after;
    }
}

fn of_a_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '*' | '…' | '•')
}

/// The length of a quoted part that the text begins with, quotes included. An apostrophe inside a
/// word opens none.
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

/// Whether a word is one: no digit, no mask, no id.
fn says_something(word: &str) -> bool {
    let masked = word.contains(['*', '…', '•']);
    let digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let hex = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let upper = word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let lower = word.bytes().any(|byte| byte.is_ascii_lowercase());
    let id = word.is_ascii() && word.len() > WORD_BYTES && upper && lower;
    let named = ["org-", "proj_", "req_", "user-", "user_", "sk-"];
    !(masked || digit || hex || id || named.iter().any(|prefix| word.starts_with(prefix)))
}

/// FNV-1a with 64 bits: small, and the same for ever, which std's hashers do not promise.
struct Hash(u64);

impl Hash {
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

    fn print(status: u16, code: &str, message: &str) -> Fingerprint {
        of(&Refusal {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            ..Refusal::default()
        })
    }

    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        assert_eq!(
            print(403, "x", one) == print(403, "x", other),
            same,
            "{one} | {other}"
        );
    }

    #[test]
    fn what_differs_by_key_and_request_falls_out() {
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
            "The prompt \"tell me of cats\" was flagged",
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
    fn what_says_something_stays() {
        check("Your key is disabled", "Your key is unknown", false);
        check(
            "You've no access, it's closed",
            "You've no access, it's over",
            false,
        );
        check("余额不足", "模型不存在", false);
        assert_ne!(print(403, "a", "no"), print(401, "a", "no"));
        assert_ne!(print(403, "a", "no"), print(403, "b", "no"));
        assert_eq!(print(403, "Forbidden", ""), print(403, "forbidden", ""));
    }

    #[test]
    fn it_never_changes_because_it_is_stored() {
        assert_eq!(
            print(403, "forbidden", "Your key is disabled"),
            Fingerprint(PINNED)
        );
    }

    const PINNED: u64 = 5_470_198_666_481_005_574;
}
