//! Takes secrets out of text that is shown or stored.
//!
//! Known keys go first, whole, masked or in part; then whatever looks like a key. The patterns are
//! broad on purpose: a word too much hidden costs nothing, a key byte shown cannot be taken back.

use std::borrow::Cow;
use std::ops::Range;

/// What stands where a secret was.
pub const HIDDEN: &str = "[redacted]";

/// The most of an error body that is kept, in bytes.
pub const EXCERPT_BYTES: usize = 2048;

/// The fewest characters after a prefix that make a word a key.
const KEY_LENGTH: usize = 8;
/// The fewest characters of a known key's start or end that are hidden where they stand alone.
const ECHO_LENGTH: usize = 4;

/// How keys begin. Those that may begin an ordinary word too count only with a digit in the word.
const PREFIXES: [&str; 18] = [
    "sk-",
    "sk_",
    "gsk_",
    "xai-",
    "AIza",
    "hf_",
    "pplx-",
    "nvapi-",
    "csk-",
    "fw_",
    "fw-",
    "tgp_",
    "ghp_",
    "github_pat_",
    "r8_",
    "AKIA",
    "eyJ",
    "tvly-",
];
const DOUBTFUL_PREFIXES: [&str; 3] = ["key-", "key_", "api-"];

/// What stands before a secret, lower-case; `:` or `=` may follow, with quotes and spaces.
const LABELS: [&str; 7] = [
    "x-api-key",
    "api-key",
    "api_key",
    "apikey",
    "access_token",
    "authorization",
    "client_secret",
];

/// Returns the text with every secret replaced by [`HIDDEN`]; borrowed when there is none.
///
/// `known` are the keys in use. Empty ones are ignored.
#[must_use]
pub fn redact<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    let mut secrets = Vec::new();
    exact(text, known, &mut secrets);
    words(text, known, &mut secrets);
    bearers(text, &mut secrets);
    labelled(text, &mut secrets);
    userinfo(text, &mut secrets);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_unstable_by_key(|secret: &Range<usize>| secret.start);
    Cow::Owned(without(text, &secrets))
}

/// Returns the text redacted, trimmed and cut to [`EXCERPT_BYTES`] at a character's border.
#[must_use]
pub fn excerpt(text: &str, known: &[&str]) -> String {
    let clean = redact(text.trim(), known);
    let end = clean.floor_char_boundary(EXCERPT_BYTES);
    match clean {
        Cow::Borrowed(text) => text[..end].to_owned(),
        Cow::Owned(mut text) => {
            text.truncate(end);
            text
        }
    }
}

/// Writes the text around the secrets, which are sorted and may overlap.
fn without(text: &str, secrets: &[Range<usize>]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for secret in secrets {
        if secret.start >= end {
            clean.push_str(&text[end..secret.start]);
            clean.push_str(HIDDEN);
        }
        end = end.max(secret.end);
    }
    clean.push_str(&text[end..]);
    clean
}

fn exact(text: &str, known: &[&str], secrets: &mut Vec<Range<usize>>) {
    for key in known.iter().filter(|key| !key.is_empty()) {
        let found = text.match_indices(key);
        secrets.extend(found.map(|(at, _)| at..at + key.len()));
        for form in other_forms(key) {
            let found = text.match_indices(&form);
            secrets.extend(found.map(|(at, _)| at..at + form.len()));
        }
    }
}

/// Returns a key as a URL spells it, where that differs, and as it stands in base64, alone or behind
/// something else (`user:key`). A short key has none: its base64 would be found in any text.
fn other_forms(key: &str) -> Vec<String> {
    if key.len() < KEY_LENGTH {
        return Vec::new();
    }
    let mut forms: Vec<_> = (0..3).flat_map(|before| base64(key, before)).collect();
    let percent = percent_encoded(key);
    if percent != key {
        forms.push(percent.to_ascii_lowercase());
        forms.push(percent);
    }
    forms
}

fn percent_encoded(key: &str) -> String {
    let spelt = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    key.bytes().map(spelt).collect()
}

/// Returns the characters in base64, plain and for URLs, that depend on the key alone when so many
/// bytes stand before it.
fn base64(key: &str, before: usize) -> [String; 2] {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let bits: Vec<u8> = std::iter::repeat_n(0, before)
        .chain(key.bytes())
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let first = (before * 8).div_ceil(6);
    let sixes = bits.chunks_exact(6).skip(first);
    let numbers: Vec<usize> = sixes
        .map(|six| {
            six.iter()
                .fold(0, |number, bit| number * 2 + usize::from(*bit))
        })
        .collect();
    ["+/", "-_"].map(|last| {
        let letter = |number: &usize| {
            let letters = LETTERS.iter().chain(last.as_bytes());
            letters.copied().nth(*number).map_or('=', char::from)
        };
        numbers.iter().map(letter).collect()
    })
}

/// Hides the words that look like a key, or echo a known one.
fn words(text: &str, known: &[&str], secrets: &mut Vec<Range<usize>>) {
    let mut rest = text;
    while let Some(skip) = rest.find(of_a_key) {
        let start = text.len() - rest.len() + skip;
        let length = text[start..]
            .find(|c| !of_a_key(c))
            .unwrap_or(text.len() - start);
        rest = &text[start + length..];
        let word = &text[start..start + length];
        // The point that ends a sentence is no part of the key; three of them are a mask.
        let word = match word.strip_suffix('.') {
            Some(shorter) if !shorter.ends_with('.') => shorter,
            _ => word,
        };
        if looks_like_a_key(word) || known.iter().any(|key| echoes(word, key)) {
            secrets.push(start..start + word.len());
        }
    }
}

/// Characters of keys, and of the masks that providers put into them.
fn of_a_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '…' | '•')
}

fn is_masked(word: &str) -> bool {
    ["**", "…", "••", "..."]
        .iter()
        .any(|mask| word.contains(mask))
}

fn looks_like_a_key(word: &str) -> bool {
    let after = |prefix: &&str| word.strip_prefix(*prefix).map_or(0, str::len);
    let long = |prefix: &&str| after(prefix) >= KEY_LENGTH;
    let masked = |prefix: &&str| after(prefix) > 0 && is_masked(word);
    let digit = || word.bytes().any(|byte| byte.is_ascii_digit());
    PREFIXES.iter().any(|prefix| long(prefix) || masked(prefix))
        || DOUBTFUL_PREFIXES
            .iter()
            .any(|prefix| (long(prefix) && digit()) || masked(prefix))
        || (word.contains("***") && word.bytes().any(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether a word shows the start or the end of a key: `sk-ab****wxyz`, `…wxyz`, `wxyz`.
fn echoes(word: &str, key: &str) -> bool {
    if key.len() <= ECHO_LENGTH || !key.is_ascii() {
        return false;
    }
    let mask = |c: char| matches!(c, '*' | '…' | '•' | '.');
    let head = &word[..word.find(mask).unwrap_or(word.len())];
    let tail = word
        .rfind(mask)
        .map_or(word, |at| word[at..].trim_start_matches(mask));
    let shows = |part: &str, least: usize| {
        part.len() >= least && (key.starts_with(part) || key.ends_with(part))
    };
    let least = if is_masked(word) { 2 } else { ECHO_LENGTH };
    // The start of a key is often a word of its own, as in `sk-proj`; a few more letters must follow.
    let whole = word.len() >= KEY_LENGTH && key.starts_with(word);
    if is_masked(word) {
        shows(head, least) || shows(tail, least)
    } else {
        whole || (word.len() >= least && key.ends_with(word))
    }
}

/// Hides what follows `Bearer`.
fn bearers(text: &str, secrets: &mut Vec<Range<usize>>) {
    for at in places(text, "bearer ") {
        let start = at + "bearer ".len();
        let end = start + value_length(&text[start..]);
        if is_secretive(&text[start..end]) {
            secrets.push(start..end);
        }
    }
}

/// Hides what follows a label such as `api_key=` or `x-api-key: `.
fn labelled(text: &str, secrets: &mut Vec<Range<usize>>) {
    for label in LABELS {
        for at in places(text, label) {
            let rest = text[at + label.len()..].trim_start_matches(['"', '\'', ' ']);
            let Some(value) = rest.strip_prefix([':', '=']) else {
                continue;
            };
            let value = value.trim_start_matches(['"', '\'', ' ']);
            let start = text.len() - value.len();
            let end = start + value_length(value);
            let sure = rest.starts_with('=') || label == "x-api-key";
            if end > start && (sure || is_secretive(&text[start..end])) {
                secrets.push(start..end);
            }
        }
    }
}

/// Hides `user:password` in `https://user:password@host`.
fn userinfo(text: &str, secrets: &mut Vec<Range<usize>>) {
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let authority = &text[start..];
        let end = authority.find(['/', '?', '#', ' ', '"', '\'', '\n']);
        let authority = &authority[..end.unwrap_or(authority.len())];
        if let Some(end) = authority.rfind('@').filter(|end| *end > 0) {
            secrets.push(start..start + end);
        }
    }
}

/// A value that can only be a secret: no plain word, and not a number or two.
fn is_secretive(value: &str) -> bool {
    let digit = value.bytes().any(|byte| byte.is_ascii_digit());
    value.len() >= 20 || (value.len() >= KEY_LENGTH && digit) || is_masked(value)
}

fn value_length(text: &str) -> usize {
    let end = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';' | '}' | ')' | '<' | '`')
    };
    text.find(end).unwrap_or(text.len())
}

/// The places of an ASCII word in any case.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let windows = text.as_bytes().windows(word.len()).enumerate();
    windows
        .filter(|(_, window)| window.eq_ignore_ascii_case(word.as_bytes()))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-vTKq83hsLLw72mQap2";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text, &[KEY, ""]), expected);
    }

    #[test]
    fn known_keys_go_whole_masked_or_in_part() {
        check("key sk-vTKq83hsLLw72mQap2!", "key [redacted]!");
        check("xxsk-vTKq83hsLLw72mQap2yy", "xx[redacted]yy");
        check(
            "(当前请求使用的ApiKey: sk-vTK****Qap2)",
            "(当前请求使用的ApiKey: [redacted])",
        );
        check(
            "the key ending in Qap2 is disabled.",
            "the key ending in [redacted] is disabled.",
        );
        check("provided: …Qap2.", "provided: [redacted].");
        check("provided: sk-vT...", "provided: [redacted]");
        check("begins with sk-vTKq8", "begins with [redacted]");
        check("vT****p2", "[redacted]");
    }

    #[test]
    fn known_keys_go_in_base64_and_as_a_url_spells_them() {
        // printf '%s' 'me:sk-vTKq83hsLLw72mQap2' | base64
        check(
            "Basic bWU6c2stdlRLcTgzaHNMTHc3Mm1RYXAy!",
            "Basic bWU6[redacted]!",
        );
        // Alone, and behind one byte.
        check("c2stdlRLcTgzaHNMTHc3Mm1RYXAy", "[redacted]");
        // The last letter holds half a byte of it.
        check("OnNrLXZUS3E4M2hzTEx3NzJtUWFwMg==", "On[redacted]g==");
        let odd = "canary/7f3a9c2e+5b8d1046==";
        for text in [
            "https://h/?k=canary%2F7f3a9c2e%2B5b8d1046%3D%3D&x",
            "https://h/?k=canary%2f7f3a9c2e%2b5b8d1046%3d%3d&x",
        ] {
            assert_eq!(redact(text, &[odd]), "https://h/?k=[redacted]&x");
        }
    }

    #[test]
    fn unknown_keys_are_known_by_their_looks() {
        check(
            "Incorrect API key provided: sk-proj-********abcd.",
            "Incorrect API key provided: [redacted].",
        );
        check("sk-abcdefgh12345", "[redacted]");
        check("gsk_0123456789abc, AIzaSyD00001", "[redacted], [redacted]");
        check(
            "Authorization: Bearer abcdef0123456789",
            "Authorization: Bearer [redacted]",
        );
        check("X-Api-Key: hunter2", "X-Api-Key: [redacted]");
        check(
            "https://h/v1?api_key=a1&x=2",
            "https://h/v1?api_key=[redacted]&x=2",
        );
        check(
            "{\"apikey\": \"0123456789ab\"}",
            "{\"apikey\": \"[redacted]\"}",
        );
        check(
            "via http://me:secret@proxy:80/x",
            "via http://[redacted]@proxy:80/x",
        );
        check("key-0123456789", "[redacted]");
    }

    #[test]
    fn ordinary_words_stay_and_nothing_is_allocated() {
        for text in [
            "",
            "Bearer token is invalid",
            "Invalid API key: please check",
            "the task-management risk-assessment key-management model gpt-4o-mini",
            "Visit https://platform.openai.com/account/api-keys.",
            "Rate limit reached... try again in 1.5s",
            "余额不足",
        ] {
            check(text, text);
            assert!(matches!(redact(text, &[KEY]), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn no_run_of_a_key_survives_wherever_it_is_cut() {
        for end in KEY_LENGTH..=KEY.len() {
            let text = format!("Incorrect key {} given", &KEY[..end]);
            assert_eq!(redact(&text, &[KEY]), "Incorrect key [redacted] given");
        }
        for start in 1..=KEY.len() - ECHO_LENGTH {
            let text = format!("Incorrect key {} given", &KEY[start..]);
            assert_eq!(redact(&text, &[KEY]), "Incorrect key [redacted] given");
        }
    }

    #[test]
    fn an_excerpt_is_cut_after_it_is_redacted_and_between_characters() {
        let text = format!("{}{KEY}", "界".repeat(680));
        let cut = excerpt(&text, &[KEY]);
        assert!(
            cut.len() <= EXCERPT_BYTES && cut.ends_with("[redacte"),
            "{}",
            &cut[2030..]
        );
        assert_eq!(excerpt(&"界".repeat(1000), &[]).len(), 2046);
        assert_eq!(excerpt("  short ", &[]), "short");
    }
}
